//! What the detector exports agrees with what it prints, and with what was done.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

use anyhow::Context as _;
use fslockup_tests::{Account, background::Background, workload};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::stage::{
    checks::{Checks, precise},
    detector::{self, Detector, nothing_lost, one_line},
    kernel,
    scrape::{Scrape, bring_loopback_up},
};

const CHILDREN_COUNT: u64 = 200_000;

const ADDRESS: &str = "127.0.0.1:9435";

/// Every walk is an incident; the host is read every second.
const OPTIONS: [&str; 10] = [
    "--metrics",
    ADDRESS,
    "--budget-period",
    "2s",
    "--metrics-period",
    "1s",
    "--walk-threshold",
    "0s",
    "--incident-threshold",
    "0s",
];

/// What a child is said to cost before a walk was measured (`detector/src/directories/predict.rs`).
const DEFAULT_NS_PER_CHILD: f64 = 90.0;

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    bring_loopback_up()?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 9435));
    let dir = kernel::new_dir("metrics")?;
    let mut detector = Detector::start(&OPTIONS)?;
    let before = scrape_when(address, "a reading", |scrape| {
        scrape.value("fslockup_last_reading_time_seconds").is_some()
    })?;
    at_rest(checks, &before)?;
    a_second_one(checks)?;

    workload::flood(&dir, CHILDREN_COUNT, 9)?;
    let path = format!("path=\"{}\"", dir.display());
    let full = scrape_when(address, "the flooded directory", |scrape| {
        let children = scrape.sum("fslockup_directory_children", &path);
        children.is_some_and(|count| count >= precise(CHILDREN_COUNT))
    })?;
    flooded(checks, &full, &path);

    let incident = incident_with_waiters(&mut detector, &dir)?;
    // What is read comes a period later, and the programs are timed right after the start.
    let read_at = full.value("fslockup_last_reading_time_seconds");
    let after = scrape_when(address, "a reading after the incident", |scrape| {
        scrape.value("fslockup_last_reading_time_seconds") > read_at.map(|at| at + 2.0)
            && scrape.value("fslockup_program_sampled_seconds_total") > Some(0.0)
    })?;
    std::fs::write(kernel::out_dir().join("metrics.txt"), &after.text)?;
    told_alike(checks, &after, &incident);
    predicted_from_it(checks, &after, &path, &incident)?;
    the_detector_itself(checks, &after);
    let ended = detector.end(Signal::SIGTERM)?;
    nothing_lost(checks, &ended);
    let summary = ended.summary().context("no summary")?;
    checks.equal(
        "walks as in the summary",
        after.value("fslockup_walks_total"),
        summary["walks_count"].as_f64(),
    );
    Ok(())
}

fn scrape_when(
    address: SocketAddr,
    what: &str,
    is_it: impl Fn(&Scrape) -> bool,
) -> anyhow::Result<Scrape> {
    let mut found = None;
    kernel::wait_until(what, || {
        let scrape = Scrape::of(address)?;
        let is_so = is_it(&scrape);
        found = Some(scrape);
        Ok(is_so)
    })?;
    found.context("no scrape")
}

/// Nothing has happened, and all that can happen is there to be counted from 0.
fn at_rest(checks: &mut Checks, scrape: &Scrape) -> anyhow::Result<()> {
    for name in [
        "fslockup_incidents_total{severity=\"info\"}",
        "fslockup_incidents_total{severity=\"warning\"}",
        "fslockup_incidents_total{severity=\"critical\"}",
        "fslockup_walk_seconds_count",
        "fslockup_wait_seconds_count{lock=\"i_lock\"}",
        "fslockup_wait_seconds_count{lock=\"d_lock\"}",
        "fslockup_stall_seconds_count",
    ] {
        checks.equal(format!("before: {name}"), scrape.value(name), Some(0.0));
    }
    let check = detector::call(&["check"])?;
    checks.equal(
        "degraded as check says",
        scrape.value("fslockup_degraded"),
        check.status.code().map(f64::from),
    );
    Ok(())
}

/// Two instances want the same port.
fn a_second_one(checks: &mut Checks) -> anyhow::Result<()> {
    let output = detector::call(&["run", "--duration", "1s", "--metrics", "9435"])?;
    let words = ["--metrics 127.0.0.1:9435: ", "choose another port"];
    one_line(checks, "port taken", &output, &words);
    Ok(())
}

fn flooded(checks: &mut Checks, scrape: &Scrape, path: &str) {
    let children = scrape.sum("fslockup_directory_children", path);
    is_near(checks, "children", children, precise(CHILDREN_COUNT), 0.01);
    let negative = scrape.sum("fslockup_directory_negative_children", path);
    is_near(
        checks,
        "negative children",
        negative,
        precise(CHILDREN_COUNT),
        0.02,
    );
    is_near(
        checks,
        "predicted freeze by default",
        scrape.sum("fslockup_directory_predicted_freeze_seconds", path),
        precise(CHILDREN_COUNT) * DEFAULT_NS_PER_CHILD / 1e9,
        0.01,
    );
    let unused = scrape.value("fslockup_dentries{state=\"unused_negative\"}");
    checks.that(
        "the cache has as many negative dentries",
        unused >= Some(precise(CHILDREN_COUNT) * 0.99),
        format!("{unused:?}"),
    );
    let directories_count = scrape
        .text
        .lines()
        .filter(|line| line.starts_with("fslockup_directory_children{"))
        .count();
    checks.that(
        "few directories",
        directories_count <= 10,
        directories_count.to_string(),
    );
}

