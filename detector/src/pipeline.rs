//! Inputs to findings, the same for a live host and for a recording. Time comes from the records.

use std::collections::HashSet;

use fslockup_ebpf::kind;
use serde::{Deserialize, Serialize};

use crate::{
    event::{self, Event, Walk},
    facts::Facts,
    mounts::Mounts,
    report::AttachReport,
};

/// What is fixed for one run of the detector: enough to judge its records anywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Version of the `fslockup` that recorded.
    pub fslockup_version: String,
    /// The kernel and the host.
    pub facts: Facts,
    /// What was attached.
    pub attached: AttachReport,
    /// Add this to CLOCK_MONOTONIC to get CLOCK_REALTIME, both in nanoseconds.
    pub realtime_offset_ns: i64,
    /// CLOCK_MONOTONIC when all was attached.
    pub start_ns: u64,
    /// A walk shorter than this was only counted.
    pub walk_threshold_ns: u64,
    /// A walk this long is an incident, and so is a shorter one that did as much damage.
    #[serde(default)]
    pub incident_threshold_ns: u64,
    /// A wait for a spinlock shorter than this left no record.
    #[serde(default)]
    pub wait_threshold_ns: u64,
    /// A task kept from running for less than this left no record.
    #[serde(default)]
    pub stall_threshold_ns: u64,
}

/// What reaches the pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A record out of the ring buffer.
    Record(Vec<u8>),
    /// A record out of the map of running walks.
    Running {
        /// CLOCK_MONOTONIC when it was read.
        now_ns: u64,
        /// The bytes.
        record: Vec<u8>,
    },
    /// The text of `/proc/self/mountinfo`, at the start and after each change.
    Mounts(Vec<u8>),
    /// Names of addresses, always before the first record that has them in a stack.
    Symbols(Vec<Symbol>),
    /// The waits that go on, read right before the running walks.
    Waiting {
        /// CLOCK_MONOTONIC when they were read.
        now_ns: u64,
        /// One for each CPU that waits.
        waiters: Vec<WaitingNow>,
    },
    /// A record of the kernel's log as `/dev/kmsg` gives it: `priority,sequence,µs,flags;text`.
    KernelLog {
        /// CLOCK_MONOTONIC when it was read. Its own stamp is on the scheduler's clock, which is
        /// up to tens of milliseconds apart from this one.
        read_ns: u64,
        /// The record.
        line: Vec<u8>,
    },
    /// Time passes: what waits for the end of a grace period may come out.
    Tick {
        /// CLOCK_MONOTONIC.
        now_ns: u64,
        /// [`Counts::lost_count`] so far.
        lost_count: u64,
    },
    /// The end of the run.
    End(Counts),
}

/// The name of an address in the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Symbol {
    /// The address, as in a stack.
    pub address: u64,
    /// `function+0x1f`; none where the symbol table is hidden or has nothing there.
    pub name: Option<String>,
}

/// A wait that goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingNow {
    /// The CPU.
    pub cpu: u32,
    /// Address of the lock.
    pub lock_addr: u64,
    /// When the waiter found it taken, CLOCK_MONOTONIC.
    pub start_ns: u64,
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// The task's name; none where it could not be read any more.
    pub comm: Option<Vec<u8>>,
}

/// The counters of the programs, summed over CPUs, at the end of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// CLOCK_MONOTONIC when they were read.
    pub end_ns: u64,
    /// Walks that ended.
    pub walks_count: u64,
    /// Those of them below the threshold.
    pub below_threshold_count: u64,
    /// Records lost because the ring buffer was full.
    pub ring_full_count: u64,
    /// Walks lost because too many ran at once.
    pub walks_full_count: u64,
    /// Exits of walks that had begun before the programs were attached.
    pub unmatched_exits_count: u64,
    /// Walks whose exit was not seen.
    pub missed_exits_count: u64,
    /// Runs of the programs that the kernel left out, entries or exits.
    #[serde(default)]
    pub skipped_count: u64,
    /// Waits that were not seen, because their CPU was just writing a record.
    #[serde(default)]
    pub waits_unseen_count: u64,
    /// Waits lost because the map of sleeping waiters was full.
    #[serde(default)]
    pub waiters_full_count: u64,
    /// Tasks that came to run before the scheduler's clock was compared: a stall may be missing.
    #[serde(default)]
    pub stalls_untimed_count: u64,
    /// System calls lost because too many ran at once.
    #[serde(default)]
    pub calls_full_count: u64,
}

