//! A directory's list of children, read without a lock.
//!
//! The list is a `list_head` that ends at its head, since da549bdd15c2 (6.8) an `hlist` that ends in
//! NULL. In both the head begins with the address of the first link, and a link is the address of the
//! next one and then that of the one before, so one loop does for both.

use fslockup_ebpf::{CENSUS_STEPS_MAX, CensusCursor, CensusState, census_end};

use crate::kernel::{
    Address,
    dentry::{self, Head},
};

/// `struct list_head` or `struct hlist_node`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Link {
    next: u64,
    before: u64,
}

/// Passes some children, counts them, leaves the cursor at the last one. How it ended: [`census_end`].
///
/// New children come to the head of the list, so what is behind a place stays as it is until a child
/// is removed or renamed. That is seen: each child must point back to the one that led to it, and
/// have this directory as its parent.
#[inline(always)]
pub fn step(dentry: Address, state: &mut CensusState) -> u32 {
    state.negative_count = 0;
    state.positive_count = 0;
    state.no_child_count = 0;
    state.sample_len = 0;
    state.sample_addr = 0;
    let Some(head) = dentry::children(dentry) else {
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
        let child = dentry::of_link(to);
        // Zeros, which no link in a list is made of, where it can't be read.
        let link: Link = Address(to).read_or_zeros();
        let head = Head::of(child);
        if link.before != from || head.parent_addr != dentry.0 {
            return census_end::LOST;
        }
        // One way for all kinds of children: the verifier follows each way through a round by itself, and with a
        // branch for each kind it took a third of a second on 6.1, in instruction time.
        let is_positive = is_not_zero(head.inode);
        let no_child = head.flags & dentry::no_child_flags();
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
    state.cursor.name_hash_len = dentry::name_hash_len(dentry::of_link(from)).unwrap_or(0);
    let sample = in_memory(&mut state.sample_addr);
    if sample != 0 {
        state.sample_len = dentry::copy_name(Address(sample), &mut state.sample).unwrap_or(0);
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

/// The link to come from and the one to go to; none where the cursor is not in the list any more, or
/// is there at another place.
#[inline(always)]
fn place(dentry: Address, head: Address, cursor: &CensusCursor) -> Option<(u64, u64)> {
    if cursor.link_addr == 0 {
        return Some((head.0, head.read()?));
    }
    let link: Link = Address(cursor.link_addr).read()?;
    let child = dentry::of_link(cursor.link_addr);
    let back: u64 = Address(link.before).read()?;
    if back != cursor.link_addr
        || link.next != cursor.next_addr
        || dentry::parent(child) != Some(dentry)
        || dentry::name_hash_len(child).unwrap_or(0) != cursor.name_hash_len
    {
        return None;
    }
    Some((cursor.link_addr, link.next))
}
