//! Contention on another directory's lock while a walk runs: it is not the walk's doing.

use std::path::Path;

use anyhow::Context as _;
use fslockup_tests::{Account, TimedCall, background::Background, workload};
use nix::sys::signal::Signal;

use crate::stage::{
    checks::{Checks, precise},
    detector::{Detector, nothing_lost},
    floods::SHORT_WALK_OPTIONS,
    incident::{self, Incident},
    kernel,
};

const CHILDREN_COUNT: u64 = 60_000;

/// Files in the other directory: seeking past them takes milliseconds under emulation.
const FILES_COUNT: u64 = 40_000;

/// The other lock is not held all the time: several walks, of which some meet a wait for it.
const WATCHES_COUNT: usize = 6;

/// A wait that `fslockup` surely took note of.
const OTHER_WAIT_NS: u64 = 1_000_000;

/// Watches of the other directory, at most, until one has waiters.
const CONTROLS_MAX: usize = 20;

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::new_dir("other-lock")?;
    workload::flood(&dir, CHILDREN_COUNT, 9)?;
    let path = dir.to_str().context("a path of ours")?;
    let other_dir = kernel::ramfs_dir(FILES_COUNT)?;
    let other = other_dir.to_str().context("a path of ours")?;
    let mut detector = Detector::start(SHORT_WALK_OPTIONS)?;
    let files = FILES_COUNT.to_string();
    let seekers = Background::start(&["seek", "--dir", other, "--to", &files, "--cpus", "1"])?;
    let lookers = Background::start(&["lookup", "--dir", path, "--cpus", "2"])?;
    let others = Background::start(&["lookup", "--dir", other, "--cpus", "3"])?;
    // Kept from running by waits for the other lock, not by the walk.
    let sleepers = Background::start(&[
        "sleepers",
        "--cpus",
        "3",
        "--period",
        "500us",
        "--priority",
        "10",
    ])?;
    let mut calls = Vec::new();
    for _ in 0..WATCHES_COUNT {
        calls.extend(workload::watch(&dir, &["--cpu", "0"])?);
        detector.wait_for("incident", |line| line["type"] == "incident")?;
    }
    let controls = watch_the_other(&mut detector, &other_dir)?;
    let sleepers: Vec<Account> = sleepers.stop()?;
    let others: Vec<Account> = others.stop()?;
    let lookers: Vec<Account> = lookers.stop()?;
    let seekers: Vec<Account> = seekers.stop()?;
    let ended = detector.end(Signal::SIGTERM)?;
    nothing_lost(checks, &ended);
    let incidents = ended.incidents()?;
    checks.equal("incidents", incidents.len(), WATCHES_COUNT + controls.len());
    let of_other: Vec<u32> = [&others, &seekers, &sleepers]
        .into_iter()
        .flatten()
        .map(|account| account.tid)
        .collect();
    let (mut other_waits_count, mut waits_count) = (0, 0);
    for call in &calls {
        let incident = incident::of_call(checks, &incidents, call)?;
        only_of_the_walk(checks, incident, &of_other);
        let walk = incident.walk.span();
        other_waits_count += others
            .iter()
            .flat_map(|account| &account.slow)
            .filter(|lookup| lookup.length_ns() >= OTHER_WAIT_NS && lookup.overlaps(&walk))
            .count();
        waits_count += incident
            .waiters
            .iter()
            .filter(|waiter| lookers.iter().any(|looker| looker.tid == waiter.tid))
            .count();
    }
    checks.that(
        "somebody waited for the other lock during a walk",
        other_waits_count > 0,
        format!("{other_waits_count} waits in {WATCHES_COUNT} walks"),
    );
    checks.that(
        "somebody waited for the walk's lock",
        waits_count > 0,
        format!("{waits_count} waits in {WATCHES_COUNT} walks"),
    );
    // By then its waits were not overlooked: they were nobody's.
    checks.figure("controls", precise(controls.len() as u64));
    let of_walk: Vec<u32> = lookers.iter().map(|account| account.tid).collect();
    let mut seen_count = 0;
    for call in &controls {
        let incident = incident::of_call(checks, &incidents, call)?;
        checks.equal("path", incident.walk.path.as_deref(), Some(other));
        only_of_the_walk(checks, incident, &of_walk);
        let is_known = |tid: u32| others.iter().chain(&seekers).any(|one| one.tid == tid);
        let waiters = &incident.waiters;
        seen_count += waiters.iter().filter(|waiter| is_known(waiter.tid)).count();
    }
    checks.that(
        "who waits for the other lock is seen where it is a walk's",
        seen_count > 0,
        format!("{seen_count} waits in {} walks", controls.len()),
    );
    Ok(())
}

/// Watches of the other directory until somebody waited for it: a busy host can keep its waiters from running
/// while the walk does.
fn watch_the_other(detector: &mut Detector, dir: &Path) -> anyhow::Result<Vec<TimedCall>> {
    let mut calls = Vec::new();
    let mut is_done = false;
    while !is_done && calls.len() < CONTROLS_MAX {
        let call = workload::watch(dir, &["--cpu", "0"])?;
        let call = call.into_iter().next().context("no call")?;
        let line = detector.wait_for("the control's incident", |line| {
            line["type"] == "incident" && line["walk"]["tid"] == call.pid
        })?;
        calls.push(call);
        is_done = line["waiters"]
            .as_array()
            .is_some_and(|all| !all.is_empty());
    }
    Ok(calls)
}

fn only_of_the_walk(checks: &mut Checks, incident: &Incident, of_others: &[u32]) {
    for waiter in &incident.waiters {
        checks.that(
            "nobody is in it who waited for another lock",
            !of_others.contains(&waiter.tid),
            format!("{waiter:?}"),
        );
    }
    for hold in &incident.holds {
        checks.that(
            "each hold is of the walk's locks",
            ["i_lock", "d_lock"].contains(&hold.lock.as_str()),
            format!("{hold:?}"),
        );
    }
    for stall in &incident.stalls {
        checks.that(
            "nobody is in it whom a wait for another lock kept from running",
            !of_others.contains(&stall.behind_tid) && !of_others.contains(&stall.tid),
            format!("{stall:?}"),
        );
    }
}
