//! Processes that live shorter than anybody looks: what they made is their unit's.

use std::{fs, process::Command};

use anyhow::Context as _;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::stage::{
    checks::{Checks, precise},
    detector::{Detector, nothing_lost},
    kernel,
    producers::{OPTIONS, in_cgroup, incident_of, is_near, origin, run},
};

const PROCESSES_COUNT: u64 = 1_000;
const NAMES_COUNT: u64 = 10;

/// Producers that an incident lists.
const LISTED_MAX: usize = 10;

const RSS_MAX_KIB: u64 = 24 << 10;

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::new_dir("short-lived")?;
    let mut detector = Detector::start(&OPTIONS)?;
    in_cgroup("short.service", || {
        let (processes, names) = (PROCESSES_COUNT.to_string(), NAMES_COUNT.to_string());
        run(Command::new("workload")
            .args(["short-lived", "--processes", &processes, "--count", &names])
            .arg("--dir")
            .arg(&dir))
    })?;
    let incident = incident_of(&mut detector, &dir)?;
    let rss_kib = rss_kib(detector.pid())?;
    nothing_lost(checks, &detector.end(Signal::SIGTERM)?);

    let producers = origin(&incident);
    let of_unit = || {
        producers
            .iter()
            .filter(|producer| producer["unit"] == "short.service")
    };
    let sum = |name: &str| -> u64 {
        of_unit()
            .filter_map(|producer| producer[name].as_u64())
            .sum()
    };
    is_near(
        checks,
        "made by the unit",
        &Value::from(sum("created_count")),
        PROCESSES_COUNT * NAMES_COUNT,
    );
    is_near(
        checks,
        "processes of the unit",
        &Value::from(sum("processes_count")),
        PROCESSES_COUNT,
    );
    checks.that(
        "each group has its cgroup, program and name",
        of_unit().all(|producer| {
            producer["cgroup"] == "/system.slice/short.service"
                && producer["comm"] == "workload"
                && producer["exe"].is_string()
        }),
        incident["origin"].to_string(),
    );
    // A reader that a busy host keeps from its CPU may leave the ring half full: names are left out then.
    let is_untold = incident["degraded"].as_array().is_some_and(|degraded| {
        degraded
            .iter()
            .filter_map(Value::as_str)
            .any(|text| text.contains("found no room"))
    });
    checks.figure("were_records_untold", if is_untold { 1.0 } else { 0.0 });
    checks.that(
        "they are few lines",
        (1..=LISTED_MAX).contains(&producers.len()),
        producers.len().to_string(),
    );
    checks.that(
        "the detector is small",
        rss_kib <= RSS_MAX_KIB,
        format!("{rss_kib} KiB, at most {RSS_MAX_KIB}"),
    );
    checks.figure("rss_kib", precise(rss_kib));
    Ok(())
}

/// Resident memory of a process (proc_pid_status(5)).
fn rss_kib(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