impl Counts {
    /// What happened and left no record: walks, waits, wakeups, system calls, records of any kind.
    #[must_use]
    pub fn lost_count(&self) -> u64 {
        self.ring_full_count
            + self.walks_full_count
            + self.missed_exits_count
            + self.skipped_count
            + self.waits_unseen_count
            + self.waiters_full_count
            + self.stalls_untimed_count
            + self.calls_full_count
    }
}

/// What the pipeline concludes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A walk, ended or running.
    Walk(WalkFinding),
    /// Bytes that were not a record.
    BadRecord(event::DecodeError),
    /// The end, with the totals.
    Summary(Summary),
}

/// A walk with what the rest of the session adds to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalkFinding {
    /// The walk.
    pub walk: Walk,
    /// Its length, or how long it has been running.
    pub walk_ns: u64,
    /// CLOCK_REALTIME of its entry, in nanoseconds.
    pub realtime_ns: i64,
    /// The function it was seen through.
    pub function: Option<String>,
    /// Path as the host sees it, escaped by nobody yet.
    pub path: Option<Vec<u8>>,
    /// What is not known, and why.
    pub degraded: Vec<String>,
}

/// Totals of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// From attaching to the end.
    pub duration_ns: u64,
    /// Counters of the programs.
    pub counts: Counts,
    /// Walks reported, running ones not counted again.
    pub reported_count: u64,
    /// Records that could not be decoded.
    pub bad_records_count: u64,
}

/// The state between inputs.
pub struct Pipeline {
    session: Session,
    mounts: Mounts,
    announced: HashSet<(u32, u64)>,
    reported_count: u64,
    bad_records_count: u64,
}

impl Pipeline {
    /// Starts with nothing seen.
    #[must_use]
    pub fn new(session: Session) -> Self {
        Self {
            session,
            mounts: Mounts::default(),
            announced: HashSet::new(),
            reported_count: 0,
            bad_records_count: 0,
        }
    }

    /// What one input leads to.
    pub fn feed(&mut self, input: &Input) -> Vec<Finding> {
        self.feed_one(input).into_iter().collect()
    }

    fn feed_one(&mut self, input: &Input) -> Option<Finding> {
        match input {
            Input::Record(bytes) => Some(match event::decode(bytes) {
                Ok(Event::Walk(walk)) => {
                    self.announced.remove(&(walk.tid, walk.start_ns));
                    self.reported_count += 1;
                    let walk_ns = walk.walk_ns().unwrap_or_default();
                    Finding::Walk(self.complete(*walk, walk_ns))
                }
                Ok(_) => return None,
                Err(error) => self.bad_record(error),
            }),
            Input::Symbols(_)
            | Input::Waiting { .. }
            | Input::KernelLog { .. }
            | Input::Tick { .. } => None,
            Input::Running { now_ns, record } => self.running(*now_ns, record),
            Input::Mounts(mountinfo) => {
                self.mounts = Mounts::parse(mountinfo);
                None
            }
            Input::End(counts) => Some(Finding::Summary(Summary {
                duration_ns: counts.end_ns.saturating_sub(self.session.start_ns),
                counts: *counts,
                reported_count: self.reported_count,
                bad_records_count: self.bad_records_count,
            })),
        }
    }

