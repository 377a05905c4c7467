//! Records decoded: bytes in, values out, nothing else.

mod dentries;
mod producers;

use std::mem::{MaybeUninit, offset_of};

use fslockup_ebpf::{
    DentryRecord, NAME_ROOM, NameRecord, PATH_IS_BROKEN, PATH_IS_CUT, ProducerRecord,
    ReleaseRecord, SYSCALL_UNKNOWN, StallRecord, SyscallRecord, WAS_RUNNABLE_BEFORE, WaitRecord,
    WalkRecord, call, kind, section, wait_how,
};

pub use dentries::{Change, DentryChange};
pub use producers::{NameSeen, ProducerSeen};

use crate::escape::until_nul;

/// Why bytes are not a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Too short for the kind it says it is.
    #[error("record of {got} bytes where kind {kind} has {expected} at least")]
    Length {
        /// The kind.
        kind: u32,
        /// Bytes there.
        got: usize,
        /// The least that a record of this kind has.
        expected: usize,
    },
    /// A kind this version doesn't know.
    #[error("record of unknown kind {0}")]
    Kind(u32),
    /// A field has a value that nothing writes.
    #[error("record of kind {kind} with {field} {value}")]
    Value {
        /// The kind.
        kind: u32,
        /// The field.
        field: &'static str,
        /// What it holds.
        value: u32,
    },
    /// Shorter than a kind.
    #[error("record without a kind")]
    Empty,
}

/// A decoded record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A walk, ended or still running.
    Walk(Box<Walk>),
    /// A wait for a spinlock that ended.
    Wait(Box<Wait>),
    /// A task that got a CPU late.
    Stall(Box<Stall>),
    /// A slow system call.
    Syscall(Box<Syscall>),
    /// A walker gave a contended lock back.
    Release(Release),
    /// A dentry changed, as `fslockup trace` asks for it.
    Dentry(Box<DentryChange>),
    /// A process was first seen to change the children of a directory.
    Producer(Box<ProducerSeen>),
    /// One of the names that a process changed.
    Name(Box<NameSeen>),
}

/// One walk of a directory's cached children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// Which slot of the probe saw it: see [`fslockup_ebpf::slot`].
    pub slot: u32,
    /// When the function was entered, CLOCK_MONOTONIC.
    pub entered_ns: u64,
    /// Start, CLOCK_MONOTONIC: of the longest stretch that the walker spent on a CPU, where it was switched out. It
    /// can't be while it holds the locks, so the walk is in one stretch.
    pub start_ns: u64,
    /// Its end, CLOCK_MONOTONIC; none while it runs.
    pub end_ns: Option<u64>,
    /// How long the walker was without a CPU inside the function.
    pub scheduled_out_ns: u64,
    /// It runs and has no CPU at this moment, so it holds none of the locks.
    pub is_away: bool,
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Id of the task's cgroup.
    pub cgroup_id: u64,
    /// Number of the system call.
    pub syscall_nr: Option<i64>,
    /// Inode number of the directory.
    pub ino: u64,
    /// Device, as the kernel packs it.
    pub dev: u32,
    /// Address of `i_lock`.
    pub i_lock_addr: Option<u64>,
    /// Address of `d_lock`.
    pub d_lock_addr: Option<u64>,
    /// CPU at the entry.
    pub start_cpu: u32,
    /// CPU at the exit; none while it runs.
    pub end_cpu: Option<u32>,
    /// The task's name.
    pub comm: Vec<u8>,
    /// File system type.
    pub fstype: Vec<u8>,
    /// Names from the root of the file system to the directory; none where it could not be read.
    pub path: Option<Vec<Vec<u8>>>,
    /// Names above the ones in `path` were left out.
    pub is_path_cut: bool,
}

impl Walk {
    /// How long it ran; none while it runs.
    #[must_use]
    pub fn walk_ns(&self) -> Option<u64> {
        Some(self.end_ns?.saturating_sub(self.start_ns))
    }
}

