//! `struct dentry` (linux/dcache.h).

use core::mem::MaybeUninit;

use fslockup_ebpf::{NAME_BYTES_MAX, NAME_ROOM, OFFSET_UNKNOWN};

use super::{Address, Pointer, masked};
use crate::state::settings::offset;

/// The directory that a dentry is a child of; itself for a root.
#[inline(always)]
pub fn parent<P: Pointer>(dentry: P) -> P::Read<P> {
    dentry.follow(offset!(dentry_d_parent))
}

/// The same; none for a root.
#[inline(always)]
pub fn directory(dentry: Address) -> Option<Address> {
    let parent = parent(dentry)?;
    if parent == dentry {
        return None;
    }
    Some(parent)
}

/// Its inode; nowhere if it is negative.
#[inline(always)]
pub fn inode<P: Pointer>(dentry: P) -> P::Read<P> {
    dentry.follow(offset!(dentry_d_inode))
}

/// Whether it has one.
#[inline(always)]
pub fn is_positive<P: Pointer>(dentry: P) -> bool {
    P::target(inode(dentry)).is_some()
}

/// Its superblock.
#[inline(always)]
pub fn sb(dentry: Address) -> Option<Address> {
    dentry.follow(offset!(dentry_d_sb))
}

/// References to it; negative if it is dead. Each of its children holds one.
#[inline(always)]
pub fn references<P: Pointer>(dentry: P) -> P::Read<i32> {
    dentry.read_field(offset!(dentry_d_count))
}

/// Where its lock is.
#[inline(always)]
pub fn lock(dentry: Address) -> Option<Address> {
    dentry.field(offset!(dentry_d_lock))
}

/// Whether a lookup can find it (`d_unhashed`).
#[inline(always)]
pub fn is_hashed<P: Pointer>(dentry: P) -> bool {
    P::target(dentry.follow(offset!(dentry_d_hash_pprev))).is_some()
}

/// Whether a negative dentry never was in the cache. Taking it out of there changes its sequence
/// (`__d_drop`), which is 0 from the start (`__d_alloc`) and stays so while it has no inode.
#[inline(always)]
pub fn never_was_hashed<P: Pointer>(negative: P) -> bool {
    !is_hashed(negative) && P::value(negative.read_field::<u32>(offset!(dentry_d_seq))) == Some(0)
}

/// Hash and length of its name.
#[inline(always)]
pub fn name_hash_len(dentry: Address) -> Option<u64> {
    dentry.read_field(offset!(dentry_d_name_hash_len))
}

/// Length of its name.
#[inline(always)]
pub fn name_len(dentry: Address) -> Option<u32> {
    dentry.read_field(offset!(dentry_d_name_len))
}

/// Where its name is.
#[inline(always)]
pub fn name(dentry: Address) -> Option<Address> {
    dentry.follow(offset!(dentry_d_name_name))
}

/// Copies its name. How many bytes it has.
#[inline(always)]
pub fn copy_name(dentry: Address, to: &mut [u8; NAME_ROOM]) -> Option<u32> {
    let len = name_len(dentry)?;
    let name = name(dentry)?;
    let len = masked::<NAME_BYTES_MAX>(len as usize) as u32;
    name.copy_to(to.as_mut_ptr(), len).then_some(len)
}

/// Where the head of its list of children is.
#[inline(always)]
pub fn children(dentry: Address) -> Option<Address> {
    dentry.field(offset!(dentry_d_children))
}

/// The child that has this link in a list of children.
#[inline(always)]
pub fn of_link(link_addr: u64) -> Address {
    let offset = offset!(dentry_d_sib);
    // User space has looked: without it nothing is loaded.
    if offset == OFFSET_UNKNOWN {
        return Address(0);
    }
    Address(link_addr - u64::from(offset))
}

/// The dentry that has this link in its inode's list of aliases.
#[inline(always)]
pub fn of_alias(link: Address) -> Option<Address> {
    let alias = offset!(dentry_d_alias);
    if alias == OFFSET_UNKNOWN {
        return None;
    }
    Some(Address(link.0 - u64::from(alias)))
}

/// The flags of what is no child in a list of children.
#[inline(always)]
pub fn no_child_flags() -> u64 {
    offset!(dentry_flags_no_child).into()
}

/// What a child is.
pub struct Head {
    pub flags: u64,
    pub parent_addr: u64,
    pub inode: u64,
}

/// Bytes at the start of a dentry: one cache line, in which its flags, its parent and its inode lie where nothing makes
/// `d_seq` larger (PREEMPT_RT and lock debugging do).
const HEAD_BYTES: usize = 64;
/// Where the last word in it begins.
const HEAD_LAST: u32 = HEAD_BYTES as u32 - 8;

impl Head {
    /// In one read where that does; zeros where it can't be read. The offsets are constants to the verifier, and it drops
    /// the other way.
    #[inline(always)]
    pub fn of(child: Address) -> Self {
        let (flags, parent, inode) = (
            offset!(dentry_d_flags),
            offset!(dentry_d_parent),
            offset!(dentry_d_inode),
        );
        if flags > HEAD_LAST || parent > HEAD_LAST || inode > HEAD_LAST {
            // The first word of each; 0 is the address of no dentry.
            let word = |at: u32| Address(child.0.wrapping_add(at.into())).read_or_zeros::<u64>();
            return Self {
                flags: word(flags),
                parent_addr: word(parent),
                inode: word(inode),
            };
        }
        let mut place = MaybeUninit::<[u8; HEAD_BYTES]>::uninit();
        let head = child.read_to(&mut place);
        let word = |at: u32| {
            // SAFETY: the word lies in what was read, aligned as in the kernel.
            unsafe {
                head.as_ptr()
                    .byte_add(at as usize)
                    .cast::<u64>()
                    .read_volatile()
            }
        };
        Self {
            flags: word(flags),
            parent_addr: word(parent),
            inode: word(inode),
        }
    }
}
