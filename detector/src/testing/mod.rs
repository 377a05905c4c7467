//! Records and sessions for tests, as a kernel would make them. Times are in milliseconds.

use fslockup_ebpf::{
    ReleaseRecord, STACK_DEPTH, StallRecord, SyscallRecord, WaitRecord, WalkRecord, call, kind,
    section, wait_how,
};

use crate::{
    event::tests::{bytes, padded, record},
    facts::{Answer, tests::facts_with},
    model::{AttachReport, AttachedProbe, Counts, Finding, Input, Session, Symbol},
    pipeline::Pipeline,
    plan::{Target, Via},
    probes::{WALKER_FIXED, WALKER_UNFIXED},
};

/// A millisecond.
pub const MS: u64 = 1_000_000;
/// A second.
pub const S: u64 = 1_000 * MS;

/// A directory by its locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Directory {
    pub ino: u64,
    pub i_lock: u64,
    pub d_lock: u64,
}

/// The `number`th directory.
pub fn directory(number: u64) -> Directory {
    Directory {
        ino: 1_000 + number,
        i_lock: 0xffff_8880_0001_0000 + number * 0x400,
        d_lock: 0xffff_8880_0002_0000 + number * 0x400,
    }
}

/// The device that they are on.
pub const DEV: u32 = 259 << 20;

/// A lock that is nobody's business.
pub const OTHER_LOCK: u64 = 0xffff_8880_dead_0000;

/// A session on a fixed kernel that lacks nothing.
pub fn session() -> Session {
    let probe = |probe: &str, function: &str| AttachedProbe {
        probe: probe.to_owned(),
        targets: vec![Target {
            via: Via::Fentry,
            function: function.to_owned(),
            slot: 0,
        }],
        refused: Vec::new(),
        lost: Vec::new(),
    };
    Session {
        fslockup_version: "0".to_owned(),
        facts: facts_with(&[
            (WALKER_FIXED, Answer::Yes, Answer::Yes, &[]),
            (WALKER_UNFIXED, Answer::No, Answer::No, &[]),
        ]),
        attached: AttachReport {
            probes: vec![probe("walk", WALKER_FIXED)],
            missing: Vec::new(),
        },
        realtime_offset_ns: 1_000,
        start_ns: 500 * MS,
        walk_threshold_ns: 10 * MS,
        incident_threshold_ns: 50 * MS,
        wait_threshold_ns: MS,
        stall_threshold_ns: 10 * MS,
        limits: None,
    }
}

/// The session on a kernel whose spinlocks sleep.
pub fn sleeping_session() -> Session {
    let mut session = session();
    session.facts.spinlocks_sleep = Answer::Yes;
    session
}

/// A walk of 100 ms that one task waited for, and nothing else.
pub fn incident() -> crate::model::Incident {
    let walked = directory(0);
    let mut pipeline = Pipeline::new(session());
    let inputs = [
        mounts(),
        input(&wait(walked.d_lock, 8, 1, 1_010, 1_100)),
        input(&walk(walked, 7, 0, 1_000, 1_100)),
        tick(2_000),
    ];
    inputs
        .iter()
        .flat_map(|input| pipeline.feed(input))
        .find_map(|finding| match finding {
            Finding::Incident(incident) => Some(*incident),
            _ => None,
        })
        .expect("an incident")
}

/// The disk that the walks are on.
pub fn mounts() -> Input {
    Input::Mounts(b"30 22 259:0 / /data rw - ext4 /dev/x rw\n".to_vec())
}

/// A walk of a directory.
pub fn walk(directory: Directory, tid: u32, cpu: u32, start_ms: u64, end_ms: u64) -> WalkRecord {
    WalkRecord {
        start_ns: start_ms * MS,
        end_ns: end_ms * MS,
        pid: tid,
        tid,
        ino: directory.ino,
        i_lock_addr: directory.i_lock,
        d_lock_addr: directory.d_lock,
        start_cpu: cpu,
        end_cpu: cpu,
        path_len: 10,
        path: padded(if directory.ino == 1_000 {
            b"\x05spool\x03var"
        } else {
            b"\x05cache\x03var"
        }),
        ..record()
    }
}

