//! Recordings: facts and raw records in a file, so that what a host or a guest saw can be judged
//! again anywhere. A sequence of frames (`frame.rs`): a header, inputs, an end.

pub mod frame;

use std::io::{Read, Write};

use serde::{Deserialize, Serialize};

use crate::model::{Input, Session};
use frame::FrameError;

/// What this version writes, and the newest it reads. It is for what an older `fslockup` would misread: a frame of a new
/// kind, or a field that means something else. A field that a record gets at its end is none of that: a record is read by
/// the length that it was written with (`event.rs`).
const SCHEMA: u32 = 1;

mod kind {
    pub const HEADER: u8 = 1;
    pub const RECORD: u8 = 2;
    pub const RUNNING: u8 = 3;
    pub const MOUNTS: u8 = 4;
    pub const END: u8 = 5;
    pub const SYMBOLS: u8 = 6;
    pub const WAITING: u8 = 7;
    pub const KERNEL_LOG: u8 = 8;
    pub const TICK: u8 = 9;
    pub const IDENTITY: u8 = 10;
    pub const CHILDREN: u8 = 11;
    pub const THRESHOLDS: u8 = 12;
    pub const CLOCK: u8 = 13;
    pub const BUDGET: u8 = 14;
}

/// Why a recording can't be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// It ends in the middle: the detector was killed, or the file was copied in part.
    #[error("the recording is cut: it has no end")]
    Cut,
    /// Not a recording, or damaged.
    #[error("the recording is corrupt: {0}")]
    Corrupt(String),
    /// Written by a later version.
    #[error(
        "the recording has schema {found}, this fslockup reads up to {SCHEMA}: use a newer one"
    )]
    Newer {
        /// What it says.
        found: u32,
    },
    /// The file's own errors.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl From<FrameError> for RecordingError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Cut => Self::Cut,
            FrameError::Corrupt(what) => Self::Corrupt(what.to_owned()),
            FrameError::Io(error) => Self::Io(error),
        }
    }
}

#[derive(Deserialize)]
struct SchemaOnly {
    schema: u32,
}

#[derive(Serialize, Deserialize)]
struct Header {
    schema: u32,
    #[serde(flatten)]
    session: Session,
}

/// Writes a recording as things happen.
pub struct Writer<W: Write> {
    to: W,
}

impl<W: Write> Writer<W> {
    /// Starts a recording.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn start(mut to: W, session: &Session) -> std::io::Result<Self> {
        let header = Header {
            schema: SCHEMA,
            session: session.clone(),
        };
        frame::write(&mut to, kind::HEADER, &serde_json::to_vec(&header)?)?;
        to.flush()?;
        Ok(Self { to })
    }

    /// Adds one input and hands it to the system, so that a killed detector loses nothing.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write(&mut self, input: &Input) -> std::io::Result<()> {
        match input {
            Input::Record(bytes) => frame::write(&mut self.to, kind::RECORD, bytes)?,
            Input::Running { now_ns, record } => {
                let payload = [&now_ns.to_le_bytes()[..], record].concat();
                frame::write(&mut self.to, kind::RUNNING, &payload)?;
            }
            Input::Mounts(mountinfo) => frame::write(&mut self.to, kind::MOUNTS, mountinfo)?,
            Input::Symbols(symbols) => {
                frame::write(&mut self.to, kind::SYMBOLS, &serde_json::to_vec(symbols)?)?;
            }
            Input::Waiting { now_ns, waiters } => {
                let payload = serde_json::to_vec(&(now_ns, waiters))?;
                frame::write(&mut self.to, kind::WAITING, &payload)?;
            }
            Input::KernelLog { read_ns, line } => {
                let payload = [&read_ns.to_le_bytes()[..], line].concat();
                frame::write(&mut self.to, kind::KERNEL_LOG, &payload)?;
            }
            Input::Tick { now_ns, lost_count } => {
                let payload = [now_ns.to_le_bytes(), lost_count.to_le_bytes()].concat();
                frame::write(&mut self.to, kind::TICK, &payload)?;
            }
            Input::Identity { pid, identity } => {
                let payload = serde_json::to_vec(&(pid, identity))?;
                frame::write(&mut self.to, kind::IDENTITY, &payload)?;
            }
            Input::Children(children) => {
                frame::write(&mut self.to, kind::CHILDREN, &serde_json::to_vec(children)?)?;
            }
            Input::Thresholds(change) => {
                frame::write(&mut self.to, kind::THRESHOLDS, &serde_json::to_vec(change)?)?;
            }
            Input::Clock { realtime_offset_ns } => {
                frame::write(&mut self.to, kind::CLOCK, &realtime_offset_ns.to_le_bytes())?;
            }
            Input::Budget(event) => {
                frame::write(&mut self.to, kind::BUDGET, &serde_json::to_vec(event)?)?;
            }
            Input::End(counts) => {
                frame::write(&mut self.to, kind::END, &serde_json::to_vec(counts)?)?;
            }
        }
        self.to.flush()
    }
}

