//! Long run queues without a walk: tasks run late, and nobody is to blame.

use std::time::Duration;

use anyhow::Context as _;
use fslockup_tests::{Account, background::Background, workload};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::stage::{
    checks::Checks,
    detector::{Detector, nothing_lost},
    incident::{self, Stall, was_long_for_its_caller},
    kernel,
    truth::is_rt,
};

/// Later than this is late.
const LATE_NS: u64 = 10_000_000;

/// What is reported at all.
const THRESHOLD_NS: u64 = 2_000_000;
const OPTIONS: &[&str] = &[
    "--walk-threshold",
    "2ms",
    "--incident-threshold",
    "2ms",
    "--stall-threshold",
    "2ms",
];

/// A walk of some 5 ms under emulation, which keeps who runs on its CPU from running.
const CONTROL_CHILDREN_COUNT: u64 = 60_000;

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::new_dir("busy")?;
    workload::flood(&dir, 10, 8)?;
    let large = kernel::flooded_dir(CONTROL_CHILDREN_COUNT)?;
    let detector = Detector::start(OPTIONS)?;
    let hogs = Background::start(&[
        "hogs",
        "--cpus",
        "0,1",
        "--per-cpu",
        "6",
        "--threshold",
        "10ms",
    ])?;
    let sleepers = Background::start(&["sleepers", "--cpus", "0,1", "--threshold", "10ms"])?;
    // A walk that is none to speak of does not make the run queues its own.
    let mut short = workload::watch(&dir, &["--cpu", "0"])?;
    std::thread::sleep(Duration::from_secs(1));
    short.extend(workload::watch(&dir, &["--cpu", "1"])?);
    let long = workload::watch(&large, &["--cpu", "0"])?;
    let long = long.first().context("no call")?;
    // Until each of those who wait for the CPU has had a turn behind the walk.
    std::thread::sleep(Duration::from_millis(200));
    let mut late: Vec<Account> = sleepers.stop()?;
    late.extend(hogs.stop::<Account>()?);
    let ended = detector.end(Signal::SIGTERM)?;
    nothing_lost(checks, &ended);
    let late_count = late
        .iter()
        .flat_map(|account| &account.slow)
        .filter(|span| span.length_ns() >= LATE_NS)
        .count();
    checks.that(
        "tasks ran late, by more than the threshold",
        late_count >= 10,
        format!("{late_count} times"),
    );
    let is_long = |line: &Value| line["walk"]["tid"] == long.pid;
    let said: Vec<_> = ended
        .lines
        .iter()
        // The system call itself can be slow: its task waits for its turn like all others.
        .filter(|line| line["type"] != "summary" && line["type"] != "syscall")
        .filter(|line| !is_long(line) && !was_long_for_its_caller(line, &short, THRESHOLD_NS))
        .collect();
    checks.that("nothing is reported", said.is_empty(), format!("{said:?}"));
    let incidents = ended.incidents()?;
    let behind = incident::of_call(checks, &incidents, long)?;
    let (of_cpu, others): (Vec<_>, Vec<_>) = behind
        .stalls
        .iter()
        .partition(|stall| stall.behind == "walk" && stall.behind_tid == long.pid);
    // What others run there, a worker of the kernel's, may wait behind it as well.
    let is_on_its_cpu = |stall: &Stall| {
        let mut accounts = late.iter();
        let of_ours = accounts.find(|account| account.tid == stall.tid);
        of_ours.map_or(stall.cpu == 0, |account| account.cpu == Some(0))
    };
    // Where spinlocks sleep a walk keeps nobody from running, and no stall is claimed.
    let has_stalls = !is_rt()?;
    checks.that(
        "where a walk is to blame, it is said, of tasks on its CPU",
        of_cpu
            .iter()
            .any(|stall| late.iter().any(|account| account.tid == stall.tid))
            == has_stalls
            && of_cpu.iter().all(|stall| is_on_its_cpu(stall)),
        format!("{:?}", behind.stalls),
    );
    checks.that(
        "and of nobody else",
        others.is_empty(),
        format!("{others:?}"),
    );
    let summary = ended.summary().context("no summary")?;
    checks.equal("walks", summary["walks_count"].as_u64(), Some(3));
    Ok(())
}
