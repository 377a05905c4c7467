//! A directory's dentry and its list of children, read without a lock.
//!
//! The list is a `list_head` that ends at its head, since da549bdd15c2 (6.8) an `hlist` that ends in
//! NULL. In both the head begins with the address of the first link, and a link is the address of the
//! next one and then that of the one before, so one loop does for both.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::bpf_get_current_task;
use fslockup_ebpf::{
    CENSUS_STEPS_MAX, CensusCursor, CensusState, FSTYPE_BYTES, NAME_BYTES_MAX, NAME_ROOM,
    OFFSET_UNKNOWN, census_end,
};

use crate::{
    kernel::{Address, masked},
    state::settings::offset,
};

/// `struct list_head` or `struct hlist_node`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Link {
    next: u64,
    before: u64,
}

/// A link; zeros, which no link in a list is made of, where it can't be read. Whether it could is not asked, because each
/// question is one more way that the verifier follows, for each child.
#[inline(always)]
fn link_at(addr: u64) -> Link {
    let mut link = MaybeUninit::<Link>::uninit();
    Address(addr).copy_to(link.as_mut_ptr().cast(), size_of::<Link>() as u32);
    // SAFETY: the helper writes all of it, zeros where it can't read. Zeros written before would be a function with a
    // loop, which was half of what the verifier looked at in each round.
    unsafe { link.assume_init() }
}

/// What tells one directory from another.
pub struct Identity {
    pub ino: u64,
    pub dev: u32,
    pub sb: Address,
}

/// The dentry behind a file descriptor of the current process.
#[inline(always)]
pub fn behind_file(fd: u32) -> Option<Address> {
    // SAFETY: a plain helper.
    let task = Address(unsafe { bpf_get_current_task() });
    let table = task
        .follow(offset!(task_struct_files))?
        .follow(offset!(files_struct_fdt))?;
    let limit: u32 = table.read_field(offset!(fdtable_max_fds))?;
    if fd >= limit {
        return None;
    }
    let files = table.follow(offset!(fdtable_fd))?;
    match Address(files.0 + u64::from(fd) * 8).read::<u64>()? {
        0 => None,
        file => Address(file).follow(offset!(file_f_path_dentry)),
    }
}

/// Inode number and device of a dentry's inode; none if it has none: it was removed.
#[inline(always)]
pub fn identity(dentry: Address) -> Option<Identity> {
    let inode = dentry.follow(offset!(dentry_d_inode))?;
    let sb = inode.follow(offset!(inode_i_sb))?;
    Some(Identity {
        ino: inode.read_field(offset!(inode_i_ino))?,
        dev: sb.read_field(offset!(super_block_s_dev))?,
        sb,
    })
}

/// The name of a superblock's file system type.
#[inline(always)]
pub fn copy_fstype(sb: Address, to: &mut [u8; FSTYPE_BYTES]) {
    if let Some(fstype) = sb.follow(offset!(super_block_s_type))
        && let Some(name) = fstype.follow(offset!(file_system_type_name))
    {
        // One byte less than there is room for: the last one stays the ending 0.
        name.copy_to(to.as_mut_ptr(), FSTYPE_BYTES as u32 - 1);
    }
}

/// The reference count of a dentry: each of its children holds one.
#[inline(always)]
pub fn references(dentry: Address) -> Option<u32> {
    dentry.read_field(offset!(dentry_d_count))
}

/// The first link in a directory's list; its head or 0 in an empty one.
#[inline(always)]
pub fn first(dentry: Address) -> Option<u64> {
    dentry.read_field(offset!(dentry_d_children))
}

/// Passes some children, counts them, leaves the cursor at the last one. How it ended: [`census_end`].
///
/// New children come to the head of the list, so what is behind a place stays as it is until somebody
/// removes or renames a child. That is seen: each child must point back to the one that led to it, and
/// have this directory as its parent.
#[inline(always)]
pub fn step(dentry: Address, state: &mut CensusState) -> u32 {
    state.negative_count = 0;
    state.positive_count = 0;
    state.no_child_count = 0;
    state.sample_len = 0;
    state.sample_addr = 0;
    let Some(head) = dentry.field(offset!(dentry_d_children)) else {
        return census_end::LOST;
    };
    let Some((mut from, mut to)) = place(dentry, head, &state.cursor) else {
        return census_end::LOST;
    };
    let mut end = census_end::MORE;
    for round in 0..CENSUS_STEPS_MAX {
        if round >= state.steps_max {
            break;
        }
        // The end of one kind of list, and of the other.
        if to == 0 || to == head.0 {
            end = census_end::LAST;
            break;
        }
        let child = child_of(to);
        let link = link_at(to);
        let head = Head::of(child);
        if link.before != from || head.parent_addr != dentry.0 {
            return census_end::LOST;
        }
        // One way for all kinds of children: the verifier follows each way through a round by itself, and with a
        // branch for each kind it took a third of a second on 6.1, in instruction time.
        let is_positive = is_not_zero(head.inode);
        let no_child = head.flags & u64::from(offset!(dentry_flags_no_child));
        let is_no_child = is_not_zero(no_child) & !is_positive;
        let is_negative = 1 - is_positive - is_no_child;
        // A negative child's name rather than another's.
        let has_negative = is_not_zero(in_memory(&mut state.negative_count).into());
        let is_sample = is_negative | (is_positive & !has_negative);
        let sample_addr = in_memory(&mut state.sample_addr);
        let chosen = is_sample.wrapping_neg();
        keep(
            &mut state.sample_addr,
            (sample_addr & !chosen) | (child.0 & chosen),
        );
        add(&mut state.positive_count, is_positive);
        add(&mut state.no_child_count, is_no_child);
        add(&mut state.negative_count, is_negative);
        from = to;
        to = link.next;
    }
    // The list may have ended just behind the last child.
    if to == 0 || to == head.0 {
        end = census_end::LAST;
    }
    if from == head.0 {
        return end;
    }
    state.cursor.link_addr = from;
    state.cursor.next_addr = to;
    state.cursor.name_hash_len = name_hash_len(child_of(from)).unwrap_or(0);
    let sample = in_memory(&mut state.sample_addr);
    if sample != 0 {
        state.sample_len = copy_name(Address(sample), &mut state.sample).unwrap_or(0);
    }
    end
}

