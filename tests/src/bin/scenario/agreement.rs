//! What the kernel's own tracers see of the same walks and waits.

use anyhow::Context as _;
use fslockup_tests::{Span, workload};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    checks::Checks,
    contention::{self, FILES_COUNT},
    detector::{self, Detector, nothing_lost},
    kernel,
    negative_flood::LARGE_COUNT,
    precondition,
    tracefs::Tracefs,
};

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
        checks.that(
            "the function-graph tracer agrees within 5 %",
            walk_ns.abs_diff(*traced_ns) <= traced_ns / 20,
            format!("fslockup {walk_ns} ns, tracer {traced_ns} ns"),
        );
    }
    Ok(())
}

/// Probe events of ftrace at the entry and exit of the slowpath, which know the lock.
pub fn with_probe_events(checks: &mut Checks) -> anyhow::Result<()> {
    precondition::kprobes()?;
    let dir = kernel::ramfs_dir(FILES_COUNT)?;
    let function = function_of(&detector::check()?, "wait")?;
    let tracer = Tracefs::new()?;
    tracer.time_waits(&function)?;
    let seen = contention::observe(checks, &dir, &[])?;
    let traced = tracer.waits()?;
    drop(tracer);
    for incident in &seen.incidents {
        let walk = incident.walk.span();
        let lock = incident.walk.d_lock_addr.as_deref().context("d_lock")?;
        let is_of_this_walk =
            |(_, of, span): &&(u32, String, Span)| of == lock && span.overlaps(&walk);
        // Shorter ones left no record by design.
        let traced_ns: u64 = traced
            .iter()
            .filter(is_of_this_walk)
            .map(|(_, _, span)| span.length_ns())
            .filter(|wait_ns| *wait_ns >= 100_000)
            .sum();
        let own_ns: u64 = incident.waiters.iter().map(|waiter| waiter.wait_ns).sum();
        checks.that(
            "the lock's total wait agrees with the tracer's within 20 %",
            traced_ns > 0 && own_ns.abs_diff(traced_ns) <= traced_ns / 5,
            format!("fslockup {own_ns} ns, tracer {traced_ns} ns"),
        );
        checks.equal(
            "total wait of the impact",
            incident.impact.wait_ns_total,
            own_ns,
        );
    }
    Ok(())
}

/// Where a probe is attached, or would be.
pub fn function_of(facts: &Value, probe: &str) -> anyhow::Result<String> {
    let probes = facts["attached"]["probes"].as_array();
    let found = probes
        .into_iter()
        .flatten()
        .find(|attached| attached["probe"] == probe)
        .and_then(|attached| attached["targets"][0]["function"].as_str());
    Ok(found
        .with_context(|| format!("no probe {probe} in {facts}"))?
        .to_owned())
}
