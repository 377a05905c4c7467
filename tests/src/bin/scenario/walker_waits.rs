//! A walker that has to wait first: what it waits is no hold of its own.

use anyhow::Context as _;
use fslockup_tests::{Account, Span, background::Background, task, workload};
use nix::sys::signal::Signal;

use crate::{
    checks::Checks,
    contention::{FILES_COUNT, OPTIONS, TIMEKEEPER_CPU},
    detector::{Detector, little_lost},
    incident::{self, Incident},
    kernel,
};

const WATCHES_COUNT: usize = 6;

/// Until the watching process is ready.
const START_NS: u64 = 30_000_000;

/// A wait that can't be overlooked.
const LONG_NS: u64 = 500_000;

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::ramfs_dir(FILES_COUNT)?;
    let path = dir.to_str().context("a path of ours")?;
    let metronome = Background::metronome(TIMEKEEPER_CPU)?;
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
        "--threshold",
        "0s",
    ])?;
    let mut calls = Vec::new();
    for _ in 0..WATCHES_COUNT {
        // Through an open file, at some moment: inotify and fanotify take a reference on the
        // directory first, under its `d_lock`, and so come to the walk just when it is free.
        let at_ns = (task::monotonic_ns()? + START_NS).to_string();
        let options = ["--via", "dnotify", "--cpu", "0", "--at-ns", &at_ns];
        calls.extend(workload::watch(&dir, &options)?);
    }
    let seekers: Vec<Account> = seekers.stop()?;
    metronome.stop::<Account>()?;
    let ended = detector.end(Signal::SIGTERM)?;
    little_lost(checks, &ended);
    let incidents = ended.incidents()?;
    let seeker = seekers.first().context("the seeker's account")?;
    let seek_ns = undisturbed_ns(seeker, &incidents)?;
    let mut waited_count = 0;
    for call in &calls {
        let incident = incident::first_of_call(checks, &incidents, call)?;
        if hold_begins_behind_the_wait(checks, incident, seeker, seek_ns)? {
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

/// The median.
fn undisturbed_ns(seeker: &Account, incidents: &[Incident]) -> anyhow::Result<u64> {
    let is_disturbed = |seek: &Span| {
        let mut walks = incidents.iter().map(|incident| incident.walk.span());
        walks.any(|walk| walk.overlaps(seek))
    };
    let mut lengths: Vec<_> = seeker
        .slow
        .iter()
        .filter(|seek| !is_disturbed(seek))
        .map(Span::length_ns)
        .collect();
    lengths.sort_unstable();
    let median = lengths.get(lengths.len() / 2).copied();
    median.context("every seek was disturbed")
}

/// Whether the walker had to wait long for the seeker, by the seeker's own account: a seek holds the
/// lock at its start, for as long as seeks take that no walk disturbs.
fn hold_begins_behind_the_wait(
    checks: &mut Checks,
    incident: &Incident,
    seeker: &Account,
    seek_ns: u64,
) -> anyhow::Result<bool> {
    let walk = incident.walk.span();
    let released_ns = seeker
        .slow
        .iter()
        .filter(|seek| {
            seek.contains(&Span {
                start_ns: walk.start_ns,
                end_ns: walk.start_ns,
            })
        })
        .map(|seek| seek.start_ns + seek_ns)
        .next();
    let wait_ns = released_ns.unwrap_or(0).saturating_sub(walk.start_ns);
    if wait_ns < LONG_NS {
        return Ok(false);
    }
    let d_lock = incident.hold_of_walker("d_lock").context("no d_lock")?;
    let left_ns = incident.walk.walk_ns - wait_ns;
    checks.that(
        "d_lock is held from the end of the walker's wait",
        d_lock.hold_ns.abs_diff(left_ns) <= (left_ns / 5).max(200_000),
        format!(
            "hold {} ns, walk {} ns of which about {wait_ns} ns behind a seek",
            d_lock.hold_ns, incident.walk.walk_ns
        ),
    );
    checks.that(
        "the walker's own wait is named",
        incident.walk.wait_ns.abs_diff(wait_ns) <= (wait_ns / 5).max(200_000),
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
