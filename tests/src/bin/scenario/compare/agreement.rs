//! What the kernel's own tracers see of the same walks and waits.

use std::ops::RangeInclusive;

use anyhow::Context as _;
use fslockup_tests::workload;
use nix::sys::signal::Signal;

use crate::stage::{
    checks::Checks,
    contended::{self, FILES_COUNT},
    detector::{self, Detector, function_of, nothing_lost},
    floods::LARGE_COUNT,
    incident::Waiter,
    kernel, precondition,
    tracefs::Tracefs,
};

/// A walk's time is taken when all of its directory is read, so that the reading is no part of it; the tracer's
/// time is taken before. Measured on 6.1 and 7.3: 19.0 to 19.7 us.
const TRACED_MORE_NS: RangeInclusive<u64> = 0..=40_000;

/// The function-graph tracer times the walker.
pub fn with_function_graph(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::flooded_dir(LARGE_COUNT)?;
    let detector = Detector::start(&["--walk-threshold", "200us"])?;
    let function = function_of(&detector.facts, "walk")?;
    let tracer = Tracefs::new()?;
    tracer.time_function(&function)?;
    for _ in 0..3 {
        workload::watch(&dir, &[])?;
    }
    let traced = tracer.function_times_ns(&function)?;
    drop(tracer);
    let ended = detector.end(Signal::SIGTERM)?;
    nothing_lost(checks, &ended);
    let walks: Vec<_> = ended
        .walks()
        .iter()
        .filter_map(|walk| walk["walk"]["walk_ns"].as_u64())
        .collect();
    checks.equal("walks seen by both", traced.len(), walks.len());
    checks.equal("walks", walks.len(), 3);
    for (walk_ns, traced_ns) in walks.iter().zip(&traced) {
        let more_ns = traced_ns.checked_sub(*walk_ns);
        checks.that(
            "the function-graph tracer agrees: it sees `fslockup`'s own programs too",
            more_ns.is_some_and(|more_ns| TRACED_MORE_NS.contains(&more_ns)),
            format!("fslockup {walk_ns} ns, tracer {traced_ns} ns"),
        );
    }
    Ok(())
}

/// The tracer cuts times to it.
const MICROSECOND_NS: u64 = 1_000;

/// The threshold in [`contended::OPTIONS`].
const WAIT_THRESHOLD_NS: u64 = 100_000;

/// The tracer's probes sit around `fslockup`'s own, so that its waits are longer by what those take, the record of
/// the wait with its stack among it: 14 to 22 us each (5.10.223, 5.10). Where the emulator gives the other four CPUs
/// their turns just there, it is 0.1 ms more for each.
const WAIT_MORE_NS_MAX: u64 = 500_000;

/// That is not so in most: of all waits of a walk the tracer has 0.5 to 0.7 % more.
const TOTAL_MORE_DIVISOR: u64 = 20;

/// Probe events of ftrace at the entry and exit of the slowpath, which know the lock.
pub fn with_probe_events(checks: &mut Checks) -> anyhow::Result<()> {
    precondition::kprobes()?;
    let dir = kernel::ramfs_dir(FILES_COUNT)?;
    let function = function_of(&detector::check()?, "wait")?;
    let tracer = Tracefs::new()?;
    tracer.time_waits(&function)?;
    let seen = contended::observe(checks, &dir, &[])?;
    let traced = tracer.waits()?;
    drop(tracer);
    for incident in &seen.incidents {
        let walk = incident.walk.span();
        let lock = incident.walk.d_lock_addr.as_deref().context("d_lock")?;
        let of_this_walk: Vec<_> = traced
            .iter()
            .filter(|(_, of, span)| of == lock && span.overlaps(&walk))
            .collect();
        let mut total_ns = 0;
        for waiter in &incident.waiters {
            // Both are in nanoseconds of one clock, the tracer's cut to microseconds.
            let lengths_ns: Vec<_> = of_this_walk
                .iter()
                .filter(|(tid, _, span)| *tid == waiter.tid && span.overlaps(&waiter.span()))
                .map(|(_, _, span)| span.length_ns() + MICROSECOND_NS)
                .collect();
            total_ns += lengths_ns.iter().sum::<u64>();
            let at_most_ns = waiter.wait_ns + WAIT_MORE_NS_MAX;
            checks.that(
                "the tracer sees each wait, and no shorter than it is",
                matches!(lengths_ns[..], [ns] if (waiter.wait_ns..=at_most_ns).contains(&ns)),
                format!("fslockup {} ns, tracer {lengths_ns:?} ns", waiter.wait_ns),
            );
        }
        // Shorter ones left no record by design.
        let long = of_this_walk
            .iter()
            .filter(|(_, _, span)| span.length_ns() >= WAIT_THRESHOLD_NS + WAIT_MORE_NS_MAX);
        for (tid, _, span) in long {
            let is_it = |waiter: &&Waiter| waiter.tid == *tid && waiter.span().overlaps(span);
            checks.equal(
                "each wait that the tracer sees is there once",
                incident.waiters.iter().filter(is_it).count(),
                1,
            );
        }
        let own_ns: u64 = incident.waiters.iter().map(|waiter| waiter.wait_ns).sum();
        checks.that(
            "the tracer's total is no less, and 5 % more at most",
            own_ns > 0 && (own_ns..=own_ns + own_ns / TOTAL_MORE_DIVISOR).contains(&total_ns),
            format!("fslockup {own_ns} ns, tracer {total_ns} ns"),
        );
        checks.equal(
            "total wait of the impact",
            incident.impact.wait_ns_total,
            own_ns,
        );
    }
    Ok(())
}