    /// A running walk is announced once, when it is over the threshold.
    fn running(&mut self, now_ns: u64, record: &[u8]) -> Option<Finding> {
        let walk = match event::decode(record) {
            Ok(Event::Walk(walk)) => walk,
            // The element is new, and its task has not come to the first field.
            Err(event::DecodeError::Kind(kind::NONE)) | Ok(_) => return None,
            Err(error) => return Some(self.bad_record(error)),
        };
        let walk_ns = now_ns.saturating_sub(walk.start_ns);
        let is_filled_in = walk.start_ns != 0;
        // Its exit is between writing the record and removing it from the map: seen on 7.3-rt, where
        // the walker can be preempted there.
        let has_ended = walk.end_ns.is_some();
        if !is_filled_in || has_ended || walk_ns < self.session.walk_threshold_ns {
            return None;
        }
        if !self.announced.insert((walk.tid, walk.start_ns)) {
            return None;
        }
        Some(Finding::Walk(self.complete(*walk, walk_ns)))
    }

    fn bad_record(&mut self, error: event::DecodeError) -> Finding {
        self.bad_records_count += 1;
        Finding::BadRecord(error)
    }

    fn complete(&self, walk: Walk, walk_ns: u64) -> WalkFinding {
        let mut degraded = Vec::new();
        let path = self.path(&walk, &mut degraded);
        if walk.syscall_nr.is_none() {
            degraded.push("trigger: the system call's number could not be read".to_owned());
        }
        if walk.i_lock_addr.is_none() || walk.d_lock_addr.is_none() {
            degraded.push("locks: an address could not be read".to_owned());
        }
        WalkFinding {
            walk_ns,
            realtime_ns: self.realtime_ns(walk.start_ns),
            function: self
                .session
                .attached
                .function("walk", walk.slot)
                .map(str::to_owned),
            path,
            degraded,
            walk,
        }
    }

    fn realtime_ns(&self, monotonic_ns: u64) -> i64 {
        i64::try_from(monotonic_ns)
            .unwrap_or(i64::MAX)
            .saturating_add(self.session.realtime_offset_ns)
    }

    fn path(&self, walk: &Walk, degraded: &mut Vec<String>) -> Option<Vec<u8>> {
        let Some(names) = &walk.path else {
            degraded.push("path: it could not be read".to_owned());
            return None;
        };
        if walk.is_path_cut {
            degraded.push("path: too deep, its upper part is left out".to_owned());
            return Some(crate::mounts::join(b"...", names));
        }
        let resolved = self.mounts.resolve(walk.dev, names);
        if resolved.is_none() {
            degraded.push(
                "path: its file system is not mounted here, the path is the one inside it"
                    .to_owned(),
            );
        }
        Some(resolved.unwrap_or_else(|| crate::mounts::join(b"", names)))
    }
}

#[cfg(test)]
mod tests {
    use fslockup_ebpf::{PATH_IS_BROKEN, PATH_IS_CUT, WalkRecord};

    use super::*;
    use crate::{
        event::tests::{bytes, record},
        facts::{Answer, tests::facts_with},
        plan::{Target, Via},
        probes::WALKER_FIXED,
        report::AttachedProbe,
    };

    fn pipeline() -> Pipeline {
        let target = Target {
            via: Via::Fentry,
            function: WALKER_FIXED.to_owned(),
            slot: 0,
        };
        let walk = AttachedProbe {
            probe: "walk".to_owned(),
            targets: vec![target],
            refused: Vec::new(),
            lost: Vec::new(),
        };
        let mut pipeline = Pipeline::new(Session {
            fslockup_version: "0".to_owned(),
            facts: facts_with(&[(WALKER_FIXED, Answer::Yes, Answer::Yes, &[])]),
            attached: AttachReport {
                probes: vec![walk],
                missing: Vec::new(),
            },
            realtime_offset_ns: 1_000,
            start_ns: 500_000_000,
            walk_threshold_ns: 10_000_000,
            incident_threshold_ns: 50_000_000,
            wait_threshold_ns: 1_000_000,
            stall_threshold_ns: 10_000_000,
        });
        pipeline.feed(&Input::Mounts(
            b"30 22 259:0 / /data rw - ext4 /dev/x rw\n".to_vec(),
        ));
        pipeline
    }

    fn walk(findings: Vec<Finding>) -> WalkFinding {
        match findings.into_iter().next() {
            Some(Finding::Walk(walk)) => walk,
            other => panic!("no walk: {other:?}"),
        }
    }

