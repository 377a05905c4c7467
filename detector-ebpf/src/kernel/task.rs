//! `struct task_struct`, and what hangs on a task: its saved registers, its program, its open files.

use aya_ebpf::helpers::{
    bpf_get_current_task, bpf_get_current_task_btf, generated::bpf_task_pt_regs,
};
use fslockup_ebpf::{COMM_BYTES, OFFSET_UNKNOWN, SYSCALL_UNKNOWN};

use super::{Address, Pointer};
use crate::state::settings::offset;

/// The task that a program runs in.
#[inline(always)]
fn current() -> Address {
    // SAFETY: a plain helper.
    Address(unsafe { bpf_get_current_task() })
}

/// The thread id of a task; 0 is a CPU's idle task.
#[inline(always)]
pub fn tid(task: Address) -> Option<u32> {
    task.read_field(offset!(task_struct_pid))
}

/// How often a task has been given a CPU (`sched_info.pcount`). The scheduler counts it, and writes
/// the time beside it, right after the tracepoint of the switch (sched_info_arrive in
/// kernel/sched/stats.h).
#[inline(always)]
pub fn arrivals(task: Address) -> Option<u64> {
    task.read_field(offset!(task_struct_pcount))
}

/// When a task was last given a CPU, on the scheduler's clock.
#[inline(always)]
pub fn last_arrival_ns(task: Address) -> Option<u64> {
    task.read_field(offset!(task_struct_last_arrival))
}

/// Since when a task waits on the run queue of its CPU, on the scheduler's clock; none if it doesn't.
#[inline(always)]
pub fn last_queued_ns(task: Address) -> Option<u64> {
    match task.read_field(offset!(task_struct_last_queued))? {
        0 => None,
        at_ns => Some(at_ns),
    }
}

/// Process id and name of a task that is not the current one.
#[inline(always)]
pub fn fill_task(task: Address, pid: &mut u32, comm: &mut [u8; COMM_BYTES]) {
    if let Some(tgid) = task.read_field(offset!(task_struct_tgid)) {
        *pid = tgid;
    }
    if let Some(name) = task.field(offset!(task_struct_comm)) {
        name.copy_to(comm.as_mut_ptr(), COMM_BYTES as u32);
    }
}

/// The number of the system call that the current task is in, from its saved user registers.
#[inline(always)]
pub fn syscall_nr() -> i64 {
    read_syscall_nr().unwrap_or(SYSCALL_UNKNOWN)
}

/// Size of a kernel stack on x86-64 without KASAN (`THREAD_SIZE`, asm/page_64_types.h); no padding
/// lies above the registers before FRED (65c9cc9e2c14, 6.9), and from 5.15 the helper is used.
const THREAD_SIZE_BYTES: u64 = 16 << 10;

#[inline(always)]
fn read_syscall_nr() -> Option<i64> {
    user_registers()?.read_field(offset!(pt_regs_orig_ax))
}

/// The second and third argument of the system call that the current task is in, from its saved user
/// registers: a 5.10 verifier refuses to look at the argument of `__x64_sys_inotify_add_watch`, which
/// points to the same place.
#[inline(always)]
pub fn second_and_third_argument() -> (u64, u64) {
    let Some(registers) = user_registers() else {
        return (0, 0);
    };
    (
        registers.read_field(offset!(pt_regs_si)).unwrap_or(0),
        registers.read_field(offset!(pt_regs_dx)).unwrap_or(0),
    )
}

#[inline(always)]
fn user_registers() -> Option<Address> {
    if offset!(has_task_pt_regs) == 1 {
        // SAFETY: plain helpers; the first returns a trusted pointer to the current task.
        return Some(Address(
            unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) }.cast_unsigned(),
        ));
    }
    let stack = current().follow(offset!(task_struct_stack))?;
    let bytes = offset!(pt_regs_bytes);
    if bytes == OFFSET_UNKNOWN {
        return None;
    }
    Some(Address(stack.0 + THREAD_SIZE_BYTES - u64::from(bytes)))
}

/// The dentry of the program that the current process runs; a kernel thread has none.
#[inline(always)]
pub fn exe_dentry() -> Option<Address> {
    let mm = current().follow(offset!(task_struct_mm))?;
    file_dentry(mm.follow(offset!(mm_struct_exe_file))?)
}

/// The dentry behind a file descriptor of the current process.
#[inline(always)]
pub fn open_dentry(fd: u32) -> Option<Address> {
    let table = current()
        .follow(offset!(task_struct_files))?
        .follow(offset!(files_struct_fdt))?;
    let limit: u32 = table.read_field(offset!(fdtable_max_fds))?;
    if fd >= limit {
        return None;
    }
    let files = table.follow(offset!(fdtable_fd))?;
    match Address(files.0 + u64::from(fd) * 8).read::<u64>()? {
        0 => None,
        file => file_dentry(Address(file)),
    }
}

/// The dentry of an open file.
#[inline(always)]
fn file_dentry(file: Address) -> Option<Address> {
    file.follow(offset!(file_f_path_dentry))
}
