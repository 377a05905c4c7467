//! Who waited for a spinlock, where, how long?
//!
//! The end of a wait is inside the lock that was waited for, and everybody behind waits for it too. So without a walk, now
//! or a moment ago, it costs a look at this CPU's places and three words, and no clock; a record only past the threshold. A CPU
//! can be inside several waits at once, each in an interrupt of the one before; a lock is in none of
//! them twice, or it would wait for itself, so the lock's address finds the beginning to an end.

use aya_ebpf::{
    EbpfContext,
    helpers::{
        bpf_get_current_pid_tgid, bpf_get_smp_processor_id, bpf_ktime_get_ns,
        generated::{bpf_get_current_comm, bpf_get_stack},
    },
    macros::{btf_tracepoint, fentry, fexit, map},
    maps::HashMap,
    programs::{BtfTracePointContext, FEntryContext, FExitContext},
};
use fslockup_ebpf::{COMM_BYTES, Section, WaitRecord, Waiting, count, kind, section, wait_how};

use crate::state::{
    arm, counters, cpu,
    emit::{emit, has_room},
    settings, thresholds,
    word::Word,
};

/// Waiters that sleep (PREEMPT_RT), by thread.
#[map]
static SLEEPERS: HashMap<u32, Waiting> = HashMap::with_max_entries(4096, 0);

#[fentry(function = "native_queued_spin_lock_slowpath")]
pub fn wait_native_fentry(ctx: FEntryContext) -> i32 {
    begin(ctx.arg(0));
    0
}

#[fexit(function = "native_queued_spin_lock_slowpath")]
pub fn wait_native_fexit(ctx: FExitContext) -> i32 {
    end(&ctx, ctx.arg(0));
    0
}

#[fentry(function = "__pv_queued_spin_lock_slowpath")]
pub fn wait_pv_fentry(ctx: FEntryContext) -> i32 {
    begin(ctx.arg(0));
    0
}

#[fexit(function = "__pv_queued_spin_lock_slowpath")]
pub fn wait_pv_fexit(ctx: FExitContext) -> i32 {
    end(&ctx, ctx.arg(0));
    0
}

#[fentry(function = "rtlock_slowlock_locked")]
pub fn wait_rt_fentry(ctx: FEntryContext) -> i32 {
    begin_sleep(ctx.arg(0));
    0
}

#[fexit(function = "rtlock_slowlock_locked")]
pub fn wait_rt_fexit(ctx: FExitContext) -> i32 {
    end_sleep(&ctx, ctx.arg(0));
    0
}

/// `LCB_F_SPIN` (16edd9b511a1, trace/events/lock.h).
const LCB_F_SPIN: u32 = 1;
/// `LCB_F_RT`.
const LCB_F_RT: u32 = 1 << 3;

#[btf_tracepoint(function = "contention_begin")]
pub fn wait_begin_tp(ctx: BtfTracePointContext) -> i32 {
    let flags: u32 = ctx.arg(1);
    if settings::has_sleeping_spinlocks() {
        if flags & LCB_F_RT != 0 {
            begin_sleep(ctx.arg(0));
        }
    } else if flags & LCB_F_SPIN != 0 {
        begin(ctx.arg(0));
    }
    0
}

#[btf_tracepoint(function = "contention_end")]
pub fn wait_end_tp(ctx: BtfTracePointContext) -> i32 {
    if settings::has_sleeping_spinlocks() {
        end_sleep(&ctx, ctx.arg(0));
    } else {
        end(&ctx, ctx.arg(0));
    }
    0
}

/// Waits that began before this count for nothing, CLOCK_MONOTONIC: their ends may have gone by while these programs were
/// detached. Only user space writes it.
#[unsafe(link_section = ".data.waits_since")]
#[unsafe(no_mangle)]
static WAITS_SINCE_NS: Word = Word::zero();

#[inline(always)]
fn now_waiting(lock_addr: u64) -> Waiting {
    let pid_tgid = bpf_get_current_pid_tgid();
    Waiting {
        lock_addr,
        // SAFETY: a plain helper.
        start_ns: unsafe { bpf_ktime_get_ns() },
        pid: (pid_tgid >> 32) as u32,
        tid: pid_tgid as u32,
    }
}

