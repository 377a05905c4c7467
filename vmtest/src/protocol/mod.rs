//! What guest and host say to each other: the job file that goes in with the initramfs, and the
//! messages that come out over the second serial port, each one frame (`fslockup::recording::frame`).
//!
//! A byte on an emulated serial port costs a trap into the emulator (1.5 MB took 4 to 41 s,
//! depending on the kernel), so bulk payloads are deflated in the guest.

mod findings;

use std::io::{Read, Write};

use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};
use fslockup::recording::frame::Frame;
use serde::{Deserialize, Serialize};

pub use self::findings::{Check, Findings, NOT_APPLICABLE_CODE, TimesMs};

/// Where the guest's PID 1 finds its [`Job`].
pub const JOB_PATH: &str = "/vmtest.json";
/// A command's verdict on itself, among its files.
pub const FINDINGS: &str = "result.json";
/// Where the guest mounts its disk.
pub const DISK_PATH: &str = "/mnt/disk";
/// Where a guest with an init of its own finds the initramfs.
pub const INITRAMFS_PATH: &str = "/vmtest";
/// Each scenario may leave files in a directory of its name below this one.
pub const OUT_PATH: &str = "/out";
/// Bytes of a file or of output sent in one frame: short enough that a heartbeat is never kept
/// waiting for long behind one.
pub const CHUNK_BYTES: usize = 16 << 10;

/// What the guest is to do, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Kernel modules to load, as paths in the guest, dependencies first.
    pub modules: Vec<String>,
    /// File system type of the disk, when there is a disk.
    pub disk_fs: Option<String>,
    /// The disk is the guest's root, and its own init becomes PID 1.
    pub has_own_init: bool,
    /// How the guest's time passes: what may be asserted depends on it.
    pub mode: String,
    /// The kernel's name in the list; none for one that was given as a file.
    pub kernel_name: Option<String>,
    /// Commands to run one after another.
    pub commands: Vec<GuestCommand>,
    /// Files of commands that passed and the kernel's log are sent too.
    pub keeps_all: bool,
    /// An interactive shell on the console instead of commands.
    pub shell: Option<ShellJob>,
}

/// One command of a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestCommand {
    /// Name of the scenario it belongs to.
    pub scenario: String,
    /// Program and arguments; the program is looked up in `/bin`.
    pub argv: Vec<String>,
    /// Guest time after which the command's process group is killed.
    pub time_limit_ms: u64,
}

/// An interactive shell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShellJob {
    /// The terminal type of the host.
    pub term: String,
    /// Rows of the host's terminal.
    pub rows_count: u16,
    /// Columns of the host's terminal.
    pub columns_count: u16,
}

/// The first message: the guest runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// `uname -r`.
    pub release: String,
    /// `uname -v`.
    pub version: String,
    /// CPUs online.
    pub cpus_count: usize,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Position in [`Job::commands`].
    pub index: usize,
    /// Exit code, when it exited.
    pub code: Option<i32>,
    /// Signal, when one killed it.
    pub signal: Option<i32>,
    /// Whether the guest killed it because its time was up.
    pub is_timed_out: bool,
    /// Guest time from start to end.
    pub duration_ms: u64,
}

impl Ended {
    /// The exit code as a shell gives it: 128 + signal for a signal.
    #[must_use]
    pub fn shell_code(&self) -> i32 {
        self.code.unwrap_or_else(|| 128 + self.signal.unwrap_or(0))
    }
}

/// Which stream of a command output came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The end of a file, with which the host checks that all of it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEnd {
    /// Path relative to the scenario's output directory.
    pub name: String,
    /// Length of the whole file.
    pub size_bytes: u64,
    /// CRC-32 (IEEE) of the whole file.
    pub crc32: u32,
}

#[derive(Serialize, Deserialize)]
struct ChunkHead {
    name: String,
    offset_bytes: u64,
}

