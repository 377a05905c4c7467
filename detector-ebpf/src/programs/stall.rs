//! Who was kept from running, because a CPU was inside a walk or inside a wait?
//!
//! Looked at only while a walk of some length runs, and for a moment after it: a task that gets a CPU
//! then is a stall if enough of the time since it was queued there was spent behind sections of that
//! CPU. Since when it was queued is the kernel's own account, so wakeups need no probe.

use aya_ebpf::{
    helpers::{bpf_get_smp_processor_id, bpf_ktime_get_ns},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use fslockup_ebpf::{
    CpuState, SECTIONS_KEPT, Section, StallRecord, WAS_RUNNABLE_BEFORE, count, kind, section,
};

use super::walk;
use crate::{
    kernel::{Address, task},
    state::{arm, clock, counters, cpu, emit::emit, thresholds},
};

#[btf_tracepoint(function = "sched_switch")]
pub fn stall_switch(ctx: BtfTracePointContext) -> i32 {
    if !arm::is_quiet() {
        on_switch(Address(ctx.arg(1)), Address(ctx.arg(2)));
    }
    0
}

#[inline(always)]
fn on_switch(prev: Address, next: Address) {
    let Some(state) = cpu::this() else { return };
    // SAFETY: a plain helper.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    clock::compare(state, prev, next, now_ns);
    leave_walk(state, prev, now_ns);
    let Some(next_tid) = task::tid(next) else {
        return;
    };
    if arm::is_running() && walk::come_back(next_tid, now_ns) {
        // SAFETY: the element is this CPU's own.
        unsafe { (*state).walk = walk_section(now_ns, next_tid) };
    }
    if next_tid != 0 && arm::is_armed(now_ns) {
        on_run(state, next, next_tid, now_ns);
    }
}

/// A section of a walk that begins.
#[inline(always)]
pub fn walk_section(start_ns: u64, tid: u32) -> Section {
    Section {
        start_ns,
        end_ns: 0,
        lock_addr: 0,
        tid,
        kind: section::WALK,
    }
}

/// A walk holds spinlocks, so its CPU doesn't switch during it: this is the moment before it has
/// taken them, or after, on a kernel that preempts there.
#[inline(always)]
fn leave_walk(state: *mut CpuState, prev: Address, end_ns: u64) {
    // SAFETY: the element is this CPU's own.
    let open = unsafe { (*state).walk };
    if open.start_ns == 0 {
        return;
    }
    // SAFETY: as above.
    unsafe { (*state).walk.start_ns = 0 };
    if task::tid(prev) == Some(open.tid) {
        walk::leave(open.tid, end_ns);
        cpu::remember(state, Section { end_ns, ..open });
    }
}

/// What a task's time in the queue was spent behind.
struct Behind {
    since_ns: u64,
    total_ns: u64,
    first_ns: u64,
    longest_ns: u64,
    longest: Section,
}

impl Behind {
    #[inline(always)]
    fn consider(&mut self, section: &Section) {
        let from_ns = section.start_ns.max(self.since_ns);
        if section.start_ns == 0 || section.end_ns <= from_ns {
            return;
        }
        let overlap_ns = section.end_ns - from_ns;
        self.total_ns += overlap_ns;
        self.first_ns = self.first_ns.min(from_ns);
        if overlap_ns > self.longest_ns {
            self.longest_ns = overlap_ns;
            self.longest = *section;
        }
    }
}

/// Whether a section lies inside another one that is considered: the walker's own wait inside its walk, an interrupt's
/// inside the wait that it interrupted. Sections of one CPU have no other way to overlap.
#[inline(always)]
fn is_part(ended: &[Section; SECTIONS_KEPT], index: usize, tid: u32) -> bool {
    let section = &ended[index];
    for (other, around) in ended.iter().enumerate() {
        let is_around = around.start_ns <= section.start_ns && section.end_ns <= around.end_ns;
        let is_same = around.start_ns == section.start_ns && around.end_ns == section.end_ns;
        if other != index
            && around.tid != tid
            && around.start_ns != 0
            && is_around
            && (!is_same || other < index)
        {
            return true;
        }
    }
    false
}

#[inline(always)]
fn on_run(state: *mut CpuState, task: Address, tid: u32, now_ns: u64) {
    let Some(since_ns) = clock::queued_ns(task).or_else(|| clock::last_ran_ns(task)) else {
        // Armed before the clocks were compared: something may be missing if there was a section.
        counters::add_one(count::STALLS_UNTIMED);
        return;
    };
    // SAFETY: the element is this CPU's own.
    let state = unsafe { &*state };
    let mut behind = Behind {
        since_ns,
        total_ns: 0,
        first_ns: u64::MAX,
        longest_ns: 0,
        longest: walk_section(0, 0),
    };
    for index in 0..SECTIONS_KEPT {
        // A task's own section keeps others from running.
        if state.ended[index].tid != tid && !is_part(&state.ended, index, tid) {
            behind.consider(&state.ended[index]);
        }
    }
    if behind.total_ns < thresholds::stall_ns() || behind.total_ns == 0 {
        return;
    }
    emit(|record: &mut StallRecord| {
        record.kind = kind::STALL;
        record.behind = behind.longest.kind;
        record.lock_addr = behind.longest.lock_addr;
        record.queued_ns = behind.first_ns;
        record.running_ns = now_ns;
        record.behind_ns = behind.total_ns;
        record.section_start_ns = behind.longest.start_ns;
        record.section_end_ns = behind.longest.end_ns;
        record.tid = tid;
        // SAFETY: a plain helper.
        record.cpu = unsafe { bpf_get_smp_processor_id() };
        record.behind_tid = behind.longest.tid;
        record.flags = if behind.first_ns > since_ns {
            WAS_RUNNABLE_BEFORE
        } else {
            0
        };
        task::fill_task(task, &mut record.pid, &mut record.comm);
    });
}
