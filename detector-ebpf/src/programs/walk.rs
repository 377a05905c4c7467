//! How long did a walk run, over which directory, for whom?
//!
//! A walk is kept under its task, not its CPU: under PREEMPT_RT a task that holds a spinlock can
//! be moved to another CPU. The record is filled in the map itself, which only its own task writes.

use aya_ebpf::{
    helpers::{
        bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_get_smp_processor_id,
        bpf_ktime_get_ns, generated::bpf_get_current_comm,
    },
    macros::{kprobe, kretprobe, map},
    maps::{Array, HashMap},
    programs::{ProbeContext, RetProbeContext},
};
use fslockup_ebpf::{Section, WalkRecord, count, kind, slot};

use super::{
    stall,
    stubs::{at_entry, at_exit},
};
use crate::{
    kernel::{Address, fill, task},
    state::{arm, counters, cpu, emit::emit_copy, thresholds},
};

/// Walks that run now. A host has at most as many as it has tasks inside watch system calls.
#[map]
static WALKS: HashMap<u64, WalkRecord> = HashMap::with_max_entries(1024, 0);

/// Never written: what a new element of `WALKS` starts as. A record is larger than a program's stack.
#[map]
static EMPTY_WALK: Array<WalkRecord> = Array::with_max_entries(1, 0);

at_entry!(
    "fsnotify_set_children_dentry_flags": walk_fentry,
    walk_kprobe,
    |argument| begin(slot::WHOLE, argument(0))
);
at_exit!(
    "fsnotify_set_children_dentry_flags": walk_fexit,
    walk_kretprobe,
    end(slot::WHOLE)
);

#[kprobe]
pub fn walk_part_kprobe(ctx: ProbeContext) -> u32 {
    begin(slot::PART, Address(ctx.arg(0).unwrap_or(0)));
    0
}

#[kretprobe]
pub fn walk_part_kretprobe(_ctx: RetProbeContext) -> u32 {
    end(slot::PART);
    0
}

#[inline(always)]
fn key(slot: u32, pid_tgid: u64) -> u64 {
    u64::from(slot) << 32 | (pid_tgid & 0xffff_ffff)
}

#[inline(always)]
fn begin(slot: u32, inode: Address) {
    let pid_tgid = bpf_get_current_pid_tgid();
    // A split-off part that runs inside the whole function is the same walk.
    if slot == slot::PART && WALKS.get_ptr(key(slot::WHOLE, pid_tgid)).is_some() {
        return;
    }
    let key = key(slot, pid_tgid);
    if let Some(stale) = WALKS.get_ptr(key) {
        counters::add_one(count::MISSED_EXITS);
        // SAFETY: the element is this task's own.
        if unsafe { (*stale).start_ns } != 0 {
            // SAFETY: a plain helper.
            arm::end(unsafe { bpf_ktime_get_ns() }, 0);
        }
    }
    let Some(empty) = EMPTY_WALK.get(0) else {
        return;
    };
    if WALKS.insert(key, empty, 0).is_err() {
        counters::add_one(count::WALKS_FULL);
        return;
    }
    let Some(walk) = WALKS.get_ptr_mut(key) else {
        return;
    };
    // SAFETY: the element is this task's own.
    let walk = unsafe { &mut *walk };
    walk.kind = kind::WALK;
    walk.slot = slot;
    walk.pid = (pid_tgid >> 32) as u32;
    walk.tid = pid_tgid as u32;
    // SAFETY: plain helpers.
    unsafe {
        walk.cgroup_id = bpf_get_current_cgroup_id();
        walk.start_cpu = bpf_get_smp_processor_id();
    }
    // SAFETY: a plain helper that writes at most this many bytes, the last one 0.
    unsafe { bpf_get_current_comm(walk.comm.as_mut_ptr().cast(), walk.comm.len() as u32) };
    walk.syscall_nr = task::syscall_nr();
    fill::fill_directory(inode, walk);
    // Last, so that reading all this is not counted as part of the walk, and so that user space
    // can recognize a record that is not filled in yet.
    // SAFETY: a plain helper.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    walk.start_ns = now_ns;
    arm::begin(now_ns);
    if let Some(cpu) = cpu::this() {
        // SAFETY: the element is this CPU's own.
        unsafe { (*cpu).walk = stall::walk_section(now_ns, walk.tid) };
    }
}

