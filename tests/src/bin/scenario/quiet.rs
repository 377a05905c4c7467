//! What must not be reported.

use fslockup_tests::workload;
use nix::sys::signal::Signal;

use crate::{
    checks::Checks,
    detector::{self, Detector, Ended, nothing_lost},
    kernel,
};

/// A flood that nobody watches is no walk.
pub fn no_watch(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::new_dir("flood-no-watch")?;
    let detector = Detector::start(&["--walk-threshold", "0s"])?;
    workload::flood(&dir, 20_000, 2)?;
    let ended = detector.end(Signal::SIGTERM)?;
    nothing_reported(checks, &ended, 0)
}

/// A directory of ten is walked, in no time.
pub fn small_directory(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::new_dir("small")?;
    workload::flood(&dir, 10, 3)?;
    let detector = Detector::start(&[])?;
    workload::watch(&dir, &[])?;
    let ended = detector.end(Signal::SIGTERM)?;
    nothing_reported(checks, &ended, 1)
}

/// A watch for entries made or removed alone needs no flag on the children: only kernels that walk
/// for every watch walk for it.
pub fn entries_only(checks: &mut Checks) -> anyhow::Result<()> {
    let walks_anyway = detector::exposure(&detector::check()?, "walk_on_every_watch")?;
    let dir = kernel::new_dir("entries-only")?;
    workload::flood(&dir, 20_000, 4)?;
    let detector = Detector::start(&["--walk-threshold", "0s"])?;
    workload::watch(&dir, &["--entries-only"])?;
    let ended = detector.end(Signal::SIGTERM)?;
    if walks_anyway {
        checks.equal("walks reported", ended.walks().len(), 1);
        nothing_lost(checks, &ended);
        return Ok(());
    }
    nothing_reported(checks, &ended, 0)
}

fn nothing_reported(checks: &mut Checks, ended: &Ended, seen_count: u64) -> anyhow::Result<()> {
    checks.equal(
        "walks reported",
        ended.walks().len() + ended.running().len(),
        0,
    );
    let seen = ended
        .summary()
        .and_then(|summary| summary["walks_count"].as_u64());
    checks.equal("walks that happened", seen, Some(seen_count));
    nothing_lost(checks, ended);
    Ok(())
}