fn incident_with_waiters(detector: &mut Detector, dir: &Path) -> anyhow::Result<Value> {
    let path = dir.to_str().context("a path of ours")?;
    let lookers = Background::start(&["lookup", "--dir", path, "--cpus", "1,2"])?;
    workload::watch(dir, &["--cpu", "0"])?;
    let incident = detector.wait_for("incident", |line| {
        line["type"] == "incident" && line["walk"]["path"] == path
    })?;
    lookers.stop::<Account>()?;
    Ok(incident)
}

/// Counts and sums of histograms are those of the incident's own lists.
fn told_alike(checks: &mut Checks, scrape: &Scrape, incident: &Value) {
    let severity = incident["severity"].as_str().unwrap_or_default();
    let mut same = |name: String, expected: f64| {
        let seen = scrape.value(&name);
        let is_so = seen.is_some_and(|seen| (seen - expected).abs() < 1e-6);
        checks.that(name, is_so, format!("saw {seen:?}, expected {expected}"));
    };
    same(
        format!("fslockup_incidents_total{{severity=\"{severity}\"}}"),
        1.0,
    );
    same("fslockup_walk_seconds_count".to_owned(), 1.0);
    let walk_s = incident["walk"]["walk_ns"].as_f64().unwrap_or_default() / 1e9;
    same("fslockup_walk_seconds_sum".to_owned(), walk_s);
    for (list, field, metric) in [("waiters", "wait_ns", "wait"), ("holds", "hold_ns", "hold")] {
        for lock in ["i_lock", "d_lock"] {
            let of_lock: Vec<f64> = entries(incident, list)
                .filter(|entry| entry["lock"] == lock)
                .filter_map(|entry| entry[field].as_f64())
                .collect();
            let name = |what| format!("fslockup_{metric}_seconds_{what}{{lock=\"{lock}\"}}");
            same(name("count"), of_lock.iter().map(|_| 1.0).sum());
            same(name("sum"), of_lock.iter().sum::<f64>() / 1e9);
        }
    }
    let behind: Vec<f64> = entries(incident, "stalls")
        .filter_map(|entry| entry["behind_ns"].as_f64())
        .collect();
    same(
        "fslockup_stall_seconds_count".to_owned(),
        behind.iter().map(|_| 1.0).sum(),
    );
    same(
        "fslockup_stall_seconds_sum".to_owned(),
        behind.iter().sum::<f64>() / 1e9,
    );
    checks.that(
        "somebody waited",
        entries(incident, "waiters").count() > 0,
        incident["impact"].to_string(),
    );
}

fn entries<'a>(incident: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    incident[list].as_array().into_iter().flatten()
}

/// From now on the prediction is this walk's own length, by the child.
fn predicted_from_it(
    checks: &mut Checks,
    scrape: &Scrape,
    path: &str,
    incident: &Value,
) -> anyhow::Result<()> {
    let walk = &incident["walk"];
    let figure = |name: &str| {
        walk[name]
            .as_f64()
            .with_context(|| format!("no {name}: {walk}"))
    };
    let ns_per_child = (figure("walk_ns")? - figure("wait_ns")?) / figure("children_count")?;
    let children = scrape
        .sum("fslockup_directory_children", path)
        .context("the directory is not there any more")?;
    is_near(
        checks,
        "predicted freeze from the walk",
        scrape.sum("fslockup_directory_predicted_freeze_seconds", path),
        ns_per_child * children / 1e9,
        0.02,
    );
    Ok(())
}

fn the_detector_itself(checks: &mut Checks, scrape: &Scrape) {
    let memory = scrape.value("fslockup_resident_memory_bytes");
    let mib = memory.map(|bytes| bytes / f64::from(1 << 20));
    checks.that(
        "memory: 2 to 64 MiB",
        mib.is_some_and(|mib| (2.0..64.0).contains(&mib)),
        format!("{mib:?}"),
    );
    checks.figure("resident_mib", mib.unwrap_or_default());
    for name in [
        "fslockup_cpu_seconds_total",
        "fslockup_start_time_seconds",
        "fslockup_program_sampled_seconds_total",
    ] {
        let value = scrape.value(name);
        checks.that(
            format!("{name} is there"),
            value > Some(0.0),
            format!("{value:?}"),
        );
    }
    // Something runs in every second, if only the look at each context switch.
    for name in [
        "fslockup_program_runs_total",
        "fslockup_program_run_seconds_total",
    ] {
        let sum = scrape.sum(name, "program=");
        checks.that(
            format!("{name}: programs ran"),
            sum > Some(0.0),
            format!("{sum:?}"),
        );
    }
    let probes = scrape.sum("fslockup_probe_attached", "probe=\"walk\"");
    checks.equal("the walk's probe is attached", probes, Some(1.0));
}

fn is_near(checks: &mut Checks, what: &str, seen: Option<f64>, expected: f64, share: f64) {
    checks.that(
        format!("{what}: within {} %", share * 100.0),
        seen.is_some_and(|seen| (seen - expected).abs() <= expected * share),
        format!("saw {seen:?}, expected {expected}"),
    );
}