/// One wait for a spinlock, longer than the wait threshold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Address of the lock.
    pub lock_addr: u64,
    /// When the waiter found the lock taken, CLOCK_MONOTONIC.
    pub start_ns: u64,
    /// When it got it, CLOCK_MONOTONIC.
    pub end_ns: u64,
    /// Process id.
    pub pid: u32,
    /// Thread id; 0 is a CPU's idle task, in which an interrupt waited.
    pub tid: u32,
    /// CPU at the start.
    pub cpu: u32,
    /// The waiter slept: its CPU was free (PREEMPT_RT).
    pub is_sleeping: bool,
    /// The task's name.
    pub comm: Vec<u8>,
    /// Return addresses, innermost first; empty where the stack could not be read.
    pub stack: Vec<u64>,
}

impl Wait {
    /// How long it waited.
    #[must_use]
    pub fn wait_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }
}

/// What a CPU was inside of while a task waited for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// A walk.
    Walk,
    /// A wait for the lock at this address.
    Wait(u64),
}

/// A task that got a CPU late because a CPU was inside a walk or a wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// What it was behind, the largest share of it.
    pub behind: Behind,
    /// The task that was inside.
    pub behind_tid: u32,
    /// How much of the delay was spent behind such sections.
    pub behind_ns: u64,
    /// Start of the section, CLOCK_MONOTONIC.
    pub section_start_ns: u64,
    /// End of the section, CLOCK_MONOTONIC.
    pub section_end_ns: u64,
    /// From when the delay counts, CLOCK_MONOTONIC.
    pub queued_ns: u64,
    /// When the task got a CPU, CLOCK_MONOTONIC.
    pub running_ns: u64,
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// CPU that was inside the section, and that the task was queued on and got.
    pub cpu: u32,
    /// The task was runnable before the section began: the delay counts from there.
    pub was_runnable_before: bool,
    /// The task's name.
    pub comm: Vec<u8>,
}

impl Stall {
    /// From runnable to running.
    #[must_use]
    pub fn runq_delay_ns(&self) -> u64 {
        self.running_ns.saturating_sub(self.queued_ns)
    }
}

/// Which system call puts a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// inotify_add_watch(2).
    InotifyAddWatch,
    /// fanotify_mark(2).
    FanotifyMark,
    /// fcntl(2) with F_NOTIFY.
    FcntlNotify,
}

impl Call {
    /// The system call's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InotifyAddWatch => "inotify_add_watch",
            Self::FanotifyMark => "fanotify_mark",
            Self::FcntlNotify => "fcntl",
        }
    }
}

/// A system call that puts a watch, slower than the walk threshold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syscall {
    /// Which.
    pub call: Call,
    /// Entry, CLOCK_MONOTONIC.
    pub start_ns: u64,
    /// Exit, CLOCK_MONOTONIC.
    pub end_ns: u64,
    /// The mask argument.
    pub mask: u64,
    /// Id of the task's cgroup.
    pub cgroup_id: u64,
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// CPU at the exit.
    pub cpu: u32,
    /// The task's name.
    pub comm: Vec<u8>,
    /// The path argument as given; none where there is none or it could not be read.
    pub path: Option<Vec<u8>>,
}

impl Syscall {
    /// How long it took.
    #[must_use]
    pub fn syscall_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }
}

/// A walker gave back a lock that others waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// The walker.
    pub tid: u32,
    /// Address of the lock.
    pub lock_addr: u64,
    /// When, CLOCK_MONOTONIC.
    pub at_ns: u64,
}

/// Decodes one record, of this version or of another one (see [`Record`]).
///
/// # Errors
/// When the bytes are no record of a known kind.
pub fn decode(bytes: &[u8]) -> Result<Event, DecodeError> {
    let kind = bytes
        .first_chunk()
        .map(|kind| u32::from_ne_bytes(*kind))
        .ok_or(DecodeError::Empty)?;
    match kind {
        kind::WALK => Ok(Event::Walk(Box::new(decode_walk(&Read::of(kind, bytes)?)))),
        kind::WAIT => Ok(Event::Wait(Box::new(decode_wait(&Read::of(kind, bytes)?)?))),
        kind::STALL => Ok(Event::Stall(Box::new(decode_stall(
            &Read::of(kind, bytes)?.record,
        )?))),
        kind::SYSCALL => Ok(Event::Syscall(Box::new(decode_syscall(&Read::of(
            kind, bytes,
        )?)?))),
        kind::RELEASE => {
            let record: ReleaseRecord = Read::of(kind, bytes)?.record;
            Ok(Event::Release(Release {
                tid: record.tid,
                lock_addr: record.lock_addr,
                at_ns: record.at_ns,
            }))
        }
        kind::PRODUCER => Ok(Event::Producer(Box::new(producers::decode_producer(
            &Read::of(kind, bytes)?,
        )))),
        kind::NAME => Ok(Event::Name(Box::new(producers::decode_name(
            &Read::of(kind, bytes)?.record,
        )?))),
        kind::DENTRY => Ok(Event::Dentry(Box::new(dentries::decode_dentry(
            &Read::of(kind, bytes)?,
        )?))),
        other => Err(DecodeError::Kind(other)),
    }
}