/// Reads a recording.
pub struct Reader<R: Read> {
    from: R,
    has_ended: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// When it is not a recording, or one from a newer version.
    pub fn open(mut from: R) -> Result<(Self, Session), RecordingError> {
        let header = frame::read(&mut from)?.ok_or(RecordingError::Cut)?;
        if header.kind != kind::HEADER {
            return Err(RecordingError::Corrupt(
                "it does not begin with a header".to_owned(),
            ));
        }
        let corrupt =
            |error: serde_json::Error| RecordingError::Corrupt(format!("header: {error}"));
        // First the number alone: a newer header may not be readable as this version's.
        let SchemaOnly { schema } = serde_json::from_slice(&header.payload).map_err(corrupt)?;
        if schema > SCHEMA {
            return Err(RecordingError::Newer { found: schema });
        }
        let header: Header = serde_json::from_slice(&header.payload).map_err(corrupt)?;
        Ok((
            Self {
                from,
                has_ended: false,
            },
            header.session,
        ))
    }

    /// The next input; `None` behind the end.
    ///
    /// # Errors
    /// When the rest is cut or corrupt.
    pub fn read(&mut self) -> Result<Option<Input>, RecordingError> {
        if self.has_ended {
            return Ok(None);
        }
        let frame = frame::read(&mut self.from)?.ok_or(RecordingError::Cut)?;
        let input = match frame.kind {
            kind::RECORD => Input::Record(frame.payload),
            kind::RUNNING => {
                let (now_ns, record) = timed("running walk", &frame.payload)?;
                Input::Running {
                    now_ns,
                    record: record.to_vec(),
                }
            }
            kind::SYMBOLS => Input::Symbols(json("symbols", &frame.payload)?),
            kind::WAITING => {
                let (now_ns, waiters) = json("waiters", &frame.payload)?;
                Input::Waiting { now_ns, waiters }
            }
            kind::KERNEL_LOG => {
                let (read_ns, line) = timed("kernel log", &frame.payload)?;
                Input::KernelLog {
                    read_ns,
                    line: line.to_vec(),
                }
            }
            kind::TICK => {
                let (now_ns, rest) = timed("tick", &frame.payload)?;
                let (lost_count, _) = timed("tick", rest)?;
                Input::Tick { now_ns, lost_count }
            }
            kind::MOUNTS => Input::Mounts(frame.payload),
            kind::IDENTITY => {
                let (pid, identity) = json("identity", &frame.payload)?;
                Input::Identity { pid, identity }
            }
            kind::CHILDREN => Input::Children(json("children", &frame.payload)?),
            kind::THRESHOLDS => Input::Thresholds(json("thresholds", &frame.payload)?),
            kind::CLOCK => {
                let (offset_ns, _) = timed("clock", &frame.payload)?;
                Input::Clock {
                    realtime_offset_ns: offset_ns.cast_signed(),
                }
            }
            kind::BUDGET => Input::Budget(json("budget", &frame.payload)?),
            kind::END => {
                self.has_ended = true;
                Input::End(json("end", &frame.payload)?)
            }
            other => {
                return Err(RecordingError::Corrupt(format!(
                    "frame of unknown kind {other}"
                )));
            }
        };
        Ok(Some(input))
    }
}

fn json<T: for<'a> Deserialize<'a>>(what: &str, payload: &[u8]) -> Result<T, RecordingError> {
    serde_json::from_slice(payload)
        .map_err(|error| RecordingError::Corrupt(format!("{what}: {error}")))
}

