//! Records about who changes the children of directories.

use std::mem::offset_of;

use fslockup_ebpf::{NameRecord, PATH_IS_CUT, ProducerKey, ProducerRecord, change, kind};

use super::{DecodeError, Read, decode_path};
use crate::escape::until_nul;

/// A process was seen for the first time to change the children of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerSeen {
    /// Process and directory.
    pub key: ProducerKey,
    /// Thread id.
    pub tid: u32,
    /// CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// Id of the task's cgroup in the version 2 hierarchy.
    pub cgroup_id: u64,
    /// Address of the directory's dentry.
    pub dentry_addr: u64,
    /// The task's name.
    pub comm: Vec<u8>,
    /// The directory's file system type.
    pub fstype: Vec<u8>,
    /// Names from the root of the file system to the directory; none where it could not be read.
    pub path: Option<Vec<Vec<u8>>>,
    /// Names above the ones in `path` were left out.
    pub is_path_cut: bool,
    /// Device of the file system that the program is on, as the kernel packs it; none where the process
    /// has no program (a kernel thread) or it could not be read.
    pub exe_dev: Option<u32>,
    /// Names from the root of that file system to the program; none as above.
    pub exe: Option<Vec<Vec<u8>>>,
    /// Names above the ones in `exe` were left out.
    pub is_exe_cut: bool,
}

/// One of the names that a process changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameSeen {
    /// Process and directory.
    pub key: ProducerKey,
    /// One of [`change`].
    pub change: u32,
    /// The name, escaped by nobody yet.
    pub name: Vec<u8>,
}

pub(super) fn decode_producer(read: &Read<ProducerRecord>) -> ProducerSeen {
    let record = &read.record;
    let path = read.written(&record.path, offset_of!(ProducerRecord, path));
    let exe = read.written(&record.exe, offset_of!(ProducerRecord, exe));
    let exe = decode_path(exe, record.exe_len, record.exe_flags);
    ProducerSeen {
        key: record.key,
        tid: record.tid,
        at_ns: record.at_ns,
        cgroup_id: record.cgroup_id,
        dentry_addr: record.dentry_addr,
        comm: until_nul(&record.comm).to_vec(),
        fstype: until_nul(&record.fstype).to_vec(),
        path: decode_path(path, record.path_len, record.path_flags),
        is_path_cut: record.path_flags & PATH_IS_CUT != 0,
        exe_dev: (record.exe_dev != 0).then_some(record.exe_dev),
        // A program is never the root of its file system.
        exe: exe.filter(|names| !names.is_empty()),
        is_exe_cut: record.exe_flags & PATH_IS_CUT != 0,
    }
}

pub(super) fn decode_name(record: &NameRecord) -> Result<NameSeen, DecodeError> {
    let bad = |field, value| DecodeError::Value {
        kind: kind::NAME,
        field,
        value,
    };
    if record.change as usize >= change::LEN {
        return Err(bad("change", record.change));
    }
    let name = record
        .name
        .get(..record.name_len as usize)
        .ok_or_else(|| bad("name_len", record.name_len))?;
    Ok(NameSeen {
        key: record.key,
        change: record.change,
        name: name.to_vec(),
    })
}
