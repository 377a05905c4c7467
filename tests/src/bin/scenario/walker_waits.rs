//! A walker that has to wait first: what it waits is no hold of its own.

use anyhow::Context as _;
use fslockup_tests::{Account, Span, background::Background, workload};
use nix::sys::signal::Signal;

use crate::{
    checks::Checks,
    contention::OPTIONS,
    detector::{Detector, nothing_lost},
    incident::{self, Incident},
    kernel, stall,
};

/// Children that exist, in a ramfs: to seek past them, somebody holds the directory's `d_lock` for
/// about as long as a walk does.
const FILES_COUNT: u64 = stall::FILES_COUNT;

const WATCHES_COUNT: usize = 6;

/// A wait that can't be overlooked.
const LONG_NS: u64 = 300_000;

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::ramfs_dir(FILES_COUNT)?;
    let path = dir.to_str().context("a path of ours")?;
    let detector = Detector::start(OPTIONS)?;
    let files = FILES_COUNT.to_string();
    let seekers = Background::start(&[
        "seek",
        "--dir",
        path,
        "--to",
        &files,
        "--cpus",
        "1",
        "--pause",
        "200us",
        "--threshold",
        "0s",
    ])?;
    let mut calls = Vec::new();
    for _ in 0..WATCHES_COUNT {
        calls.extend(workload::watch(&dir, &["--cpu", "0"])?);
    }
    let seekers: Vec<Account> = seekers.stop()?;
    let ended = detector.end(Signal::SIGTERM)?;
    nothing_lost(checks, &ended);
    let incidents = ended.incidents()?;
    checks.equal("incidents", incidents.len(), WATCHES_COUNT);
    let seeker = seekers.first().context("the seeker's account")?;
    let mut waited_count = 0;
    for call in &calls {
        let incident = incident::of_call(checks, &incidents, call)?;
        if hold_begins_behind_the_wait(checks, incident, seeker)? {
            waited_count += 1;
        }
    }
    checks.that(
        "walkers had to wait",
        waited_count > 0,
        format!("{waited_count} of {WATCHES_COUNT}"),
    );
    Ok(())
}

/// Whether the walker waited long for the seeker, by the seeker's own account.
fn hold_begins_behind_the_wait(
    checks: &mut Checks,
    incident: &Incident,
    seeker: &Account,
) -> anyhow::Result<bool> {
    let walk = incident.walk.span();
    let holds_at_entry = |seek: &&Span| (seek.start_ns..seek.end_ns).contains(&walk.start_ns);
    let Some(seek) = seeker.slow.iter().find(holds_at_entry) else {
        return Ok(false);
    };
    let wait_ns = seek.end_ns.min(walk.end_ns) - walk.start_ns;
    if wait_ns < LONG_NS || seek.end_ns >= walk.end_ns {
        return Ok(false);
    }
    let d_lock = incident.hold_of_walker("d_lock").context("no d_lock")?;
    let left_ns = incident.walk.walk_ns - wait_ns;
    checks.that(
        "d_lock is held from the end of the walker's wait",
        d_lock.hold_ns.abs_diff(left_ns) <= (left_ns / 5).max(100_000),
        format!(
            "hold {} ns, walk {} ns of which {wait_ns} ns behind the seek",
            d_lock.hold_ns, incident.walk.walk_ns
        ),
    );
    checks.that(
        "the walker's own wait is named",
        incident.walk.wait_ns.abs_diff(wait_ns) <= (wait_ns / 5).max(100_000),
        format!("{} ns", incident.walk.wait_ns),
    );
    checks.that(
        "i_lock is held all the time",
        incident
            .hold_of_walker("i_lock")
            .is_some_and(|hold| hold.hold_ns > left_ns + wait_ns / 2),
        format!("{:?}", incident.holds),
    );
    Ok(true)
}
