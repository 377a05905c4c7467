//! The harness: boots real kernels in QEMU, runs scenarios in them and judges the results.
//!
//! One way through: manifests (`kernels`, `scenarios`) and the archive (`packages`) give a kernel;
//! `image` makes its initramfs; `vm` runs it in `qemu` and listens; `guest` is what runs inside,
//! and `protocol` what the two say to each other.

pub mod artifacts;
pub mod choose;
pub mod cli;
pub mod commands;
pub mod digest;
pub mod durations;
pub mod gate;
pub mod guest;
pub mod image;
pub mod kernel;
pub mod kernel_log;
pub mod kernels;
pub mod leftovers;
pub mod modules;
pub mod outcome;
pub mod packages;
pub mod plan;
pub mod progress;
pub mod protocol;
pub mod qemu;
pub mod report;
pub mod runner;
pub mod scenarios;
pub mod shard;
pub mod signals;
pub mod size;
pub mod vm;
