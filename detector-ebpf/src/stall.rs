//! Who was kept from running, because a CPU was inside a walk or inside a wait?
//!
//! Wakeups and context switches are noted only while a walk of some length runs, and for a moment
//! after it. A task that then gets a CPU is a stall if enough of the time since it became runnable
//! was spent behind sections of the CPU that it was queued on. All times are CLOCK_MONOTONIC: the
//! scheduler's own accounts (`sched_info.last_queued`) are on another clock.

use aya_ebpf::{
    helpers::bpf_get_smp_processor_id,
    macros::{btf_tracepoint, map},
    maps::HashMap,
    programs::BtfTracePointContext,
};
use fslockup_ebpf::{
    CpuState, SECTIONS_KEPT, Section, StallRecord, WAITS_NESTED_MAX, WAS_RUNNABLE_BEFORE, count,
    kind, section,
};

use crate::{
    arm, counters, cpu,
    emit::emit,
    kread::{self, Address},
    settings, walk,
};

/// Since when a task is runnable, and where.
#[derive(Clone, Copy)]
#[repr(C)]
struct Queued {
    at_ns: u64,
    cpu: u64,
}

/// Runnable tasks by thread, as far as they became so while the programs were armed.
#[map]
static QUEUED: HashMap<u32, Queued> = HashMap::with_max_entries(16_384, 0);

#[btf_tracepoint(function = "sched_wakeup")]
pub fn stall_wakeup(ctx: BtfTracePointContext) -> i32 {
    if !arm::is_quiet() {
        on_wakeup(Address(ctx.arg(0)));
    }
    0
}

#[btf_tracepoint(function = "sched_wakeup_new")]
pub fn stall_wakeup_new(ctx: BtfTracePointContext) -> i32 {
    if !arm::is_quiet() {
        on_wakeup(Address(ctx.arg(0)));
    }
    0
}

#[btf_tracepoint(function = "sched_switch")]
pub fn stall_switch(ctx: BtfTracePointContext) -> i32 {
    if !arm::is_quiet() {
        let is_preempted: u64 = ctx.arg(0);
        on_switch(
            is_preempted & 1 == 1,
            Address(ctx.arg(1)),
            Address(ctx.arg(2)),
        );
    }
    0
}

#[inline(always)]
fn on_wakeup(task: Address) {
    let Some(now_ns) = arm::armed_ns() else {
        return;
    };
    if let (Some(tid), Some(cpu)) = (kread::task_tid(task), kread::task_cpu(task)) {
        note(tid, now_ns, cpu);
    }
}

#[inline(always)]
fn note(tid: u32, at_ns: u64, cpu: u32) {
    let queued = Queued {
        at_ns,
        cpu: u64::from(cpu),
    };
    if QUEUED.insert(tid, queued, 0).is_err() {
        counters::add_one(count::QUEUED_FULL);
    }
}

