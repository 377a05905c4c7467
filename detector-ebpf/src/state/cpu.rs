//! What each CPU is inside of: waits that go on, a walk, the sections that have just ended.
//!
//! An array by CPU number and not a per-CPU map: every kernel's verifier turns a look into an array
//! into a few instructions, while in a per-CPU map it was a call until 6.10.

use aya_ebpf::{helpers::bpf_get_smp_processor_id, macros::map, maps::Array};
use fslockup_ebpf::{CpuState, SECTIONS_KEPT, Section};

/// User space sets the number of elements to that of possible CPUs.
#[map]
static CPUS: Array<CpuState> = Array::with_max_entries(1, 0);

/// The state of the CPU that this runs on.
#[inline(always)]
pub fn this() -> Option<*mut CpuState> {
    // SAFETY: a plain helper.
    CPUS.get_ptr_mut(unsafe { bpf_get_smp_processor_id() })
}

/// Remembers a section that ended on this CPU.
#[inline(always)]
pub fn remember(cpu: *mut CpuState, section: Section) {
    // SAFETY: the element is this CPU's own.
    let cpu = unsafe { &mut *cpu };
    let at = cpu.next_ended as usize & (SECTIONS_KEPT - 1);
    cpu.next_ended = cpu.next_ended.wrapping_add(1);
    cpu.ended[at] = section;
}