/// One message of the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// PID 1 runs and the channel works.
    Hello(Hello),
    /// A command starts; its position in the job.
    Started(usize),
    /// Output of the running command.
    Output(Stream, Vec<u8>),
    /// Part of a file that the running command left: name, offset in bytes, bytes.
    FileChunk(String, u64, Vec<u8>),
    /// A file is complete.
    FileEnd(FileEnd),
    /// The running command ended.
    Ended(Ended),
    /// One record of the kernel log, of level warning or worse.
    Kmsg(Vec<u8>),
    /// So many records of the kernel log were overwritten before they could be read.
    KmsgLost(u64),
    /// Sign of life, once a second of guest time.
    Heartbeat,
    /// Something optional did not work; the guest goes on.
    Trouble(String),
    /// Something needed did not work; the guest gives up.
    Broken(String),
    /// The whole kernel log, in pieces.
    KernelLog(Vec<u8>),
    /// The job is done; how many frames were sent before this one.
    Bye(u64),
}

/// Why a frame is no message.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// A kind that this version doesn't know.
    #[error("frame of unknown kind {0}")]
    UnknownKind(u8),
    /// The payload is not what its kind says.
    #[error("payload of a frame of kind {0} makes no sense")]
    Payload(u8),
}

mod kind {
    pub const HELLO: u8 = 1;
    pub const STARTED: u8 = 2;
    pub const STDOUT: u8 = 3;
    pub const STDERR: u8 = 4;
    pub const FILE_CHUNK: u8 = 5;
    pub const FILE_END: u8 = 6;
    pub const ENDED: u8 = 7;
    pub const KMSG: u8 = 8;
    pub const HEARTBEAT: u8 = 9;
    pub const TROUBLE: u8 = 10;
    pub const BROKEN: u8 = 11;
    pub const KERNEL_LOG: u8 = 12;
    pub const BYE: u8 = 13;
    pub const KMSG_LOST: u8 = 14;
}

impl Message {
    /// The message as a frame's kind and payload.
    #[must_use]
    pub fn encode(&self) -> (u8, Vec<u8>) {
        match self {
            Self::Hello(hello) => (kind::HELLO, json(hello)),
            Self::Started(index) => (kind::STARTED, json(index)),
            Self::Output(Stream::Stdout, bytes) => (kind::STDOUT, bytes.clone()),
            Self::Output(Stream::Stderr, bytes) => (kind::STDERR, bytes.clone()),
            Self::FileChunk(name, offset_bytes, bytes) => {
                let mut payload = json(&ChunkHead {
                    name: name.clone(),
                    offset_bytes: *offset_bytes,
                });
                payload.push(b'\n');
                payload.extend(deflate(bytes));
                (kind::FILE_CHUNK, payload)
            }
            Self::FileEnd(end) => (kind::FILE_END, json(end)),
            Self::Ended(ended) => (kind::ENDED, json(ended)),
            Self::Kmsg(record) => (kind::KMSG, record.clone()),
            Self::KmsgLost(count) => (kind::KMSG_LOST, json(count)),
            Self::Heartbeat => (kind::HEARTBEAT, Vec::new()),
            Self::Trouble(text) => (kind::TROUBLE, text.clone().into_bytes()),
            Self::Broken(text) => (kind::BROKEN, text.clone().into_bytes()),
            Self::KernelLog(bytes) => (kind::KERNEL_LOG, deflate(bytes)),
            Self::Bye(frames_count) => (kind::BYE, json(frames_count)),
        }
    }

