//! Which dentries are made and removed, one by one, as `fslockup trace` asks for them?
//!
//! The same functions as in `produce.rs`, which says what each change is seen by; these programs are
//! attached only while `fslockup trace` runs, so they look first and count afterwards. What the rate
//! doesn't allow is counted and left out.

use aya_ebpf::{
    helpers::{
        bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_get_smp_processor_id,
        bpf_ktime_get_ns, generated::bpf_get_current_comm,
    },
    macros::map,
    maps::{Array, PerCpuArray},
};
use fslockup_ebpf::{COMM_BYTES, DentryRecord, change, kind, trace_count};

use super::stubs::at_entry;
use crate::{
    kernel::{Address, dentry, fill, inode},
    state::{emit::emit_from, settings, word},
};

/// Never written: what a record starts as.
#[map]
static EMPTY_DENTRY: Array<DentryRecord> = Array::with_max_entries(1, 0);

/// By [`trace_count`].
#[map]
static TRACE_COUNTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(trace_count::LEN, 0);

/// The second that runs, on CLOCK_MONOTONIC, and how many records it has had.
#[derive(Clone, Copy)]
#[repr(C)]
struct Second {
    number: u64,
    taken_count: u64,
}

#[map]
static SECOND: Array<Second> = Array::with_max_entries(1, 0);

at_entry!(trace_splice_fentry, trace_splice_kprobe, |argument| made(
    argument(1),
    argument(0)
));
at_entry!(trace_add_fentry, trace_add_kprobe, |argument| made(
    argument(0),
    argument(1)
));
at_entry!(trace_inst_fentry, trace_inst_kprobe, |argument| filled(
    argument(0),
    argument(1)
));
at_entry!(trace_new_fentry, trace_new_kprobe, |argument| filled(
    argument(0),
    argument(1)
));
at_entry!(trace_persist_fentry, trace_persist_kprobe, |argument| {
    filled(argument(0), argument(1))
});
at_entry!(trace_delete_fentry, trace_delete_kprobe, |argument| {
    emptied(argument(0));
});
at_entry!(trace_kill_fentry, trace_kill_kprobe, |argument| removed(
    argument(0)
));
at_entry!(trace_try_fentry, trace_try_kprobe, |argument| try_removed(
    argument(0)
));

#[inline(always)]
fn made(dentry: Address, inode: Address) {
    if inode.is_error() {
        return;
    }
    let change = match inode.0 {
        0 => change::MADE_NEGATIVE,
        _ => change::MADE_POSITIVE,
    };
    report(change, dentry, inode);
}

#[inline(always)]
fn filled(dentry: Address, inode: Address) {
    if inode.0 == 0 {
        return;
    }
    let change = if dentry::is_hashed(dentry) {
        change::FILLED
    } else {
        change::MADE_POSITIVE
    };
    report(change, dentry, inode);
}

#[inline(always)]
fn emptied(dentry: Address) {
    let Some(1) = dentry::references(dentry) else {
        return;
    };
    let Some(inode) = dentry::inode(dentry) else {
        return;
    };
    report(change::EMPTIED, dentry, inode);
}

#[inline(always)]
fn removed(dentry: Address) {
    match dentry::inode(dentry) {
        Some(inode) => report(change::REMOVED_POSITIVE, dentry, inode),
        None if dentry::never_was_hashed(dentry) => {}
        None => report(change::REMOVED_NEGATIVE, dentry, Address(0)),
    }
}

#[inline(always)]
fn try_removed(dentry: Address) {
    let Some(0) = dentry::references(dentry) else {
        return;
    };
    removed(dentry);
}

/// `inode` is the one that the dentry has, gets or loses.
#[inline(always)]
fn report(change: u32, dentry: Address, inode: Address) {
    let filter = settings::trace_filter();
    if filter.only_negative != 0 && !is_negative(change) {
        return;
    }
    let mut comm = [0_u64; COMM_BYTES / size_of::<u64>()];
    // SAFETY: a plain helper that writes at most the bytes given, zeros behind the name.
    unsafe { bpf_get_current_comm(comm.as_mut_ptr().cast(), COMM_BYTES as u32) };
    let is_any = filter.comm[0] == 0 && filter.comm[1] == 0;
    if !is_any && (comm[0] != filter.comm[0] || comm[1] != filter.comm[1]) {
        return;
    }
    let Some(directory) = dentry::directory(dentry) else {
        return;
    };
    let Some(found) = dentry::inode(directory).and_then(inode::identity) else {
        return;
    };
    let (directory_ino, dev) = (found.ino, found.dev);
    let is_everywhere = filter.directory_ino == 0;
    if !is_everywhere && (directory_ino != filter.directory_ino || u64::from(dev) != filter.dev) {
        return;
    }
    count(trace_count::MATCHED);
    // SAFETY: a plain helper.
    let at_ns = unsafe { bpf_ktime_get_ns() };
    if !is_allowed(at_ns, filter.rate) {
        count(trace_count::LEFT_OUT);
        return;
    }
    let Some(empty) = EMPTY_DENTRY.get(0) else {
        return;
    };
    let pid_tgid = bpf_get_current_pid_tgid();
    emit_from(empty, |record| {
        record.kind = kind::DENTRY;
        record.change = change;
        record.at_ns = at_ns;
        record.pid = (pid_tgid >> 32) as u32;
        record.tid = pid_tgid as u32;
        record.directory_ino = directory_ino;
        record.dev = dev;
        if let Some(ino) = inode::ino(inode) {
            record.ino = ino;
        }
        // SAFETY: plain helpers; the last one writes at most the bytes given.
        unsafe {
            record.cgroup_id = bpf_get_current_cgroup_id();
            record.cpu = bpf_get_smp_processor_id();
            bpf_get_current_comm(record.comm.as_mut_ptr().cast(), COMM_BYTES as u32);
        }
        fill::fill_dentry(dentry, is_everywhere.then_some(directory), record);
    });
}

/// What is negative afterwards, or was until it left the cache.
#[inline(always)]
fn is_negative(change: u32) -> bool {
    change == change::MADE_NEGATIVE
        || change == change::EMPTIED
        || change == change::REMOVED_NEGATIVE
}

const SECOND_NS: u64 = 1_000_000_000;

/// Whether this second has room for one more. At its very beginning two CPUs can both start it, and what
/// the first one took in between is taken twice.
#[inline(always)]
fn is_allowed(now_ns: u64, rate: u64) -> bool {
    let Some(second) = SECOND.get_ptr_mut(0) else {
        return false;
    };
    let number = now_ns / SECOND_NS;
    // SAFETY: the element is there for as long as the program; volatile, because other CPUs write it.
    unsafe {
        let current = &raw mut (*second).number;
        let taken_count = &raw mut (*second).taken_count;
        if current.read_volatile() != number {
            current.write_volatile(number);
            taken_count.write_volatile(0);
        }
        word::add(taken_count, 1);
        taken_count.read_volatile() <= rate
    }
}

#[inline(always)]
fn count(index: u32) {
    if let Some(count) = TRACE_COUNTS.get_ptr_mut(index) {
        // SAFETY: an element of the map.
        unsafe { word::add(count, 1) };
    }
}
