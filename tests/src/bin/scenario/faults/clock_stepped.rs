//! Somebody sets the clock: times of day follow it, and nothing else changes.

use std::{thread::sleep, time::Duration};

use anyhow::Context as _;
use fslockup_tests::{task, workload};
use nix::{
    sys::{signal::Signal, time::TimeSpec},
    time::{ClockId, clock_gettime, clock_settime},
};

use crate::stage::{
    checks::Checks,
    detector::{Detector, nothing_lost},
    floods::{SHORT_WALK_COUNT, SHORT_WALK_OPTIONS},
    incident::{self, Incident},
    kernel,
};

const DAY_S: i64 = 86_400;
/// In days, one after another.
const STEPS: [i64; 4] = [0, 1, -2, 1];
/// The clock is looked at ten times a second.
const NOTICED: Duration = Duration::from_millis(500);

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::flooded_dir(SHORT_WALK_COUNT)?;
    let before_ns = task::monotonic_ns()?;
    let mut detector = Detector::start(SHORT_WALK_OPTIONS)?;
    let attached_ns = task::monotonic_ns()?;
    for days in STEPS {
        step(days)?;
        sleep(NOTICED);
        let (from_ms, to_call_ns) = (realtime_ms()?, task::monotonic_ns()?);
        let calls = workload::watch(&dir, &[])?;
        let call = calls.first().context("no call")?;
        let line = detector.wait_for("incident", |line| line["type"] == "incident")?;
        let to_ms = realtime_ms()?;
        let at = line["at"].as_str().context("no time")?;
        let at_ms = humantime::parse_rfc3339(at)?
            .duration_since(std::time::UNIX_EPOCH)?
            .as_millis();
        checks.that(
            format!("after {days} days: the time of day is the host's"),
            (from_ms..=to_ms).contains(&at_ms),
            format!("{at}: {at_ms} in {from_ms}..={to_ms}"),
        );
        let found: Incident = serde_json::from_value(line)?;
        incident::first_of_call(checks, std::slice::from_ref(&found), call)?;
        checks.that(
            "its times are those of the clock that nobody sets",
            found.walk.start_ns > to_call_ns
                && found.walk.walk_ns < call.call_ns()
                && found.walk.syscall_ns.is_some_and(|ns| ns <= call.call_ns()),
            format!("{:?} in {call:?}", found.walk),
        );
    }
    let stopped_ns = task::monotonic_ns()?;
    let ended = detector.end(Signal::SIGTERM)?;
    let gone_ns = task::monotonic_ns()?;
    nothing_lost(checks, &ended);
    let duration_ns = ended.summary().context("no summary")?["duration_ns"]
        .as_u64()
        .context("no duration")?;
    checks.that(
        "the run was as long as it was",
        (stopped_ns - attached_ns..gone_ns - before_ns).contains(&duration_ns),
        format!("{duration_ns} ns"),
    );
    let incidents = ended.incidents()?;
    checks.that(
        "no incident is missing",
        incidents.len() >= STEPS.len(),
        format!("{} of {}", incidents.len(), STEPS.len()),
    );
    Ok(())
}

fn step(days: i64) -> anyhow::Result<()> {
    let now = clock_gettime(ClockId::CLOCK_REALTIME)?;
    let then = TimeSpec::new(now.tv_sec() + days * DAY_S, now.tv_nsec());
    clock_settime(ClockId::CLOCK_REALTIME, then).context("set the clock")
}

fn realtime_ms() -> anyhow::Result<u128> {
    let now = clock_gettime(ClockId::CLOCK_REALTIME)?;
    let ms = now.tv_sec() * 1_000 + now.tv_nsec() / 1_000_000;
    Ok(u128::try_from(ms)?)
}
