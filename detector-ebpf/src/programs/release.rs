//! When exactly did a walker give a lock back that others waited for?
//!
//! Switching this tracepoint on makes every unlock of the host a little slower, so it is attached
//! only when asked for: see docs/decisions.md.

use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use fslockup_ebpf::{ReleaseRecord, kind};

use super::walk;
use crate::state::{arm, emit::emit};

#[btf_tracepoint(function = "contended_release")]
pub fn release_tp(ctx: BtfTracePointContext) -> i32 {
    if !arm::is_running() {
        return 0;
    }
    let lock_addr: u64 = ctx.arg(0);
    let tid = bpf_get_current_pid_tgid() as u32;
    if !walk::is_holder(tid, lock_addr) {
        return 0;
    }
    // SAFETY: a plain helper.
    let at_ns = unsafe { bpf_ktime_get_ns() };
    emit(|record: &mut ReleaseRecord| {
        *record = ReleaseRecord {
            kind: kind::RELEASE,
            tid,
            lock_addr,
            at_ns,
        }
    });
    0
}
