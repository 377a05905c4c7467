//! How long did a system call take that puts a watch, and what was it asked for?
//!
//! On the functions behind the three system calls, and not on the tracepoints of system calls, which
//! make every system call of the host slower while they are on (TIF_SYSCALL_TRACEPOINT).

use aya_ebpf::{
    helpers::{
        bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_get_smp_processor_id,
        bpf_ktime_get_ns,
        generated::{bpf_get_current_comm, bpf_probe_read_user_str},
    },
    macros::map,
    maps::HashMap,
};
use fslockup_ebpf::{ARGUMENT_BYTES, COMM_BYTES, SyscallRecord, call, count, kind};

use super::stubs::{at_entry, at_exit};
use crate::{
    kernel::task,
    state::{counters, emit::emit, thresholds},
};

/// A system call that has not returned.
#[derive(Clone, Copy)]
#[repr(C)]
struct Call {
    start_ns: u64,
    mask: u64,
    path: u64,
    call: u64,
}

/// By thread.
#[map]
static CALLS: HashMap<u32, Call> = HashMap::with_max_entries(1024, 0);

at_entry!(
    "__x64_sys_inotify_add_watch": call_inotify_fentry,
    call_inotify_kprobe,
    |_argument| begin_inotify()
);
at_exit!(
    "__x64_sys_inotify_add_watch": call_inotify_fexit,
    call_inotify_kretprobe,
    end()
);
at_entry!(
    "do_fanotify_mark": call_fanotify_fentry,
    call_fanotify_kprobe,
    |argument| begin(call::FANOTIFY_MARK, argument(2).0, argument(4).0)
);
at_exit!(
    "do_fanotify_mark": call_fanotify_fexit,
    call_fanotify_kretprobe,
    end()
);
at_entry!(
    "fcntl_dirnotify": call_fcntl_fentry,
    call_fcntl_kprobe,
    |argument| begin_fcntl(argument(2).0)
);
at_exit!(
    "fcntl_dirnotify": call_fcntl_fexit,
    call_fcntl_kretprobe,
    end()
);

#[inline(always)]
fn begin_inotify() {
    let (path, mask) = task::second_and_third_argument();
    begin(call::INOTIFY_ADD_WATCH, mask & 0xffff_ffff, path);
}

/// Its mask was widened from 32 to 64 bits and back over time; no flag is above the 32nd.
#[inline(always)]
fn begin_fcntl(mask: u64) {
    begin(call::FCNTL_NOTIFY, mask & 0xffff_ffff, 0);
}

#[inline(always)]
fn begin(call: u32, mask: u64, path: u64) {
    let began = Call {
        // SAFETY: a plain helper.
        start_ns: unsafe { bpf_ktime_get_ns() },
        mask,
        path,
        call: u64::from(call),
    };
    let tid = bpf_get_current_pid_tgid() as u32;
    if CALLS.insert(tid, began, 0).is_err() {
        counters::add_one(count::CALLS_FULL);
    }
}

#[inline(always)]
fn end() {
    // SAFETY: a plain helper.
    let end_ns = unsafe { bpf_ktime_get_ns() };
    let pid_tgid = bpf_get_current_pid_tgid();
    let tid = pid_tgid as u32;
    let Some(began) = CALLS.get_ptr(tid) else {
        return;
    };
    // SAFETY: the element is this task's own, and is removed below.
    let began = unsafe { *began };
    let _ = CALLS.remove(tid);
    if end_ns.saturating_sub(began.start_ns) < thresholds::walk_ns() {
        return;
    }
    emit(|record: &mut SyscallRecord| {
        record.kind = kind::SYSCALL;
        record.call = began.call as u32;
        record.start_ns = began.start_ns;
        record.end_ns = end_ns;
        record.mask = began.mask;
        record.pid = (pid_tgid >> 32) as u32;
        record.tid = tid;
        // SAFETY: plain helpers; they write at most the bytes given.
        unsafe {
            record.cgroup_id = bpf_get_current_cgroup_id();
            record.cpu = bpf_get_smp_processor_id();
            bpf_get_current_comm(record.comm.as_mut_ptr().cast(), COMM_BYTES as u32);
            if began.path != 0 {
                record.path_bytes = bpf_probe_read_user_str(
                    record.path.as_mut_ptr().cast(),
                    ARGUMENT_BYTES as u32,
                    began.path as *const _,
                ) as i32;
            }
        }
    });
}
