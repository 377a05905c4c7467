//! Probes on the spinlock functions themselves, for a guest with one vCPU and never for a host:
//! each of these functions runs millions of times a second, and patching them while another
//! vCPU executes them has crashed emulated guests. Only a task inside a walk is looked at.

#![no_std]
#![no_main]
#![expect(
    clippy::cast_possible_truncation,
    reason = "bounded by the check before it, and a checked conversion is one more branch to verify"
)]

mod empty;
mod holds;
mod slow;
mod walker;

include!("../../detector-ebpf/src/object.rs");