/// The walker leaves its CPU: before it has taken the locks or after it gave them back, since a task that holds a
/// spinlock is not switched out. So what it did with the locks is in one stretch, the longest as a rule. (Under PREEMPT_RT it
/// can be, and nothing looks at context switches there.)
#[inline(always)]
pub fn leave(tid: u32, now_ns: u64) {
    if let Some(walk) = WALKS.get_ptr_mut(u64::from(tid)) {
        // SAFETY: the element is the task's own, and the task is the one that leaves.
        let walk = unsafe { &mut *walk };
        keep_run(walk, now_ns);
        walk.left_ns = now_ns;
    }
}

/// A task gets a CPU; whether it is inside a walk.
#[inline(always)]
pub fn come_back(tid: u32, now_ns: u64) -> bool {
    let Some(walk) = WALKS.get_ptr_mut(u64::from(tid)) else {
        return false;
    };
    // SAFETY: the element is the task's own, which does not run yet.
    let walk = unsafe { &mut *walk };
    // 0 where it left before its record was filled in.
    if walk.left_ns != 0 {
        walk.scheduled_out_ns += now_ns.saturating_sub(walk.left_ns);
        walk.left_ns = 0;
        walk.back_ns = now_ns;
    }
    true
}

/// A stretch on a CPU ends: the longest one is kept.
#[inline(always)]
fn keep_run(walk: &mut WalkRecord, now_ns: u64) {
    let from_ns = if walk.back_ns == 0 {
        walk.start_ns
    } else {
        walk.back_ns
    };
    if from_ns != 0 && now_ns.saturating_sub(from_ns) > walk.run_end_ns - walk.run_start_ns {
        walk.run_start_ns = from_ns;
        walk.run_end_ns = now_ns;
    }
}

/// Whether a task is inside a walk that holds this lock.
#[inline(always)]
pub fn is_holder(tid: u32, lock_addr: u64) -> bool {
    WALKS.get_ptr(u64::from(tid)).is_some_and(|walk| {
        // SAFETY: the element is the task's own, and the task is the current one.
        let walk = unsafe { &*walk };
        walk.i_lock_addr == lock_addr || walk.d_lock_addr == lock_addr
    })
}

#[inline(always)]
fn end(slot: u32) {
    // SAFETY: a plain helper.
    let end_ns = unsafe { bpf_ktime_get_ns() };
    let key = key(slot, bpf_get_current_pid_tgid());
    let Some(walk) = WALKS.get_ptr_mut(key) else {
        // The part's exit inside the whole function has no entry of its own.
        if slot == slot::WHOLE {
            counters::add_one(count::UNMATCHED_EXITS);
        }
        return;
    };
    // SAFETY: the element is this task's own, and is removed below.
    let walk = unsafe { &mut *walk };
    counters::add_one(count::WALKS);
    // Only where it was switched out: then how long the call took says nothing of the walk.
    if walk.back_ns != 0 {
        keep_run(walk, end_ns);
    }
    let walk_ns = if walk.run_end_ns != 0 {
        walk.run_end_ns - walk.run_start_ns
    } else {
        end_ns.saturating_sub(walk.start_ns)
    };
    leave_section(walk.tid, end_ns, walk_ns);
    if walk_ns >= thresholds::walk_ns() {
        walk.end_ns = end_ns;
        // SAFETY: a plain helper.
        walk.end_cpu = unsafe { bpf_get_smp_processor_id() };
        emit_copy(&*walk);
    } else {
        counters::add_one(count::WALKS_BELOW_THRESHOLD);
    }
    let _ = WALKS.remove(key);
}

/// The CPU is free again. Nothing is left open where the task was moved in between: `stall.rs`.
#[inline(always)]
fn leave_section(tid: u32, end_ns: u64, walk_ns: u64) {
    if let Some(state) = cpu::this() {
        // SAFETY: the element is this CPU's own.
        let open = unsafe { (*state).walk };
        if open.start_ns != 0 && open.tid == tid {
            // SAFETY: as above.
            unsafe { (*state).walk.start_ns = 0 };
            cpu::remember(state, Section { end_ns, ..open });
        }
    }
    arm::end(end_ns, walk_ns);
}