/// A wait of a task that spun.
pub fn wait(lock_addr: u64, tid: u32, cpu: u32, start_ms: u64, end_ms: u64) -> WaitRecord {
    let mut stack = [0; STACK_DEPTH];
    stack[..4].copy_from_slice(&[0x10, 0x20, 0x30, 0x40]);
    WaitRecord {
        kind: kind::WAIT,
        how: wait_how::SPIN,
        lock_addr,
        start_ns: start_ms * MS,
        end_ns: end_ms * MS,
        pid: tid,
        tid,
        cpu,
        stack_bytes: 32,
        comm: padded(format!("waiter-{tid}").as_bytes()),
        stack,
    }
}

/// Names of the stack in [`wait`].
pub fn symbols() -> Input {
    let named = |address, name: &str| Symbol {
        address,
        name: Some(name.to_owned()),
    };
    Input::Symbols(vec![
        named(0x10, "bpf_prog_6deef7357e7b4530_wait_enter+0x10"),
        named(0x20, "native_queued_spin_lock_slowpath+0x5"),
        named(0x30, "_raw_spin_lock+0x29"),
        named(0x40, "d_alloc+0x42"),
    ])
}

/// A task that was kept from running behind a walk.
pub fn stall(
    tid: u32,
    cpu: u32,
    behind_tid: u32,
    section: (u64, u64),
    delay: (u64, u64),
) -> StallRecord {
    StallRecord {
        kind: kind::STALL,
        behind: section::WALK,
        lock_addr: 0,
        queued_ns: delay.0 * MS,
        running_ns: delay.1 * MS,
        behind_ns: (section.1.min(delay.1) - section.0.max(delay.0)) * MS,
        section_start_ns: section.0 * MS,
        section_end_ns: section.1 * MS,
        pid: tid,
        tid,
        cpu,
        padding: 0,
        behind_tid,
        flags: 0,
        comm: padded(format!("sleeper-{tid}").as_bytes()),
    }
}

/// The same behind a wait for a lock.
pub fn stall_behind_wait(lock_addr: u64, stall: StallRecord) -> StallRecord {
    StallRecord {
        behind: section::WAIT,
        lock_addr,
        ..stall
    }
}

/// A slow `inotify_add_watch` for IN_ATTRIB and IN_MOVE_SELF.
pub fn syscall(tid: u32, start_ms: u64, end_ms: u64) -> SyscallRecord {
    SyscallRecord {
        kind: kind::SYSCALL,
        call: call::INOTIFY_ADD_WATCH,
        start_ns: start_ms * MS,
        end_ns: end_ms * MS,
        mask: 0x804,
        cgroup_id: 7,
        pid: tid,
        tid,
        path_bytes: 16,
        cpu: 0,
        comm: padded(b"systemd"),
        path: padded(b"/data/var/spool"),
    }
}

/// A release of a contended lock.
pub fn release(tid: u32, lock_addr: u64, at_ms: u64) -> ReleaseRecord {
    ReleaseRecord {
        kind: kind::RELEASE,
        tid,
        lock_addr,
        at_ns: at_ms * MS,
    }
}

/// A record as an input.
pub fn input<T: crate::event::Record>(record: &T) -> Input {
    Input::Record(bytes(record))
}

/// Time passes.
pub fn tick(now_ms: u64) -> Input {
    Input::Tick {
        now_ns: now_ms * MS,
        lost_count: 0,
    }
}

/// The end.
pub fn end(end_ms: u64) -> Input {
    Input::End(Counts {
        end_ns: end_ms * MS,
        walks_count: 1,
        ..Counts::default()
    })
}

/// A record of the kernel's log.
pub fn log(at_ms: u64, text: &str) -> Input {
    Input::KernelLog {
        read_ns: at_ms * MS,
        line: format!("0,100,{},-;{text}\n", at_ms * 1_000).into_bytes(),
    }
}

/// Everything that inputs lead to.
pub fn findings(session: &Session, inputs: &[Input]) -> Vec<Finding> {
    let mut pipeline = Pipeline::new(session.clone());
    pipeline.feed(&mounts());
    inputs
        .iter()
        .flat_map(|input| pipeline.feed(input))
        .collect()
}
