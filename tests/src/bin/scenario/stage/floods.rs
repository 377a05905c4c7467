//! Floods that scenarios of one boot share (`kernel::flooded_dir`): how large, and thresholds that fit.

/// Children of the smaller of two directories.
pub const SMALL_COUNT: u64 = 20_000;

/// Children of the larger one.
pub const LARGE_COUNT: u64 = 4 * SMALL_COUNT;

/// A short walk, some 5 ms under emulation: long enough for two to run at once.
pub const SHORT_WALK_COUNT: u64 = 60_000;

/// Thresholds below what a short walk under emulation does.
pub const SHORT_WALK_OPTIONS: &[&str] = &[
    "--walk-threshold",
    "1ms",
    "--incident-threshold",
    "1ms",
    "--wait-threshold",
    "100us",
    "--stall-threshold",
    "1ms",
];

/// A long walk, some 20 ms under emulation, against a poll every millisecond.
pub const LONG_WALK_COUNT: u64 = 200_000;
