//! How long did the walker hold each spinlock?
//!
//! No hash map here: the kernel takes spinlocks to change one, and a program on the lock function that
//! takes the lock it was called for waits for ever.

use aya_ebpf::{
    macros::{fentry, fexit, map},
    maps::Array,
    programs::{FEntryContext, FExitContext},
};
use fslockup_tests_ebpf::{HOLDS_KEPT, Hold};

use crate::walker::{is_walker, now_ns, tid};

/// Locks that the walker holds at once at most: the directory's two, a child's, and what an interrupt
/// in between takes.
const HELD_MAX: u32 = 16;

/// Shorter holds are left out.
#[unsafe(no_mangle)]
static HOLD_THRESHOLD_NS: u64 = 0;

/// Locks that the walker holds; free where the address is 0.
#[map]
static HELD: Array<Hold> = Array::with_max_entries(HELD_MAX, 0);

/// The holds that ended.
#[map]
static HOLDS: Array<Hold> = Array::with_max_entries(HOLDS_KEPT, 0);

/// How many there were.
#[map]
static HOLDS_COUNT: Array<u64> = Array::with_max_entries(1, 0);

/// The walker got a lock.
#[fexit]
pub fn locked(ctx: FExitContext) -> i32 {
    if is_walker() {
        // With no place free a hold will be missing, which the scenario sees.
        if let Some(hold) = find(0) {
            let hold_of = Hold {
                lock_addr: ctx.arg(0),
                start_ns: now_ns(),
                end_ns: 0,
                tid: tid(),
            };
            // SAFETY: with one CPU and one walk nobody else writes it.
            unsafe { *hold = hold_of };
        }
    }
    0
}

/// The walker gives a lock back.
#[fentry]
pub fn unlocking(ctx: FEntryContext) -> i32 {
    if is_walker() {
        note_unlock(ctx.arg(0));
    }
    0
}

#[inline(always)]
fn find(lock_addr: u64) -> Option<*mut Hold> {
    for index in 0..HELD_MAX {
        let hold = HELD.get_ptr_mut(index)?;
        // SAFETY: as in `locked`.
        if unsafe { (*hold).lock_addr } == lock_addr {
            return Some(hold);
        }
    }
    None
}

#[inline(always)]
fn note_unlock(lock: u64) {
    let end_ns = now_ns();
    let Some(held) = find(lock) else {
        return;
    };
    // SAFETY: as in `locked`.
    let hold = Hold {
        end_ns,
        ..unsafe { *held }
    };
    // SAFETY: as in `locked`.
    unsafe { (*held).lock_addr = 0 };
    // SAFETY: a plain load; volatile, or the compiler would use the value it sees here.
    let threshold_ns = unsafe { core::ptr::read_volatile(&raw const HOLD_THRESHOLD_NS) };
    if end_ns - hold.start_ns < threshold_ns {
        return;
    }
    let Some(count) = HOLDS_COUNT.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: as in `locked`.
    let index = unsafe {
        let index = *count;
        *count += 1;
        index
    };
    if index >= u64::from(HOLDS_KEPT) {
        return;
    }
    if let Some(kept) = HOLDS.get_ptr_mut(index as u32) {
        // SAFETY: each element is written once.
        unsafe { *kept = hold };
    }
}