#[inline(always)]
fn begin(lock_addr: u64) {
    let Some(cpu) = cpu::this() else { return };
    // SAFETY: the element is this CPU's own. An interrupt that waits in the middle of this takes
    // and gives back a place before it returns.
    let cpu = unsafe { &mut *cpu };
    let mut free = 0;
    for (index, waiting) in cpu.waiting.iter().enumerate() {
        if waiting.lock_addr == 0 || waiting.lock_addr == lock_addr {
            free = index;
        }
    }
    // With no place free, exits were missed: the first place is as stale as any. The lock first, volatile so that it stays
    // first: from then on an interrupt takes another place.
    let place = &raw mut cpu.waiting[free];
    let began = now_waiting(lock_addr);
    // SAFETY: an element of this CPU's state.
    unsafe {
        (&raw mut (*place).lock_addr).write_volatile(lock_addr);
        (&raw mut (*place).start_ns).write_volatile(began.start_ns);
        (&raw mut (*place).pid).write_volatile(began.pid);
        (&raw mut (*place).tid).write_volatile(began.tid);
    }
}

/// Gives a place back; what was in it, unless nothing of that counts. Volatile, so that it is read before an interrupt may
/// take the place.
#[inline(always)]
fn take(place: &mut Waiting) -> Option<Waiting> {
    let place = &raw mut *place;
    // SAFETY: an element of this CPU's state.
    unsafe {
        let lock_addr = &raw mut (*place).lock_addr;
        if arm::is_quiet() {
            lock_addr.write_volatile(0);
            return None;
        }
        let began = Waiting {
            lock_addr: lock_addr.read_volatile(),
            start_ns: (&raw const (*place).start_ns).read_volatile(),
            pid: (&raw const (*place).pid).read_volatile(),
            tid: (&raw const (*place).tid).read_volatile(),
        };
        lock_addr.write_volatile(0);
        (began.start_ns >= WAITS_SINCE_NS.load()).then_some(began)
    }
}

#[inline(always)]
fn end(ctx: &impl EbpfContext, lock_addr: u64) {
    let Some(state) = cpu::this() else { return };
    // SAFETY: the element is this CPU's own.
    let cpu = unsafe { &mut *state };
    // From the last place, as `begin` looks for one: an earlier place with this lock is of a wait whose end was missed.
    for waiting in cpu.waiting.iter_mut().rev() {
        if waiting.lock_addr == lock_addr {
            let Some(began) = take(waiting) else { return };
            // SAFETY: a plain helper.
            let end_ns = unsafe { bpf_ktime_get_ns() };
            if end_ns.saturating_sub(began.start_ns) >= thresholds::wait_ns() {
                cpu::remember(
                    state,
                    Section {
                        start_ns: began.start_ns,
                        end_ns,
                        lock_addr,
                        tid: began.tid,
                        kind: section::WAIT,
                    },
                );
                if cpu.writers_count != 0 {
                    counters::add_one(count::WAITS_UNTOLD);
                } else if has_room(count::WAITS_UNTOLD) {
                    report(ctx, wait_how::SPIN, &began, end_ns);
                }
            }
            return;
        }
    }
}

#[inline(always)]
fn begin_sleep(lock_addr: u64) {
    let waiting = now_waiting(lock_addr);
    if SLEEPERS.insert(waiting.tid, waiting, 0).is_err() {
        counters::add_one(count::WAITERS_FULL);
    }
}

#[inline(always)]
fn end_sleep(ctx: &impl EbpfContext, lock_addr: u64) {
    let tid = bpf_get_current_pid_tgid() as u32;
    let Some(waiting) = SLEEPERS.get_ptr(tid) else {
        return;
    };
    // SAFETY: the element is this task's own, and is removed below.
    let began = unsafe { *waiting };
    if began.lock_addr != lock_addr {
        return;
    }
    let _ = SLEEPERS.remove(tid);
    // As for those that spin. User space takes out what began before the programs came back.
    if arm::is_quiet() {
        return;
    }
    // SAFETY: a plain helper.
    let end_ns = unsafe { bpf_ktime_get_ns() };
    if end_ns.saturating_sub(began.start_ns) >= thresholds::wait_ns()
        && has_room(count::WAITS_UNTOLD)
    {
        report(ctx, wait_how::SLEEP, &began, end_ns);
    }
}

#[inline(always)]
fn report(ctx: &impl EbpfContext, how: u32, began: &Waiting, end_ns: u64) {
    emit(|record: &mut WaitRecord| {
        record.kind = kind::WAIT;
        record.how = how;
        record.lock_addr = began.lock_addr;
        record.start_ns = began.start_ns;
        record.end_ns = end_ns;
        record.pid = began.pid;
        record.tid = began.tid;
        // SAFETY: plain helpers; they write at most the bytes given.
        unsafe {
            record.cpu = bpf_get_smp_processor_id();
            bpf_get_current_comm(record.comm.as_mut_ptr().cast(), COMM_BYTES as u32);
            record.stack_bytes = bpf_get_stack(
                ctx.as_ptr(),
                record.stack.as_mut_ptr().cast(),
                size_of_val(&record.stack) as u32,
                0,
            ) as i32;
        }
    });
}
