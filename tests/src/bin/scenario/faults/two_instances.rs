//! Two detectors on one host: both see all, and neither minds when the other goes.

use anyhow::Context as _;
use fslockup_tests::workload;
use nix::sys::signal::Signal;

use crate::stage::{
    checks::Checks,
    detector::{Detector, Ended, nothing_left, nothing_lost},
    floods::{SHORT_WALK_COUNT, SHORT_WALK_OPTIONS},
    incident, kernel,
};

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::flooded_dir(SHORT_WALK_COUNT)?;
    let mut detectors = [
        Detector::start(SHORT_WALK_OPTIONS)?,
        Detector::start(SHORT_WALK_OPTIONS)?,
    ];
    let programs = kernel::programs()?;
    // The kernel cuts names: an entry and an exit can look alike.
    let is_even = |name: &str| {
        let alike = programs.iter().filter(|known| *known == name);
        alike.count().is_multiple_of(2)
    };
    checks.that(
        "each has programs of its own",
        !programs.is_empty() && programs.iter().all(|name| is_even(name)),
        programs.join(" "),
    );
    let both = workload::watch(&dir, &[])?;
    for detector in &mut detectors {
        detector.wait_for("incident", |line| line["type"] == "incident")?;
    }
    let [first, mut second] = detectors;
    let first = first.end(Signal::SIGTERM)?;
    let alone = workload::watch(&dir, &[])?;
    second.wait_for("incident of its own", |line| line["type"] == "incident")?;
    let second = second.end(Signal::SIGTERM)?;
    let (both, alone) = (
        both.first().context("no call")?,
        alone.first().context("no call")?,
    );
    let mut starts = Vec::new();
    for (ended, calls) in [(&first, &[both][..]), (&second, &[both, alone][..])] {
        is_sound(checks, ended, calls.len())?;
        let incidents = ended.incidents()?;
        for call in calls {
            let found = incident::first_of_call(checks, &incidents, call)?;
            checks.equal("path", found.walk.path.as_deref(), dir.to_str());
            starts.push(found.walk.start_ns);
        }
    }
    checks.that(
        "both tell of the same walk",
        starts[0].abs_diff(starts[1]) < both.call_ns() / 2,
        format!("{starts:?}, the call took {} ns", both.call_ns()),
    );
    nothing_left(checks, "after both")
}

fn is_sound(checks: &mut Checks, ended: &Ended, calls_count: usize) -> anyhow::Result<()> {
    nothing_lost(checks, ended);
    let walks_count = ended.summary().context("no summary")?["walks_count"].as_u64();
    checks.that(
        "it counted the walks",
        walks_count >= u64::try_from(calls_count).ok(),
        format!("{walks_count:?} walks of {calls_count} calls"),
    );
    Ok(())
}
