//! The scheduler's clock against CLOCK_MONOTONIC.
//!
//! The kernel keeps the time at which a task became runnable (`sched_info.last_queued`), but on the
//! clock of its run queues, which is up to tens of milliseconds apart from CLOCK_MONOTONIC and not
//! slewed by NTP. Nothing gives both at once to a program. So both are taken at one context switch:
//! this side reads CLOCK_MONOTONIC there, the kernel notes the same moment as the task's
//! `last_arrival`, and the task's next switch shows both.
//!
//! The kernel reads its clock a moment before the tracepoint, and an interrupt or a hypervisor can make
//! that moment long. So of several comparisons the one with the smallest difference is right.

use fslockup_ebpf::{COMPARISONS, CpuState};

use super::{arm, word::Word};
use crate::kernel::{Address, task};

/// CLOCK_MONOTONIC less the scheduler's clock, wrapping; 0: not compared yet.
static OFFSET_NS: Word = Word::zero();

/// A task leaves this CPU and another one gets it.
#[inline(always)]
pub fn compare(state: *mut CpuState, prev: Address, next: Address, now_ns: u64) {
    // SAFETY: the element is this CPU's own.
    let state = unsafe { &mut *state };
    if state.arrived_ns != 0 && state.arrived_task == prev.0 {
        leave(prev, state.arrivals, state.arrived_ns);
    }
    state.arrived_ns = 0;
    if let Some(arrivals) = task::arrivals(next) {
        state.arrivals = arrivals;
        state.arrived_task = next.0;
        state.arrived_ns = now_ns;
    }
}

/// Its arrival is known on this side's clock; the kernel has it on the other.
#[inline(always)]
fn leave(task: Address, arrivals_before: u64, arrived_ns: u64) {
    let (Some(arrivals), Some(arrival_ns)) = (task::arrivals(task), task::last_arrival_ns(task))
    else {
        return;
    };
    // One arrival since the one that was noted: no switch in between was missed.
    if arrivals != arrivals_before + 1 {
        return;
    }
    let offset_ns = arrived_ns.wrapping_sub(arrival_ns);
    let is_first = arm::clocks_compared() == Some(COMPARISONS);
    let known_ns = OFFSET_NS.load();
    if is_first || known_ns == 0 || offset_ns.wrapping_sub(known_ns).cast_signed() < 0 {
        OFFSET_NS.store(offset_ns);
    }
}

/// When a task that gets its CPU now became runnable on it, CLOCK_MONOTONIC.
#[inline(always)]
pub fn queued_ns(task: Address) -> Option<u64> {
    Some(task::last_queued_ns(task)?.wrapping_add(offset_ns()?))
}

/// When it was last given a CPU. A task that was preempted right before it slept has no account of
/// when it was queued (sched_info_depart in kernel/sched/stats.h), nor has it left this CPU since, or
/// it would have one: so it was runnable here since some moment after this.
#[inline(always)]
pub fn last_ran_ns(task: Address) -> Option<u64> {
    Some(task::last_arrival_ns(task)?.wrapping_add(offset_ns()?))
}

#[inline(always)]
fn offset_ns() -> Option<u64> {
    match OFFSET_NS.load() {
        0 => None,
        offset_ns => Some(offset_ns),
    }
}
