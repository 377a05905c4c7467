//! Records come faster than they are read: the loss is counted, and what comes next is whole.

use anyhow::Context as _;
use fslockup_tests::workload;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::stage::{checks::Checks, detector::Detector, incident::Incident, kernel};

/// Records of two walks fill a ring of one page.
const WATCHES_COUNT: usize = 6;

const CHILDREN_COUNT: u64 = 20_000;

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::new_dir("overflow")?;
    workload::flood(&dir, CHILDREN_COUNT, 10)?;
    let mut detector = Detector::start(&[
        "--ring-bytes",
        "4096",
        "--walk-threshold",
        "100us",
        "--incident-threshold",
        "100us",
        // Or other locks' waits fill the ring: on a busy host they left no room for a single walk.
        "--wait-threshold",
        "1h",
        "--stall-threshold",
        "1h",
    ])?;
    // A process that does not run reads no records.
    let pid = Pid::from_raw(i32::try_from(detector.pid())?);
    kill(pid, Signal::SIGSTOP)?;
    for _ in 0..WATCHES_COUNT {
        workload::watch(&dir, &[])?;
    }
    kill(pid, Signal::SIGCONT)?;
    detector.wait_for("incident", |line| line["type"] == "incident")?;
    // What was lost is known by now, and the ring is empty again.
    let calls = workload::watch(&dir, &[])?;
    let call = calls.first().context("no call")?;
    let last = detector.wait_for("next incident", |line| {
        line["type"] == "incident" && line["walk"]["tid"].as_u64() == Some(u64::from(call.pid))
    })?;
    let last: Incident = serde_json::from_value(last)?;
    checks.equal("its path", last.walk.path.as_deref(), dir.to_str());
    checks.equal(
        "its trigger",
        last.walk.trigger.as_deref(),
        Some("inotify_add_watch"),
    );
    checks.that(
        "its walk lies within the system call",
        (call.start_ns..call.end_ns).contains(&last.walk.start_ns)
            && last.walk.walk_ns < call.call_ns(),
        format!("{last:?} in {call:?}"),
    );
    checks.that(
        "its system call and both holds are there",
        last.walk.syscall_ns.is_some()
            && last.hold_of_walker("d_lock").is_some()
            && last.hold_of_walker("i_lock").is_some(),
        format!("{last:?}"),
    );
    let ended = detector.end(Signal::SIGTERM)?;
    checks.equal("exit code", ended.code, Some(0));
    let summary = ended.summary().context("no summary")?;
    let lost = summary["lost_count"].as_u64().unwrap_or(0);
    checks.that("the summary counts the loss", lost > 0, format!("{lost}"));
    checks.equal(
        "walks that happened",
        summary["walks_count"].as_u64(),
        u64::try_from(WATCHES_COUNT + 1).ok(),
    );
    let incidents = ended.incidents()?;
    let told: u64 = incidents.iter().map(|incident| incident.lost_count).sum();
    checks.that(
        "an incident says that records were lost",
        told > 0,
        format!("{told}"),
    );
    checks.that(
        "some incidents are missing",
        (2..=WATCHES_COUNT).contains(&incidents.len()),
        format!("{} of {}", incidents.len(), WATCHES_COUNT + 1),
    );
    Ok(())
}