/// A record type that any bytes of the right length make.
///
/// Recordings outlive the version that made them, so a record is read by the length that it was written with: a new
/// field comes behind all others, and its zeros say "not known". What a later version wrote behind the fields of this
/// one is left alone.
///
/// # Safety
/// The type is `repr(C)` and made of integers and arrays of them only.
pub(crate) unsafe trait Record: Copy {
    /// What no record goes without: less was never written.
    const LEAST_BYTES: usize;
}
// SAFETY: integers and byte arrays, see detector-ebpf/src/wire.
unsafe impl Record for WalkRecord {
    const LEAST_BYTES: usize = offset_of!(Self, path);
}
// SAFETY: as above.
unsafe impl Record for WaitRecord {
    const LEAST_BYTES: usize = offset_of!(Self, stack);
}
// SAFETY: as above.
unsafe impl Record for StallRecord {
    const LEAST_BYTES: usize = 96;
}
// SAFETY: as above.
unsafe impl Record for SyscallRecord {
    const LEAST_BYTES: usize = offset_of!(Self, path);
}
// SAFETY: as above.
unsafe impl Record for ReleaseRecord {
    const LEAST_BYTES: usize = 24;
}
// SAFETY: as above.
unsafe impl Record for ProducerRecord {
    const LEAST_BYTES: usize = offset_of!(Self, path);
}
// SAFETY: as above.
unsafe impl Record for NameRecord {
    const LEAST_BYTES: usize = offset_of!(Self, name) + NAME_ROOM;
}
// SAFETY: as above.
unsafe impl Record for DentryRecord {
    const LEAST_BYTES: usize = offset_of!(Self, path);
}

/// A record, with zeros where less was written than it has room for.
pub(crate) struct Read<T> {
    record: T,
    written_bytes: usize,
}

impl<T: Record> Read<T> {
    fn of(kind: u32, bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() < T::LEAST_BYTES {
            return Err(DecodeError::Length {
                kind,
                got: bytes.len(),
                expected: T::LEAST_BYTES,
            });
        }
        let written_bytes = bytes.len().min(size_of::<T>());
        let mut record = MaybeUninit::<T>::zeroed();
        // SAFETY: both have that many bytes, and every bit pattern is a `T`.
        let record = unsafe {
            record
                .as_mut_ptr()
                .cast::<u8>()
                .copy_from_nonoverlapping(bytes.as_ptr(), written_bytes);
            record.assume_init()
        };
        Ok(Self {
            record,
            written_bytes,
        })
    }

    /// As much of an array in the record, at this offset, as was written.
    fn written<'a, E>(&self, array: &'a [E], offset: usize) -> &'a [E] {
        let count = self.written_bytes.saturating_sub(offset) / size_of::<E>();
        &array[..count.min(array.len())]
    }
}

fn decode_walk(read: &Read<WalkRecord>) -> Walk {
    let record = &read.record;
    let path = read.written(&record.path, offset_of!(WalkRecord, path));
    let has_ended = record.end_ns != 0;
    let address = |address: u64| (address != 0).then_some(address);
    // Zeros where it was never switched out, or where an older version wrote the record.
    let [start_ns, end_ns] = if has_ended && record.run_end_ns != 0 {
        [record.run_start_ns, record.run_end_ns]
    } else if !has_ended && record.back_ns != 0 {
        [record.back_ns, 0]
    } else {
        [record.start_ns, record.end_ns]
    };
    Walk {
        slot: record.slot,
        entered_ns: record.start_ns,
        start_ns,
        end_ns: has_ended.then_some(end_ns),
        scheduled_out_ns: record.scheduled_out_ns,
        is_away: !has_ended && record.left_ns != 0,
        pid: record.pid,
        tid: record.tid,
        cgroup_id: record.cgroup_id,
        syscall_nr: (record.syscall_nr != SYSCALL_UNKNOWN).then_some(record.syscall_nr),
        ino: record.ino,
        dev: record.dev,
        i_lock_addr: address(record.i_lock_addr),
        d_lock_addr: address(record.d_lock_addr),
        start_cpu: record.start_cpu,
        end_cpu: has_ended.then_some(record.end_cpu),
        comm: until_nul(&record.comm).to_vec(),
        fstype: until_nul(&record.fstype).to_vec(),
        path: decode_path(path, record.path_len, record.path_flags),
        is_path_cut: record.path_flags & PATH_IS_CUT != 0,
    }
}

