//! The commands, one file each.

pub mod clean;
pub mod durations;
pub mod exec;
pub mod fetch;
pub mod gate;
pub mod list;
pub mod merge;
pub mod run;
pub mod shell;

/// Exit code of `exec` and `shell` when the guest failed, not the program in it.
pub const HARNESS_FAILED: i32 = 125;
/// Exit code when the user stopped it.
pub const INTERRUPTED: i32 = 130;
/// Exit code when nothing could be run.
pub const COULD_NOT_RUN: i32 = 2;
