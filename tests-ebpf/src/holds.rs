//! How long did the walker hold each spinlock?

use aya_ebpf::{
    macros::{fentry, fexit, map},
    maps::{Array, HashMap},
    programs::{FEntryContext, FExitContext},
};
use fslockup_tests_ebpf::{HOLDS_KEPT, Hold};

use crate::walker::{is_walker, now_ns, tid};

/// Shorter holds are left out.
#[unsafe(no_mangle)]
static HOLD_THRESHOLD_NS: u64 = 0;

/// Locks that it holds, and since when.
#[map]
static HELD: HashMap<u64, u64> = HashMap::with_max_entries(64, 0);

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
        let lock: u64 = ctx.arg(0);
        // A full map shows as a hold that is missing.
        let _ = HELD.insert(lock, now_ns(), 0);
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
fn note_unlock(lock: u64) {
    let end_ns = now_ns();
    // SAFETY: only this task writes the element, and the value is copied at once.
    let Some(start_ns) = (unsafe { HELD.get(lock) }).copied() else {
        return;
    };
    let _ = HELD.remove(lock);
    // SAFETY: a plain load; volatile as above.
    let threshold_ns = unsafe { core::ptr::read_volatile(&raw const HOLD_THRESHOLD_NS) };
    if end_ns - start_ns < threshold_ns {
        return;
    }
    let Some(count) = HOLDS_COUNT.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: with one CPU and one walk nobody else writes it.
    let index = unsafe {
        let index = *count;
        *count += 1;
        index
    };
    if index >= u64::from(HOLDS_KEPT) {
        return;
    }
    if let Some(hold) = HOLDS.get_ptr_mut(index as u32) {
        // SAFETY: each element is written once.
        unsafe {
            *hold = Hold {
                lock_addr: lock,
                start_ns,
                end_ns,
                tid: tid(),
            };
        }
    }
}
