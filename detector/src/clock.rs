//! The only file that asks what time it is.

use nix::time::{ClockId, clock_gettime};

fn read(clock: ClockId) -> i64 {
    // Both clocks exist on every Linux, so the call can't fail.
    clock_gettime(clock).map_or(0, |time| time.tv_sec() * 1_000_000_000 + time.tv_nsec())
}

/// CLOCK_MONOTONIC in nanoseconds: what the programs' `bpf_ktime_get_ns` reads.
#[must_use]
pub fn monotonic_ns() -> u64 {
    read(ClockId::CLOCK_MONOTONIC).unsigned_abs()
}

/// CLOCK_REALTIME in nanoseconds.
#[must_use]
pub fn realtime_ns() -> i64 {
    read(ClockId::CLOCK_REALTIME)
}

/// What to add to CLOCK_MONOTONIC to get CLOCK_REALTIME. Each reading is bracketed by two others, and
/// of several the closest counts: in one of them the CPU may have been taken away, by a walk even.
#[must_use]
pub fn realtime_offset_ns() -> i64 {
    let bracketed = || {
        let before = read(ClockId::CLOCK_MONOTONIC);
        let realtime = read(ClockId::CLOCK_REALTIME);
        let after = read(ClockId::CLOCK_MONOTONIC);
        (after - before, realtime - before - (after - before) / 2)
    };
    let (_, offset_ns) = bracketed().min(bracketed()).min(bracketed());
    offset_ns
}

/// What to add to CLOCK_MONOTONIC to get CLOCK_BOOTTIME, which runs while the host sleeps; never too little.
#[must_use]
pub fn slept_ns() -> u64 {
    let monotonic = read(ClockId::CLOCK_MONOTONIC);
    read(ClockId::CLOCK_BOOTTIME)
        .saturating_sub(monotonic)
        .unsigned_abs()
}
