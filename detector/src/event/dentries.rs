//! Changes of dentries decoded.

use std::mem::offset_of;

use fslockup_ebpf::{DentryRecord, PATH_IS_CUT, change, kind};

use super::{DecodeError, Read, decode_path};
use crate::escape::until_nul;

/// What happened to a dentry: see [`change`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A lookup found nothing.
    MadeNegative,
    /// A lookup found an inode, or something was made that no lookup had asked for.
    MadePositive,
    /// A negative dentry got an inode.
    Filled,
    /// A positive dentry lost its inode and stays as a negative one.
    Emptied,
    /// A negative dentry left the cache.
    RemovedNegative,
    /// A positive dentry left the cache.
    RemovedPositive,
}

impl Change {
    fn of(number: u32) -> Option<Self> {
        Some(match number {
            change::MADE_NEGATIVE => Self::MadeNegative,
            change::MADE_POSITIVE => Self::MadePositive,
            change::FILLED => Self::Filled,
            change::EMPTIED => Self::Emptied,
            change::REMOVED_NEGATIVE => Self::RemovedNegative,
            change::REMOVED_POSITIVE => Self::RemovedPositive,
            _ => return None,
        })
    }

    /// The dentry is negative afterwards, or was until it left the cache.
    #[must_use]
    pub fn is_negative(self) -> bool {
        matches!(
            self,
            Self::MadeNegative | Self::Emptied | Self::RemovedNegative
        )
    }
}

/// One change of a cached dentry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DentryChange {
    /// What happened.
    pub change: Change,
    /// CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Id of the task's cgroup.
    pub cgroup_id: u64,
    /// CPU.
    pub cpu: u32,
    /// The task's name.
    pub comm: Vec<u8>,
    /// Device of the directory, as the kernel packs it.
    pub dev: u32,
    /// Inode number of the directory.
    pub directory_ino: u64,
    /// Inode number that the dentry has, gets or loses.
    pub ino: Option<u64>,
    /// The dentry's name.
    pub name: Vec<u8>,
    /// Names from the root of the file system to the directory; none where they could not be read, empty
    /// where one directory was asked for.
    pub directory: Option<Vec<Vec<u8>>>,
    /// Names above the ones in `directory` were left out.
    pub is_path_cut: bool,
}

pub(super) fn decode_dentry(read: &Read<DentryRecord>) -> Result<DentryChange, DecodeError> {
    let record = &read.record;
    let path = read.written(&record.path, offset_of!(DentryRecord, path));
    let bad = |field, value| DecodeError::Value {
        kind: kind::DENTRY,
        field,
        value,
    };
    let name = record
        .name
        .get(..record.name_len as usize)
        .ok_or_else(|| bad("name_len", record.name_len))?;
    Ok(DentryChange {
        change: Change::of(record.change).ok_or_else(|| bad("change", record.change))?,
        at_ns: record.at_ns,
        pid: record.pid,
        tid: record.tid,
        cgroup_id: record.cgroup_id,
        cpu: record.cpu,
        comm: until_nul(&record.comm).to_vec(),
        dev: record.dev,
        directory_ino: record.directory_ino,
        ino: (record.ino != 0).then_some(record.ino),
        name: name.to_vec(),
        directory: decode_path(path, record.path_len, record.path_flags),
        is_path_cut: record.path_flags & PATH_IS_CUT != 0,
    })
}
