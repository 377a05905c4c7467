//! Which task is inside a walk.

use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns},
    macros::{fentry, fexit, map},
    maps::Array,
    programs::{FEntryContext, FExitContext},
};

/// The task inside a walk, 0 if none is.
#[map]
static WALKER: Array<u64> = Array::with_max_entries(1, 0);

/// The current task is inside a walk.
#[fentry]
pub fn walk_begins(_ctx: FEntryContext) -> i32 {
    if let Some(walker) = WALKER.get_ptr_mut(0) {
        // SAFETY: with one CPU and one walk nobody else writes it.
        unsafe { *walker = tid() };
    }
    0
}

/// And is not any more.
#[fexit]
pub fn walk_ends(_ctx: FExitContext) -> i32 {
    if let Some(walker) = WALKER.get_ptr_mut(0) {
        // SAFETY: as above.
        unsafe { *walker = 0 };
    }
    0
}

#[inline(always)]
pub fn is_walker() -> bool {
    // SAFETY: as in `walk_begins`.
    WALKER
        .get_ptr(0)
        .is_some_and(|walker| unsafe { *walker } == tid())
}

#[inline(always)]
pub fn tid() -> u64 {
    bpf_get_current_pid_tgid() & 0xffff_ffff
}

#[inline(always)]
pub fn now_ns() -> u64 {
    // SAFETY: a plain helper.
    unsafe { bpf_ktime_get_ns() }
}
