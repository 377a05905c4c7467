//! `struct inode`, and the superblock behind it (linux/fs.h).

use fslockup_ebpf::FSTYPE_BYTES;

use super::{Address, Pointer, Typed, dentry};
use crate::state::settings::offset;

/// Its number.
#[inline(always)]
pub fn ino<P: Pointer>(inode: P) -> P::Read<u64> {
    inode.read_field(offset!(inode_i_ino))
}

/// Its superblock.
#[inline(always)]
pub fn sb<P: Pointer>(inode: P) -> P::Read<P> {
    inode.follow(offset!(inode_i_sb))
}

/// Where its lock is.
#[inline(always)]
pub fn lock(inode: Address) -> Option<Address> {
    inode.field(offset!(inode_i_lock))
}

/// The dentry of a directory: its inode's only alias (a directory has one, fs/dcache.c).
#[inline(always)]
pub fn directory_dentry(inode: Address) -> Option<Address> {
    dentry::of_alias(inode.follow(offset!(inode_i_dentry))?)
}

/// The device of a superblock.
#[inline(always)]
pub fn dev<P: Pointer>(sb: P) -> P::Read<u32> {
    sb.read_field(offset!(super_block_s_dev))
}

/// What distinguishes one directory from another.
pub struct Identity<P> {
    pub ino: u64,
    pub dev: u32,
    pub sb: P,
}

/// Number, device and superblock of an inode.
#[inline(always)]
pub fn identity<P: Pointer>(inode: P) -> Option<Identity<P>> {
    let sb = P::target(sb(inode))?;
    Some(Identity {
        ino: P::value(ino(inode))?,
        dev: P::value(dev(sb))?,
        sb,
    })
}

/// Number of a directory's inode; 0 where it has no inode yet, as the dentry of a pipe while it is made. A load through
/// a null pointer reads 0 as well, but costs a page fault; and where a kernel lacks 0108a4e9f358 (6.4; 5.10.262 does), that
/// fault can end in a panic: a program with functions has two entries in the table of exceptions, one of them
/// empty.
#[inline(always)]
pub fn ino_of(directory: Typed) -> u64 {
    Typed::target(dentry::inode(directory)).map_or(0, ino)
}

/// Number and device of a directory's inode; zeros as in [`ino_of`].
#[inline(always)]
pub fn identity_of(directory: Typed) -> (u64, u32) {
    let Some(inode) = Typed::target(dentry::inode(directory)) else {
        return (0, 0);
    };
    let Some(sb) = Typed::target(sb(inode)) else {
        return (0, 0);
    };
    (ino(inode), dev(sb))
}

/// Copies the name of a superblock's file system type.
#[inline(always)]
pub fn copy_fstype(sb: Address, to: &mut [u8; FSTYPE_BYTES]) {
    if let Some(name) = sb
        .follow(offset!(super_block_s_type))
        .and_then(|fstype| fstype.follow(offset!(file_system_type_name)))
    {
        // One byte less than there is room for: the last one stays the ending 0.
        name.copy_to(to.as_mut_ptr(), FSTYPE_BYTES as u32 - 1);
    }
}
