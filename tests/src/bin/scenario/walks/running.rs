//! A walk is reported while it runs: a host that is reset never reaches the end of one.

use std::{cell::RefCell, path::Path};

use anyhow::Context as _;
use fslockup_tests::{Account, background::Background, workload};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::stage::{
    checks::{Checks, precise},
    detector::{Detector, Ended, nothing_lost},
    floods::LONG_WALK_COUNT,
    kernel,
};

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::flooded_dir(LONG_WALK_COUNT)?;
    let mut detector = Detector::start(&["--walk-threshold", "5ms", "--poll-period", "1ms"])?;
    detector.settle()?;
    let (running, finished, tries) = announced(&mut detector, &dir)?;
    checks.figure("tries", precise(tries as u64));
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
    let ended = waiters_so_far(checks, detector, &dir)?;
    let of_first = |line: &&&Value| line["walk"]["start_ns"] == running["walk"]["start_ns"];
    for (what, lines) in [
        ("announced while it ran", ended.running()),
        ("finished", ended.walks()),
    ] {
        checks.equal(
            format!("how often the first walk was {what}"),
            lines.iter().filter(of_first).count(),
            1,
        );
    }
    // A watch that went may make others walk, where the kernel has that.
    let of_watches = |line: &&&Value| line["walk"]["trigger"] == "inotify_add_watch";
    checks.equal(
        "walks of watches that finished",
        ended.walks().iter().filter(of_watches).count(),
        tries + WATCHES_COUNT,
    );
    Ok(())
}

/// On a busy host a walk may end before the detector gets a CPU to look at it.
const TRIES_MAX: usize = 10;

/// A walk as it was announced and as it was when it had ended, and how many walks there were until one was announced.
fn announced(detector: &mut Detector, dir: &Path) -> anyhow::Result<(Value, Value, usize)> {
    for tries in 1..=TRIES_MAX {
        let calls = workload::watch(dir, &[])?;
        let pid = calls.first().context("no call")?.pid;
        let running = RefCell::new(None);
        let finished = detector.wait_for("finished walk", |line| {
            let is_of_call = line["walk"]["pid"] == pid;
            if is_of_call && line["state"] == "running" {
                *running.borrow_mut() = Some(line.clone());
            }
            is_of_call && line["state"] == "finished"
        })?;
        if let Some(running) = running.take() {
            return Ok((running, finished, tries));
        }
    }
    anyhow::bail!("none of {TRIES_MAX} walks was announced while it ran")
}

/// Right at the start of a walk nobody waits, and a short one may end between two looks: enough for
/// some to be announced with waiters.
const WATCHES_COUNT: usize = 10;

/// Who waits is known before the wait ends.
fn waiters_so_far(checks: &mut Checks, detector: Detector, dir: &Path) -> anyhow::Result<Ended> {
    let path = dir.to_str().context("a path of ours")?;
    // CPU 3 is left to the detector: with all four blocked nobody can tell of anything.
    let lookers = Background::start(&["lookup", "--dir", path, "--cpus", "1,2"])?;
    for _ in 0..WATCHES_COUNT {
        workload::watch(dir, &["--cpu", "0"])?;
    }
    let lookers: Vec<Account> = lookers.stop()?;
    let ended = detector.end(Signal::SIGTERM)?;
    nothing_lost(checks, &ended);
    let waiters: Vec<Value> = ended
        .running()
        .iter()
        .filter_map(|line| line["waiters"].as_array().cloned())
        .flatten()
        .collect();
    let is_right = |waiter: &Value| {
        let tid = waiter["tid"].as_u64();
        waiter["lock"] == "d_lock"
            && waiter["comm"] == "workload"
            && lookers
                .iter()
                .any(|looker| tid == Some(u64::from(looker.tid)))
    };
    checks.that(
        "who waits so far are the ones that look names up in the directory",
        !waiters.is_empty() && waiters.iter().all(is_right),
        format!("{waiters:?}"),
    );
    Ok(ended)
}
