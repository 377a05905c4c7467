//! The detector itself becomes too dear: it takes probes away, says so, and puts them back. In instruction
//! time, where shares of a CPU don't depend on how busy the host of the guest is.

use anyhow::Context as _;
use fslockup_tests::{background::Background, workload};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::stage::{
    checks::Checks,
    detector::{Detector, nothing_lost},
    kernel,
    producers::origin,
};

const CHILDREN_COUNT: u64 = 60_000;

/// In millionths of a CPU, and as the option. The detector's own rounds take a tenth of it.
const BUDGET_PPM: u64 = 20_000;
const BUDGET: &str = "2%";

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::new_dir("self-budget")?;
    workload::flood(&dir, CHILDREN_COUNT, 27)?;
    let path = dir.to_str().context("a path of ours")?;
    let mut detector = Detector::start(&[
        "--cpu-budget",
        BUDGET,
        "--budget-period",
        "300ms",
        "--walk-threshold",
        "100us",
        "--incident-threshold",
        "100us",
    ])?;
    let before = linked("produce_")?;
    checks.that(
        "the programs for producers are attached",
        before >= 3,
        format!("{before} links"),
    );
    let flood = Background::start(&["lookup", "--dir", path, "--cpus", "0", "--pause", "0s"])?;
    let gone = detector.wait_for("producers detached", |line| {
        line["type"] == "budget" && line["change"] == "detached" && line["probes"] == "producers"
    })?;
    checks.that(
        "it says how much was taken, of what",
        gone["cpu_ppm"].as_u64() > Some(BUDGET_PPM)
            && gone["budget_ppm"].as_u64() == Some(BUDGET_PPM)
            && gone["probes_ppm"].as_u64() > Some(0)
            && gone["probes_ppm"].as_u64() <= gone["cpu_ppm"].as_u64(),
        format!("{gone}"),
    );
    if let Some(ppm) = gone["cpu_ppm"].as_u64() {
        checks.figure("cpu_percent", f64::from(u32::try_from(ppm)?) / 10_000.0);
    }
    kernel::wait_until("the links of producers' programs are gone", || {
        Ok(linked("produce_")? == 0)
    })?;
    checks.that(
        "the walk's programs stay",
        linked("walk_")? >= 2,
        kernel::linked_programs()?.join(" "),
    );
    drop(flood);

    let calls = workload::watch(&dir, &[])?;
    let tid = u64::from(calls.first().context("no call")?.pid);
    let incident = detector.wait_for("incident", |line| {
        line["type"] == "incident" && line["walk"]["tid"].as_u64() == Some(tid)
    })?;
    checks.equal("its path", incident["walk"]["path"].as_str(), Some(path));
    let lacks = says(&incident, "producers: not counted for");
    checks.that(
        "the incident says what it lacks",
        lacks,
        format!("{}", incident["degraded"]),
    );

    let back = detector.wait_for("producers attached", |line| {
        line["type"] == "budget" && line["change"] == "attached" && line["probes"] == "producers"
    })?;
    checks.that(
        "it says how long they were away",
        back["away_ns"].as_u64() >= gone["pause_ns"].as_u64(),
        format!("{back}"),
    );
    kernel::wait_until("all links back", || Ok(linked("produce_")? == before))?;
    let seen = who_made_what(checks, &mut detector)?;
    checks.that(
        "what is made now is counted again",
        seen >= CHILDREN_COUNT / 2,
        format!("{seen} entries"),
    );
    let ended = detector.end(Signal::SIGTERM)?;
    nothing_lost(checks, &ended);
    Ok(())
}

/// A flood and a watch of a directory that nobody knew before: how much of it was counted.
fn who_made_what(checks: &mut Checks, detector: &mut Detector) -> anyhow::Result<u64> {
    let dir = kernel::new_dir("self-budget-after")?;
    workload::flood(&dir, CHILDREN_COUNT, 28)?;
    let calls = workload::watch(&dir, &[])?;
    let tid = u64::from(calls.first().context("no call")?.pid);
    let incident = detector.wait_for("next incident", |line| {
        line["type"] == "incident" && line["walk"]["tid"].as_u64() == Some(tid)
    })?;
    checks.that(
        "it still says that counts are missing from before",
        says(&incident, "producers: not counted for"),
        format!("{}", incident["degraded"]),
    );
    Ok(origin(&incident)
        .iter()
        .filter_map(|producer| producer["created_count"].as_u64())
        .sum())
}

fn says(incident: &Value, start: &str) -> bool {
    let said = incident["degraded"].as_array();
    said.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .any(|line| line.starts_with(start))
}

/// Links of programs whose names begin so.
fn linked(start: &str) -> anyhow::Result<usize> {
    let names = kernel::linked_programs()?;
    Ok(names.iter().filter(|name| name.starts_with(start)).count())
}
