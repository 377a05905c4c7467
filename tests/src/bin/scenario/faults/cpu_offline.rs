//! CPUs go and come back. What the programs keep, they keep for every CPU that the host can ever have.

use std::fs;

use anyhow::Context as _;
use fslockup_tests::{Account, background::Background, workload};
use nix::sys::signal::Signal;

use crate::stage::{
    checks::Checks,
    detector::{Detector, nothing_lost},
    floods::{LONG_WALK_COUNT, SHORT_WALK_OPTIONS},
    incident::Incident,
    kernel,
};

/// A busy host can run a waiter or sleeper beside the walk instead of in it; then it is watched again.
const ROUNDS_MAX: usize = 20;

/// Offline when the detector starts.
const FIRST: u32 = 3;
/// Goes while it runs.
const SECOND: u32 = 2;

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    // Long enough for others to wait.
    let dir = kernel::flooded_dir(LONG_WALK_COUNT)?;
    let path = dir.to_str().context("a path of ours")?;
    set_online(FIRST, false)?;
    let mut detector = Detector::start(SHORT_WALK_OPTIONS)?;
    let on_0 = watched(&mut detector, path, 0)?;
    checks.equal("with a CPU away: the walk's CPU", on_0.walk.cpu, 0);

    set_online(FIRST, true)?;
    everything_on(checks, &mut detector, path, FIRST)?;

    set_online(SECOND, false)?;
    let on_first = watched(&mut detector, path, FIRST)?;
    checks.equal(
        "with another away: the walk's CPU",
        on_first.walk.cpu,
        FIRST,
    );
    set_online(SECOND, true)?;
    everything_on(checks, &mut detector, path, SECOND)?;
    let ended = detector.end(Signal::SIGTERM)?;
    nothing_lost(checks, &ended);
    Ok(())
}

/// A walk there, a wait there, a stall there.
fn everything_on(
    checks: &mut Checks,
    detector: &mut Detector,
    path: &str,
    cpu: u32,
) -> anyhow::Result<()> {
    let cpu_text = cpu.to_string();
    let sleepers = Background::start(&["sleepers", "--cpus", &cpu_text, "--threshold", "1ms"])?;
    let mut stalled = None;
    for _ in 0..ROUNDS_MAX {
        let found = watched(detector, path, cpu)?;
        checks.equal(format!("CPU {cpu}: the walk's CPU"), found.walk.cpu, cpu);
        let has_stall = found.stalls.iter().any(|stall| stall.cpu == cpu);
        stalled = has_stall.then_some(found);
        if has_stall {
            break;
        }
    }
    let sleepers: Vec<Account> = sleepers.stop()?;
    let is_ours = |tid| sleepers.iter().any(|sleeper| sleeper.tid == tid);
    checks.that(
        format!("CPU {cpu}: who was kept from running there is seen"),
        stalled.as_ref().is_some_and(|found| {
            let mut there = found.stalls.iter().filter(|stall| stall.cpu == cpu);
            there.any(|stall| is_ours(stall.tid) && stall.behind == "walk")
        }),
        format!("{:?}", stalled.map(|found| found.stalls)),
    );
    let lookers = Background::start(&["lookup", "--dir", path, "--cpus", &cpu_text])?;
    let mut waited = None;
    for _ in 0..ROUNDS_MAX {
        let found = watched(detector, path, 0)?;
        let has_waiter = found.waiters.iter().any(|waiter| waiter.cpu == cpu);
        waited = has_waiter.then_some(found);
        if has_waiter {
            break;
        }
    }
    let lookers: Vec<Account> = lookers.stop()?;
    let is_ours = |tid| lookers.iter().any(|looker| looker.tid == tid);
    checks.that(
        format!("CPU {cpu}: who waited there is seen"),
        waited.as_ref().is_some_and(|found| {
            let mut there = found.waiters.iter().filter(|waiter| waiter.cpu == cpu);
            there.any(|waiter| is_ours(waiter.tid))
        }),
        format!("{:?}", waited.map(|found| found.waiters)),
    );
    Ok(())
}

/// The incident of a watch on this CPU.
fn watched(detector: &mut Detector, path: &str, cpu: u32) -> anyhow::Result<Incident> {
    let calls = workload::watch(path.as_ref(), &["--cpu", &cpu.to_string()])?;
    let tid = u64::from(calls.first().context("no call")?.pid);
    let line = detector.wait_for("incident", |line| {
        line["type"] == "incident" && line["walk"]["tid"].as_u64() == Some(tid)
    })?;
    Ok(serde_json::from_value(line)?)
}

/// Documentation/core-api/cpu_hotplug.rst
fn set_online(cpu: u32, is_online: bool) -> anyhow::Result<()> {
    let file = format!("/sys/devices/system/cpu/cpu{cpu}/online");
    let wanted = if is_online { "1" } else { "0" };
    fs::write(&file, wanted).with_context(|| file.clone())?;
    let now = fs::read_to_string(&file).with_context(|| file.clone())?;
    anyhow::ensure!(now.trim() == wanted, "{file}: {now:?} after {wanted:?}");
    Ok(())
}
