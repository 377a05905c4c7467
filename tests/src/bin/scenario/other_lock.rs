//! Contention on another directory's lock while a walk runs: it is not the walk's doing.

use anyhow::Context as _;
use fslockup_tests::{Account, background::Background, workload};
use nix::sys::signal::Signal;

use crate::{
    checks::Checks,
    detector::{Detector, nothing_lost},
    incident::{self, Incident},
    kernel,
    two_walks::OPTIONS,
};

const CHILDREN_COUNT: u64 = 60_000;

/// Files in the other directory: seeking past them takes milliseconds under emulation.
const FILES_COUNT: u64 = 40_000;

/// The other lock is not held all the time: several walks, of which some meet a wait for it.
const WATCHES_COUNT: usize = 6;

/// A wait that `fslockup` surely took note of.
const OTHER_WAIT_NS: u64 = 1_000_000;

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::new_dir("other-lock")?;
    workload::flood(&dir, CHILDREN_COUNT, 9)?;
    let path = dir.to_str().context("a path of ours")?;
    let other = kernel::ramfs_dir(FILES_COUNT)?;
    let other = other.to_str().context("a path of ours")?;
    let mut detector = Detector::start(OPTIONS)?;
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
    let sleepers: Vec<Account> = sleepers.stop()?;
    let others: Vec<Account> = others.stop()?;
    let lookers: Vec<Account> = lookers.stop()?;
    let seekers: Vec<Account> = seekers.stop()?;
    let ended = detector.end(Signal::SIGTERM)?;
    nothing_lost(checks, &ended);
    let incidents = ended.incidents()?;
    checks.equal("incidents", incidents.len(), WATCHES_COUNT);
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
    Ok(())
}

fn only_of_the_walk(checks: &mut Checks, incident: &Incident, of_other: &[u32]) {
    for waiter in &incident.waiters {
        checks.that(
            "nobody is in it who waited for the other lock",
            !of_other.contains(&waiter.tid),
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
            "nobody is in it whom a wait for the other lock kept from running",
            !of_other.contains(&stall.behind_tid) && !of_other.contains(&stall.tid),
            format!("{stall:?}"),
        );
    }
}
