//! The harness: boots real kernels in QEMU, runs scenarios in them and judges the results.
//!
//! One way through: a word (`kernel`), the lists (`manifest`) and the archive (`packages`) give a kernel; `image`
//! makes its initramfs; `vm` runs it in `qemu` and listens; `init` is what runs inside, and `protocol` what the two
//! say to each other. `matrix` does that for scenarios on kernels and judges them, `report` writes what came of it,
//! and `gate` compares two kernels by it.

/// Tells of something that went wrong, in one line on stderr ([`fslockup::logging::complain`]).
macro_rules! complain {
    ($($text:tt)*) => {
        fslockup::logging::complain("vmtest", format_args!($($text)*))
    };
}

pub mod arch;
pub mod cli;
pub mod commands;
pub mod digest;
pub mod gate;
mod guest;
pub mod image;
pub mod init;
pub mod kernel;
pub mod kernel_log;
pub mod leftovers;
pub mod manifest;
pub mod matrix;
pub mod packages;
pub mod protocol;
pub mod qemu;
pub mod report;
pub mod ui;
pub mod vm;
