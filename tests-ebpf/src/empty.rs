//! What a kernel takes for any program on its context switches: one that does nothing.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

#[btf_tracepoint(function = "sched_switch")]
pub fn empty(_ctx: BtfTracePointContext) -> i32 {
    0
}