fn decode_wait(read: &Read<WaitRecord>) -> Result<Wait, DecodeError> {
    let record = &read.record;
    let frames = usize::try_from(record.stack_bytes).unwrap_or(0) / size_of::<u64>();
    let stack = read.written(&record.stack, offset_of!(WaitRecord, stack));
    Ok(Wait {
        lock_addr: record.lock_addr,
        start_ns: record.start_ns,
        end_ns: record.end_ns,
        pid: record.pid,
        tid: record.tid,
        cpu: record.cpu,
        is_sleeping: match record.how {
            wait_how::SPIN => false,
            wait_how::SLEEP => true,
            value => {
                return Err(DecodeError::Value {
                    kind: kind::WAIT,
                    field: "how",
                    value,
                });
            }
        },
        comm: until_nul(&record.comm).to_vec(),
        stack: stack.iter().take(frames).copied().collect(),
    })
}

fn decode_stall(record: &StallRecord) -> Result<Stall, DecodeError> {
    Ok(Stall {
        behind: match record.behind {
            section::WALK => Behind::Walk,
            section::WAIT => Behind::Wait(record.lock_addr),
            value => {
                return Err(DecodeError::Value {
                    kind: kind::STALL,
                    field: "behind",
                    value,
                });
            }
        },
        behind_tid: record.behind_tid,
        behind_ns: record.behind_ns,
        section_start_ns: record.section_start_ns,
        section_end_ns: record.section_end_ns,
        queued_ns: record.queued_ns,
        running_ns: record.running_ns,
        pid: record.pid,
        tid: record.tid,
        cpu: record.cpu,
        was_runnable_before: record.flags & WAS_RUNNABLE_BEFORE != 0,
        comm: until_nul(&record.comm).to_vec(),
    })
}

fn decode_syscall(read: &Read<SyscallRecord>) -> Result<Syscall, DecodeError> {
    let record = &read.record;
    let path = read.written(&record.path, offset_of!(SyscallRecord, path));
    let path_bytes = usize::try_from(record.path_bytes).unwrap_or(0);
    Ok(Syscall {
        call: match record.call {
            call::INOTIFY_ADD_WATCH => Call::InotifyAddWatch,
            call::FANOTIFY_MARK => Call::FanotifyMark,
            call::FCNTL_NOTIFY => Call::FcntlNotify,
            value => {
                return Err(DecodeError::Value {
                    kind: kind::SYSCALL,
                    field: "call",
                    value,
                });
            }
        },
        start_ns: record.start_ns,
        end_ns: record.end_ns,
        mask: record.mask,
        cgroup_id: record.cgroup_id,
        pid: record.pid,
        tid: record.tid,
        cpu: record.cpu,
        comm: until_nul(&record.comm).to_vec(),
        path: (path_bytes > 0)
            .then(|| path.get(..path_bytes.min(record.path.len())))
            .flatten()
            .map(|path| until_nul(path).to_vec()),
    })
}

/// The components stand from the leaf upwards; a length that runs over the end makes it none.
fn decode_path(path: &[u8], len: u16, flags: u16) -> Option<Vec<Vec<u8>>> {
    if flags & PATH_IS_BROKEN != 0 {
        return None;
    }
    let mut rest = path.get(..usize::from(len))?;
    let mut names = Vec::new();
    while let Some((len, tail)) = rest.split_first() {
        let (name, tail) = tail.split_at_checked(usize::from(*len))?;
        names.push(name.to_vec());
        rest = tail;
    }
    names.reverse();
    Some(names)
}

#[cfg(test)]
pub(crate) mod tests;