/// What a pass over a child leaves stands in the map, never in a register: there the verifier would follow each
/// combination of what was found so far by itself, which made it look at four times as many instructions.
#[inline(always)]
fn in_memory<T: Copy>(place: &mut T) -> T {
    // SAFETY: a reference is valid.
    unsafe { core::ptr::from_mut(place).read_volatile() }
}

#[inline(always)]
fn keep<T>(place: &mut T, value: T) {
    // SAFETY: a reference is valid.
    unsafe { core::ptr::from_mut(place).write_volatile(value) }
}

#[inline(always)]
fn add(count: &mut u32, number: u64) {
    let next = in_memory(count).wrapping_add(number as u32);
    keep(count, next);
}

/// 1 for any number but 0, without a branch: the compiler would make one of a comparison.
#[inline(always)]
fn is_not_zero(number: u64) -> u64 {
    let mut bit = number;
    // SAFETY: arithmetic instructions on registers.
    unsafe {
        core::arch::asm!(
            "{bit} = -{bit}",
            "{bit} |= {number}",
            "{bit} >>= 63",
            bit = inout(reg) bit,
            number = in(reg) number,
            options(pure, nomem, nostack)
        )
    };
    bit
}

/// What a child is.
struct Head {
    flags: u64,
    parent_addr: u64,
    inode: u64,
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
    fn of(child: Address) -> Self {
        let (flags, parent, inode) = (
            offset!(dentry_d_flags),
            offset!(dentry_d_parent),
            offset!(dentry_d_inode),
        );
        if flags > HEAD_LAST || parent > HEAD_LAST || inode > HEAD_LAST {
            return Self {
                flags: word_at(child, flags),
                parent_addr: word_at(child, parent),
                inode: word_at(child, inode),
            };
        }
        let mut head = MaybeUninit::<[u8; HEAD_BYTES]>::uninit();
        child.copy_to(head.as_mut_ptr().cast(), HEAD_BYTES as u32);
        let word = |at: u32| {
            // SAFETY: the helper has written all of it, and the word lies in it, aligned as in the kernel.
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

/// The first word of a field; 0 where it can't be read, which is the address of no dentry.
#[inline(always)]
fn word_at(child: Address, offset: u32) -> u64 {
    let mut word = MaybeUninit::<u64>::uninit();
    Address(child.0.wrapping_add(offset.into()))
        .copy_to(word.as_mut_ptr().cast(), size_of::<u64>() as u32);
    // SAFETY: the helper writes all of it.
    unsafe { word.assume_init() }
}

/// The link to come from and the one to go to; none where the cursor is not in the list any more, or
/// is there at another place.
#[inline(always)]
fn place(dentry: Address, head: Address, cursor: &CensusCursor) -> Option<(u64, u64)> {
    if cursor.link_addr == 0 {
        return Some((head.0, head.read()?));
    }
    let link: Link = Address(cursor.link_addr).read()?;
    let child = child_of(cursor.link_addr);
    let back: u64 = Address(link.before).read()?;
    if back != cursor.link_addr
        || link.next != cursor.next_addr
        || !is_parent(dentry, child)
        || name_hash_len(child).unwrap_or(0) != cursor.name_hash_len
    {
        return None;
    }
    Some((cursor.link_addr, link.next))
}

#[inline(always)]
fn child_of(link_addr: u64) -> Address {
    let offset = offset!(dentry_d_sib);
    // User space has looked: without it nothing is loaded.
    if offset == OFFSET_UNKNOWN {
        return Address(0);
    }
    Address(link_addr - u64::from(offset))
}

#[inline(always)]
fn is_parent(dentry: Address, child: Address) -> bool {
    child.follow(offset!(dentry_d_parent)) == Some(dentry)
}

#[inline(always)]
fn name_hash_len(child: Address) -> Option<u64> {
    child.read_field(offset!(dentry_d_name_hash_len))
}

#[inline(always)]
fn copy_name(child: Address, to: &mut [u8; NAME_ROOM]) -> Option<u32> {
    let len: u32 = child.read_field(offset!(dentry_d_name_len))?;
    let name = child.follow(offset!(dentry_d_name_name))?;
    let len = masked::<NAME_BYTES_MAX>(len as usize) as u32;
    name.copy_to(to.as_mut_ptr(), len).then_some(len)
}
