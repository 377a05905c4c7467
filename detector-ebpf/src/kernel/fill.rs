//! What records take from the kernel.

use fslockup_ebpf::{
    DentryRecord, EXE_COMPONENTS_MAX, NameRecord, PATH_COMPONENTS_MAX, PATH_IS_BROKEN,
    ProducerRecord, WalkRecord,
};

use super::{
    Address, dentry, inode,
    path::{PathRoom, fill_path},
    task,
};

/// The room that a record has for a path, under the names of its fields.
macro_rules! room {
    ($record:ident.$path:ident, $len:ident, $flags:ident) => {
        PathRoom {
            path: &mut $record.$path,
            len: &mut $record.$len,
            flags: &mut $record.$flags,
        }
    };
}

/// Fills in what the directory's inode leads to: number, device, file system type, locks, path.
#[inline(always)]
pub fn fill_directory(inode: Address, walk: &mut WalkRecord) {
    if let Some(ino) = inode::ino(inode) {
        walk.ino = ino;
    }
    if let Some(lock) = inode::lock(inode) {
        walk.i_lock_addr = lock.0;
    }
    if let Some(sb) = inode::sb(inode) {
        if let Some(dev) = inode::dev(sb) {
            walk.dev = dev;
        }
        inode::copy_fstype(sb, &mut walk.fstype);
    }
    let Some(dentry) = inode::directory_dentry(inode) else {
        walk.path_flags |= PATH_IS_BROKEN;
        return;
    };
    if let Some(lock) = dentry::lock(dentry) {
        walk.d_lock_addr = lock.0;
    }
    let room = room!(walk.path, path_len, path_flags);
    fill_path(dentry, room, PATH_COMPONENTS_MAX);
}

/// Fills in what a directory's dentry leads to: its file system's type, its path.
#[inline(always)]
pub fn fill_producer_directory(dentry: Address, record: &mut ProducerRecord) {
    if let Some(sb) = dentry::sb(dentry) {
        inode::copy_fstype(sb, &mut record.fstype);
    }
    let room = room!(record.path, path_len, path_flags);
    fill_path(dentry, room, PATH_COMPONENTS_MAX);
}

/// Fills in the current process's program: its path and the device of its file system. A kernel thread
/// has none.
#[inline(always)]
pub fn fill_exe(record: &mut ProducerRecord) {
    let Some(dentry) = task::exe_dentry() else {
        record.exe_flags |= PATH_IS_BROKEN;
        return;
    };
    if let Some(dev) = dentry::sb(dentry).and_then(inode::dev) {
        record.exe_dev = dev;
    }
    let room = room!(record.exe, exe_len, exe_flags);
    fill_path(dentry, room, EXE_COMPONENTS_MAX);
}

/// Fills in a dentry's name.
#[inline(always)]
pub fn fill_name(dentry: Address, record: &mut NameRecord) {
    if let Some(len) = dentry::copy_name(dentry, &mut record.name) {
        record.name_len = len;
    }
}

/// Fills in the name of a dentry and, if wanted, the path of its directory.
#[inline(always)]
pub fn fill_dentry(dentry: Address, directory: Option<Address>, record: &mut DentryRecord) {
    if let Some(len) = dentry::copy_name(dentry, &mut record.name) {
        record.name_len = len;
    }
    if let Some(directory) = directory {
        let room = room!(record.path, path_len, path_flags);
        fill_path(directory, room, PATH_COMPONENTS_MAX);
    }
}