/// A payload that begins with a number.
fn timed<'a>(what: &str, payload: &'a [u8]) -> Result<(u64, &'a [u8]), RecordingError> {
    let (number, rest) = payload
        .split_first_chunk::<8>()
        .ok_or_else(|| RecordingError::Corrupt(format!("{what}: too short")))?;
    Ok((u64::from_le_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

    use super::*;
    use crate::{
        event::tests::{bytes, record},
        facts::tests::facts_with,
        model::{
            AttachReport, Children, Counts, Symbol, ThresholdsChange, WaitingNow,
            budget::{BudgetEvent, Change, Group},
        },
        producers::Identity,
    };

    fn session() -> Session {
        Session {
            fslockup_version: "0".to_owned(),
            facts: facts_with(&[]),
            attached: AttachReport::default(),
            realtime_offset_ns: -5,
            start_ns: 1,
            walk_threshold_ns: 2,
            incident_threshold_ns: 3,
            wait_threshold_ns: 4,
            stall_threshold_ns: 5,
            limits: None,
        }
    }

    fn inputs() -> Vec<Input> {
        vec![
            Input::Mounts(b"mounts".to_vec()),
            Input::Running {
                now_ns: 9,
                record: bytes(&record()),
            },
            Input::Record(bytes(&record())),
            Input::Symbols(vec![
                Symbol {
                    address: u64::MAX,
                    name: Some("d_alloc+0x1".to_owned()),
                },
                Symbol {
                    address: 0,
                    name: None,
                },
            ]),
            Input::Waiting {
                now_ns: 10,
                waiters: vec![WaitingNow {
                    cpu: Some(1),
                    lock_addr: u64::MAX - 1,
                    start_ns: 8,
                    pid: 2,
                    tid: 3,
                    comm: Some(b"\xff\x1b".to_vec()),
                }],
            },
            Input::Waiting {
                now_ns: 11,
                waiters: Vec::new(),
            },
            Input::KernelLog {
                read_ns: 12,
                line: b"6,1,2,-;a \xff line\n K=v\n".to_vec(),
            },
            Input::KernelLog {
                read_ns: 13,
                line: Vec::new(),
            },
            Input::Identity {
                pid: 7,
                identity: Identity {
                    comm: b"\xff\x1b".to_vec(),
                    unit: Some("a.service".to_owned()),
                    ..Identity::default()
                },
            },
            Input::Children(Box::new(Children {
                ino: u64::MAX,
                degraded: vec!["x".to_owned()],
                ..Children::default()
            })),
            Input::Budget(Box::new(BudgetEvent {
                at_ns: 12,
                change: Change::Refused,
                group: Some(Group::Waits),
                cpu_ppm: 1,
                group_ppm: 2,
                own_ppm: 3,
                budget_ppm: 4,
                pause_ns: 5,
                away_ns: 6,
                reason: Some("\u{1b}".to_owned()),
            })),
            Input::Clock {
                realtime_offset_ns: -3,
            },
            Input::Tick {
                now_ns: 14,
                lost_count: u64::MAX,
            },
            Input::Thresholds(ThresholdsChange {
                at_ns: 15,
                walk_threshold_ns: u64::MAX,
                incident_threshold_ns: 1,
                wait_threshold_ns: 0,
                stall_threshold_ns: 2,
            }),
            Input::End(Counts {
                walks_count: 3,
                ..Counts::default()
            }),
        ]
    }

    fn recorded() -> Vec<u8> {
        let mut file = Vec::new();
        let mut writer = Writer::start(&mut file, &session()).expect("written");
        for input in inputs() {
            writer.write(&input).expect("written");
        }
        file
    }

    fn read_all(file: &[u8]) -> Result<(Session, Vec<Input>), RecordingError> {
        let (mut reader, session) = Reader::open(file)?;
        let mut inputs = Vec::new();
        while let Some(input) = reader.read()? {
            inputs.push(input);
        }
        Ok((session, inputs))
    }

    #[test]
    fn what_was_written_reads_back() {
        assert_eq!(read_all(&recorded()).expect("whole"), (session(), inputs()));
    }

    #[test]
    fn every_cut_is_an_error() {
        let file = recorded();
        for end in 0..file.len() {
            assert!(
                matches!(read_all(&file[..end]), Err(RecordingError::Cut)),
                "cut at {end}"
            );
        }
    }

    #[test]
    fn random_damage_is_an_error_and_never_a_panic() {
        let file = recorded();
        let seed = 7;
        let mut random = SmallRng::seed_from_u64(seed);
        for round in 0..2_000 {
            let mut broken = file.clone();
            let at = random.random_range(0..broken.len());
            broken[at] ^= 1 << random.random_range(0..8);
            assert!(
                read_all(&broken).is_err(),
                "seed {seed}, round {round}, byte {at}"
            );
        }
    }

    /// The checksum is right, what it protects is not.
    #[test]
    fn frames_that_are_too_short_or_no_json_are_corrupt() {
        for (kind, payload) in [
            (kind::RUNNING, &b"short"[..]),
            (kind::KERNEL_LOG, b"1234567"),
            (kind::CLOCK, b"1234567"),
            (kind::TICK, b"12345678"),
            (kind::TICK, b"123456781234567"),
            (kind::SYMBOLS, b"{}"),
            (kind::WAITING, b"[1]"),
            (kind::THRESHOLDS, b"{}"),
            (kind::END, b""),
            (99, b""),
        ] {
            let mut file = Vec::new();
            Writer::start(&mut file, &session()).expect("written");
            frame::write(&mut file, kind, payload).expect("written");
            assert!(
                matches!(read_all(&file), Err(RecordingError::Corrupt(_))),
                "kind {kind}"
            );
        }
    }

    #[test]
    fn a_newer_schema_says_so_whatever_else_is_in_it() {
        let mut file = Vec::new();
        frame::write(
            &mut file,
            kind::HEADER,
            br#"{"schema":2,"something":"new"}"#,
        )
        .expect("written");
        assert!(matches!(
            read_all(&file),
            Err(RecordingError::Newer { found: 2 })
        ));
    }
}
