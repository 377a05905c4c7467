//! A walker that has to wait first: what it waits is no hold of its own.

use anyhow::Context as _;
use fslockup_tests::{Account, Span, background::Background, task, workload};
use nix::sys::signal::Signal;

use crate::stage::{
    checks::Checks,
    contended::{FILES_COUNT, OPTIONS, TIMEKEEPER_CPU},
    detector::{Detector, nothing_lost},
    incident::{self, Incident},
    kernel,
};

const WATCHES_COUNT: usize = 20;

/// Until the watching process is ready.
const START_NS: u64 = 30_000_000;

/// A few turns of other CPUs: the emulator runs one at a time.
const SLACK_NS: u64 = 500_000;

/// The way from the entry to the wait, with whatever interrupts it: 1 to 6 us, or a few turns of other CPUs,
/// which the metronome keeps to 0.1 ms each (152 us were seen on 5.10.223, 427 us on 6.12-rt).
const REST_NS_MAX: i128 = SLACK_NS as i128;

/// A wait that can't be overlooked.
const LONG_NS: u64 = 600_000;

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::ramfs_dir(FILES_COUNT)?;
    let path = dir.to_str().context("a path of ours")?;
    let metronome = Background::metronome(TIMEKEEPER_CPU)?;
    let detector = Detector::start(OPTIONS)?;
    detector.settle()?;
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
    nothing_lost(checks, &ended);
    let incidents = ended.incidents()?;
    let seeker = seekers.first().context("the seeker's account")?;
    let seek_ns = undisturbed_ns(seeker, &incidents)?;
    let mut waited_count = 0_u32;
    for call in &calls {
        let incident = incident::first_of_call(checks, &incidents, call)?;
        if hold_begins_behind_the_wait(checks, incident, seeker, seek_ns)? {
            waited_count += 1;
        }
    }
    checks.figure("walkers_that_waited", f64::from(waited_count));
    // Not always: a seek gives the lock away for a moment when another task wants its CPU.
    checks.that(
        "walkers waited until a seek was through",
        waited_count >= 1,
        format!("{waited_count} of {WATCHES_COUNT}"),
    );
    Ok(())
}

/// The shortest and the longest seek that no walk disturbed.
fn undisturbed_ns(seeker: &Account, incidents: &[Incident]) -> anyhow::Result<(u64, u64)> {
    let is_disturbed = |seek: &&Span| {
        let mut walks = incidents.iter().map(|incident| incident.walk.span());
        walks.any(|walk| walk.overlaps(seek))
    };
    let lengths_ns = || {
        let undisturbed = seeker.slow.iter().filter(|seek| !is_disturbed(seek));
        undisturbed.map(Span::length_ns)
    };
    lengths_ns()
        .min()
        .zip(lengths_ns().max())
        .context("every seek was disturbed")
}

/// Whether the walker had to wait long, until the seeker was through, by the seeker's own account: a seek holds the
/// lock from its start, for as long as seeks take that no walk disturbs.
fn hold_begins_behind_the_wait(
    checks: &mut Checks,
    incident: &Incident,
    seeker: &Account,
    (shortest_ns, longest_ns): (u64, u64),
) -> anyhow::Result<bool> {
    let walk = incident.walk.span();
    let holds_at_entry = |seek: &&Span| (seek.start_ns..seek.end_ns).contains(&walk.start_ns);
    let Some(seek) = seeker.slow.iter().find(holds_at_entry) else {
        return Ok(false);
    };
    let left_ns = |seek_ns: u64| (seek.start_ns + seek_ns).saturating_sub(walk.start_ns);
    let (least_ns, most_ns) = (left_ns(shortest_ns), left_ns(longest_ns));
    if least_ns < LONG_NS {
        return Ok(false);
    }
    let wait_ns = incident.walk.wait_ns;
    checks.that(
        "the walker waited no longer than the seek had left, and one more seek",
        wait_ns <= most_ns + longest_ns + SLACK_NS,
        format!("waited {wait_ns} ns, the seek had {least_ns} to {most_ns} ns left"),
    );
    let d_lock = incident.hold_of_walker("d_lock").context("no d_lock")?;
    let rest_ns = i128::from(incident.walk.walk_ns) - i128::from(d_lock.hold_ns + wait_ns);
    checks.that(
        "d_lock is held from the end of the walker's wait",
        (0..=REST_NS_MAX).contains(&rest_ns),
        format!(
            "hold {} ns, wait {wait_ns} ns, walk {} ns",
            d_lock.hold_ns, incident.walk.walk_ns
        ),
    );
    let i_lock = incident.hold_of_walker("i_lock").context("no i_lock")?;
    checks.that(
        "i_lock is held all the time",
        i_lock.hold_ns == incident.walk.walk_ns,
        format!("hold {} ns", i_lock.hold_ns),
    );
    Ok(wait_ns > 0 && wait_ns + SLACK_NS >= least_ns)
}