#[inline(always)]
fn on_switch(is_preempted: bool, prev: Address, next: Address) {
    let (Some(prev_tid), Some(next_tid)) = (kread::task_tid(prev), kread::task_tid(next)) else {
        return;
    };
    let Some(state) = cpu::this() else { return };
    let armed_ns = arm::armed_ns();
    leave_walk(state, prev_tid, armed_ns);
    let Some(now_ns) = armed_ns else { return };
    if arm::is_running() && walk::is_inside(next_tid) {
        // SAFETY: the element is this CPU's own.
        unsafe { (*state).walk = walk_section(now_ns, next_tid) };
    }
    // SAFETY: a plain helper.
    let this_cpu = unsafe { bpf_get_smp_processor_id() };
    if prev_tid != 0 {
        if is_preempted || kread::is_runnable(prev) {
            note(prev_tid, now_ns, this_cpu);
        } else {
            // A wakeup that came while it still ran says nothing about its next turn.
            let _ = QUEUED.remove(prev_tid);
        }
    }
    if next_tid != 0 {
        on_run(next, next_tid, this_cpu, now_ns);
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
fn leave_walk(state: *mut CpuState, prev_tid: u32, armed_ns: Option<u64>) {
    // SAFETY: the element is this CPU's own.
    let open = unsafe { (*state).walk };
    if open.start_ns == 0 {
        return;
    }
    // SAFETY: as above.
    unsafe { (*state).walk.start_ns = 0 };
    if let (Some(end_ns), true) = (armed_ns, open.tid == prev_tid) {
        cpu::remember(state, Section { end_ns, ..open });
    }
}

/// What a task's time in the queue was spent behind.
struct Behind {
    since_ns: u64,
    now_ns: u64,
    total_ns: u64,
    first_ns: u64,
    longest_ns: u64,
    longest: Section,
}

impl Behind {
    #[inline(always)]
    fn consider(&mut self, section: &Section) {
        let is_open = section.end_ns == 0;
        let end_ns = if is_open { self.now_ns } else { section.end_ns };
        let from_ns = section.start_ns.max(self.since_ns);
        if section.start_ns == 0 || end_ns <= from_ns {
            return;
        }
        let overlap_ns = end_ns - from_ns;
        self.total_ns += overlap_ns;
        self.first_ns = self.first_ns.min(from_ns);
        if overlap_ns > self.longest_ns {
            self.longest_ns = overlap_ns;
            self.longest = Section { end_ns, ..*section };
        }
    }
}

#[inline(always)]
fn on_run(task: Address, tid: u32, this_cpu: u32, now_ns: u64) {
    // SAFETY: the value is copied at once; only a wakeup of the same task could change it.
    let queued = unsafe { QUEUED.get(tid) }.copied();
    if queued.is_some() {
        let _ = QUEUED.remove(tid);
    }
    let was_runnable_before = queued.is_none();
    let queued = queued.unwrap_or(Queued {
        at_ns: arm::era_ns(),
        cpu: u64::from(this_cpu),
    });
    let cpu = queued.cpu as u32;
    let Some(state) = cpu::of(cpu) else { return };
    // SAFETY: another CPU may write to it meanwhile; the worst is a figure that doesn't fit.
    let state = unsafe { &*state };
    let mut behind = Behind {
        since_ns: queued.at_ns,
        now_ns,
        total_ns: 0,
        first_ns: u64::MAX,
        longest_ns: 0,
        longest: walk_section(0, 0),
    };
    for index in 0..SECTIONS_KEPT {
        behind.consider(&state.ended[index]);
    }
    // The queue's CPU is still inside, and another one took the task over.
    if cpu != this_cpu {
        behind.consider(&state.walk);
        for index in 0..WAITS_NESTED_MAX {
            let waiting = state.waiting[index];
            if waiting.lock_addr != 0 {
                behind.consider(&Section {
                    start_ns: waiting.start_ns,
                    end_ns: 0,
                    lock_addr: waiting.lock_addr,
                    tid: waiting.tid,
                    kind: section::WAIT,
                });
            }
        }
    }
    if behind.total_ns < settings::stall_threshold_ns() || behind.total_ns == 0 {
        return;
    }
    emit(|record: *mut StallRecord| {
        // SAFETY: a fresh record of this type, written before anything is read from it.
        let record = unsafe {
            record.write_bytes(0, 1);
            &mut *record
        };
        record.kind = kind::STALL;
        record.behind = behind.longest.kind;
        record.lock_addr = behind.longest.lock_addr;
        record.queued_ns = behind.first_ns;
        record.running_ns = now_ns;
        record.behind_ns = behind.total_ns;
        record.section_start_ns = behind.longest.start_ns;
        record.section_end_ns = behind.longest.end_ns;
        record.tid = tid;
        record.cpu = cpu;
        record.running_cpu = this_cpu;
        record.behind_tid = behind.longest.tid;
        record.flags = if was_runnable_before {
            WAS_RUNNABLE_BEFORE
        } else {
            0
        };
        kread::fill_task(task, &mut record.pid, &mut record.comm);
    });
}
