//! Each program that a probe may put in two ways is two functions over one body.

/// A program for the entry of a function, which may be named, and one for a breakpoint there.
macro_rules! at_entry {
    ($($function:literal:)? $fentry:ident, $kprobe:ident, |$argument:ident| $body:expr) => {
        #[::aya_ebpf::macros::fentry$((function = $function))?]
        pub fn $fentry(ctx: ::aya_ebpf::programs::FEntryContext) -> i32 {
            let $argument = |index: usize| $crate::kernel::Address(ctx.arg(index));
            $body;
            0
        }

        #[::aya_ebpf::macros::kprobe]
        pub fn $kprobe(ctx: ::aya_ebpf::programs::ProbeContext) -> u32 {
            let $argument = |index: usize| $crate::kernel::Address(ctx.arg(index).unwrap_or(0));
            $body;
            0
        }
    };
}
pub(crate) use at_entry;

/// The same for its exit.
macro_rules! at_exit {
    ($function:literal: $fexit:ident, $kretprobe:ident, $body:expr) => {
        #[::aya_ebpf::macros::fexit(function = $function)]
        pub fn $fexit(_ctx: ::aya_ebpf::programs::FExitContext) -> i32 {
            $body;
            0
        }

        #[::aya_ebpf::macros::kretprobe]
        pub fn $kretprobe(_ctx: ::aya_ebpf::programs::RetProbeContext) -> u32 {
            $body;
            0
        }
    };
}
pub(crate) use at_exit;
