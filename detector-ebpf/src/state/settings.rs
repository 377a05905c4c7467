//! What user space decides before loading. The kernel freezes these, so the verifier knows their
//! values and drops the branches they rule out. What may change later is in `thresholds.rs`.

use fslockup_ebpf::{Offsets, TraceFilter};

#[unsafe(no_mangle)]
static OFFSETS: Offsets = Offsets::UNKNOWN;

#[unsafe(no_mangle)]
static SPINLOCKS_SLEEP: u64 = 0;

#[unsafe(no_mangle)]
static PRODUCER_CHILDREN_MIN: u64 = 0;

#[unsafe(no_mangle)]
static TRACE_FILTER: TraceFilter = TraceFilter {
    directory_ino: 0,
    dev: 0,
    comm: [0; 2],
    only_negative: 0,
    rate: 0,
};

/// Which changes of dentries are reported one by one.
#[inline(always)]
pub fn trace_filter() -> TraceFilter {
    // SAFETY: a plain load; volatile, or the compiler would use the value it sees here.
    unsafe { core::ptr::read_volatile(&raw const TRACE_FILTER) }
}

/// Changes in a directory with fewer cached children than this are not counted.
pub fn producer_children_min() -> u64 {
    // SAFETY: as above.
    unsafe { core::ptr::read_volatile(&raw const PRODUCER_CHILDREN_MIN) }
}

/// Who waits for a spinlock sleeps: PREEMPT_RT.
pub fn has_sleeping_spinlocks() -> bool {
    // SAFETY: as above.
    unsafe { core::ptr::read_volatile(&raw const SPINLOCKS_SLEEP) != 0 }
}

/// Reads one field of [`Offsets`].
macro_rules! offset {
    ($field:ident) => {
        $crate::state::settings::read_offset(core::mem::offset_of!(fslockup_ebpf::Offsets, $field))
    };
}
pub(crate) use offset;

#[inline(always)]
pub fn read_offset(at: usize) -> u32 {
    // SAFETY: volatile as above; the macro only gives offsets of `u32` fields.
    unsafe { core::ptr::read_volatile((&raw const OFFSETS).byte_add(at).cast()) }
}
