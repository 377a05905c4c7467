//! A walk is reported while it runs: a host that is reset never reaches the end of one.

use fslockup_tests::workload;
use nix::sys::signal::Signal;

use crate::{
    checks::Checks,
    detector::{Detector, nothing_lost},
    kernel,
};

/// Enough for some 20 ms under emulation, against a poll every millisecond.
const CHILDREN_COUNT: u64 = 200_000;

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::new_dir("running")?;
    workload::flood(&dir, CHILDREN_COUNT, 6)?;
    let mut detector = Detector::start(&["--walk-threshold", "1ms", "--poll-period", "1ms"])?;
    workload::watch(&dir, &[])?;
    let running = detector.wait_for("running walk", |line| line["state"] == "running")?;
    let finished = detector.wait_for("finished walk", |line| line["state"] == "finished")?;
    let ended = detector.end(Signal::SIGTERM)?;
    checks.equal("walks announced while they ran", ended.running().len(), 1);
    nothing_lost(checks, &ended);
    checks.equal("walks finished", ended.walks().len(), 1);
    for field in [
        "start_ns", "pid", "tid", "path", "ino", "dev", "trigger", "function",
    ] {
        checks.equal(
            format!("{field} of both"),
            &running["walk"][field],
            &finished["walk"][field],
        );
    }
    checks.equal("path", running["walk"]["path"].as_str(), dir.to_str());
    let (so_far, whole) = (
        running["walk"]["walk_ns"].as_u64(),
        finished["walk"]["walk_ns"].as_u64(),
    );
    checks.that(
        "it was announced before it ended",
        so_far < whole && so_far > Some(0),
        format!("{so_far:?} of {whole:?} ns"),
    );
    Ok(())
}