    fn running(now_ns: u64, record: &WalkRecord) -> Input {
        Input::Running {
            now_ns,
            record: bytes(record),
        }
    }

    #[test]
    fn a_walk_gets_its_path_time_and_function() {
        let found = walk(pipeline().feed(&Input::Record(bytes(&record()))));
        assert_eq!(found.path.as_deref(), Some(&b"/data/var/spool"[..]));
        assert_eq!(found.realtime_ns, 1_000_001_000);
        assert_eq!(found.function.as_deref(), Some(WALKER_FIXED));
        assert_eq!(found.walk_ns, 75_000_000);
        assert!(found.degraded.is_empty(), "{:?}", found.degraded);
    }

    #[test]
    fn a_running_walk_is_announced_once_and_only_over_the_threshold() {
        let mut pipeline = pipeline();
        let unfinished = WalkRecord {
            end_ns: 0,
            ..record()
        };
        assert_eq!(pipeline.feed(&running(1_005_000_000, &unfinished)), []);
        assert_eq!(
            walk(pipeline.feed(&running(1_020_000_000, &unfinished))).walk_ns,
            20_000_000
        );
        assert_eq!(pipeline.feed(&running(1_030_000_000, &unfinished)), []);
        // The same task's next walk is another one.
        let next = WalkRecord {
            start_ns: 2_000_000_000,
            ..unfinished
        };
        assert!(!pipeline.feed(&running(2_020_000_000, &next)).is_empty());
    }

    #[test]
    fn a_record_that_is_not_filled_in_yet_is_not_a_walk() {
        let begun = WalkRecord {
            start_ns: 0,
            end_ns: 0,
            ..record()
        };
        assert_eq!(pipeline().feed(&running(1_000_000_000, &begun)), []);
        // Seen on 7.3-rt: the walker was preempted before it had written anything.
        let empty = WalkRecord {
            kind: kind::NONE,
            ..begun
        };
        assert_eq!(pipeline().feed(&running(1_000_000_000, &empty)), []);
    }

    #[test]
    fn a_walk_that_is_just_leaving_the_map_is_not_running() {
        let mut pipeline = pipeline();
        pipeline.feed(&Input::Record(bytes(&record())));
        assert_eq!(pipeline.feed(&running(1_080_000_000, &record())), []);
    }

    #[test]
    fn what_could_not_be_read_is_said() {
        let broken = WalkRecord {
            path_flags: PATH_IS_BROKEN,
            d_lock_addr: 0,
            ..record()
        };
        let found = walk(pipeline().feed(&Input::Record(bytes(&broken))));
        assert_eq!(found.path, None);
        assert_eq!(found.degraded.len(), 2, "{:?}", found.degraded);
        let cut = WalkRecord {
            path_flags: PATH_IS_CUT,
            ..record()
        };
        let found = walk(pipeline().feed(&Input::Record(bytes(&cut))));
        assert_eq!(found.path.as_deref(), Some(&b".../var/spool"[..]));
        let elsewhere = WalkRecord { dev: 1, ..record() };
        let found = walk(pipeline().feed(&Input::Record(bytes(&elsewhere))));
        assert_eq!(found.path.as_deref(), Some(&b"/var/spool"[..]));
        assert_eq!(found.degraded.len(), 1, "{:?}", found.degraded);
    }

    #[test]
    fn bad_records_and_losses_are_in_the_summary() {
        let mut pipeline = pipeline();
        assert!(matches!(
            pipeline.feed(&Input::Record(vec![1, 2])).as_slice(),
            [Finding::BadRecord(_)]
        ));
        let counts = Counts {
            end_ns: 1_500_000_000,
            ring_full_count: 2,
            missed_exits_count: 3,
            ..Counts::default()
        };
        let Some(Finding::Summary(summary)) = pipeline.feed(&Input::End(counts)).pop() else {
            panic!("a summary")
        };
        assert_eq!(
            (summary.bad_records_count, summary.counts.lost_count()),
            (1, 5)
        );
        assert_eq!(summary.duration_ns, 1_000_000_000);
    }
}
