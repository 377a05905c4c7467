//! Counters per CPU, so that counting needs no atomic operation.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use fslockup_ebpf::count;

#[map]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(count::LEN, 0);

/// Adds one to a counter of [`count`].
pub fn add_one(index: u32) {
    if let Some(counter) = COUNTERS.get_ptr_mut(index) {
        // SAFETY: the pointer is to this CPU's own element of the map.
        unsafe { *counter += 1 };
    }
}