    /// The message in a frame.
    ///
    /// # Errors
    /// When the frame's kind is unknown or its payload is not what the kind says.
    pub fn decode(frame: Frame) -> Result<Self, ProtocolError> {
        let Frame { kind, payload } = frame;
        let bad = || ProtocolError::Payload(kind);
        fn parsed<T: serde::de::DeserializeOwned>(
            kind: u8,
            payload: &[u8],
        ) -> Result<T, ProtocolError> {
            serde_json::from_slice(payload).map_err(|_| ProtocolError::Payload(kind))
        }
        let text = |payload: Vec<u8>| String::from_utf8_lossy(&payload).into_owned();
        Ok(match kind {
            kind::HELLO => Self::Hello(parsed(kind, &payload)?),
            kind::STARTED => Self::Started(parsed(kind, &payload)?),
            kind::STDOUT => Self::Output(Stream::Stdout, payload),
            kind::STDERR => Self::Output(Stream::Stderr, payload),
            kind::FILE_CHUNK => {
                let split = payload
                    .iter()
                    .position(|byte| *byte == b'\n')
                    .ok_or_else(bad)?;
                let head: ChunkHead = parsed(kind, &payload[..split])?;
                let bytes = inflate(&payload[split + 1..]).ok_or_else(bad)?;
                Self::FileChunk(head.name, head.offset_bytes, bytes)
            }
            kind::FILE_END => Self::FileEnd(parsed(kind, &payload)?),
            kind::ENDED => Self::Ended(parsed(kind, &payload)?),
            kind::KMSG => Self::Kmsg(payload),
            kind::KMSG_LOST => Self::KmsgLost(parsed(kind, &payload)?),
            kind::HEARTBEAT => Self::Heartbeat,
            kind::TROUBLE => Self::Trouble(text(payload)),
            kind::BROKEN => Self::Broken(text(payload)),
            kind::KERNEL_LOG => Self::KernelLog(inflate(&payload).ok_or_else(bad)?),
            kind::BYE => Self::Bye(parsed(kind, &payload)?),
            unknown => return Err(ProtocolError::UnknownKind(unknown)),
        })
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain structs of strings and numbers always serialize")
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .expect("writing to memory does not fail")
}

/// A chunk never inflates to more than the guest puts into one: more is corruption.
fn inflate(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut inflated = Vec::new();
    let limit = CHUNK_BYTES as u64 + 1;
    ZlibDecoder::new(bytes)
        .take(limit)
        .read_to_end(&mut inflated)
        .ok()?;
    (inflated.len() <= CHUNK_BYTES).then_some(inflated)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(message: &Message) -> Message {
        let (kind, payload) = message.encode();
        Message::decode(Frame { kind, payload }).expect("decodes")
    }

    #[test]
    fn every_message_survives_the_channel() {
        let ended = Ended {
            index: 2,
            code: None,
            signal: Some(9),
            is_timed_out: true,
            duration_ms: 7,
        };
        let messages = [
            Message::Hello(Hello {
                release: "6.1".into(),
                version: "#1".into(),
                cpus_count: 4,
            }),
            Message::Started(3),
            Message::Output(Stream::Stdout, b"\xff\x00\n".to_vec()),
            Message::Output(Stream::Stderr, Vec::new()),
            Message::FileChunk("a b\n.json".into(), 16384, vec![7; CHUNK_BYTES]),
            Message::FileEnd(FileEnd {
                name: "x".into(),
                size_bytes: 1,
                crc32: 2,
            }),
            Message::Ended(ended),
            Message::Kmsg(b"4,1,2,-;x".to_vec()),
            Message::KmsgLost(7),
            Message::Heartbeat,
            Message::Trouble("t".into()),
            Message::Broken("b".into()),
            Message::KernelLog(b"log".to_vec()),
            Message::Bye(9),
        ];
        for message in messages {
            assert_eq!(there_and_back(&message), message);
        }
    }

    #[test]
    fn a_payload_that_inflates_too_far_is_refused() {
        let (kind, payload) = Message::KernelLog(vec![0; CHUNK_BYTES + 1]).encode();
        assert!(Message::decode(Frame { kind, payload }).is_err());
    }

    #[test]
    fn a_signal_becomes_128_plus_its_number() {
        let ended = Ended {
            index: 0,
            code: None,
            signal: Some(15),
            is_timed_out: false,
            duration_ms: 0,
        };
        assert_eq!(ended.shell_code(), 143);
    }
}
