//! Hundreds of real incidents in a minute. In instruction time, where a minute of waiting is short.

use anyhow::Context as _;
use fslockup_tests::{task, workload};
use nix::sys::{
    inotify::{AddWatchFlags, InitFlags, Inotify},
    signal::Signal,
};
use serde_json::Value;

use crate::stage::{
    checks::Checks,
    detector::{self, Detector, nothing_lost},
    kernel,
};

/// A walk of 70 µs, and one of many times that.
const CHILDREN_COUNT: u64 = 5_000;
const WORST_CHILDREN_COUNT: u64 = 60_000;
const WATCHES_COUNT: u64 = 300;
const MINUTE_NS: u64 = 60_000_000_000;

const PER_DIRECTORY: usize = 20;
const PER_HOST: usize = 30;
/// Walks that are each twice as long as all before come on top; from 70 µs on these are few.
const WORSE_MAX: usize = 10;

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let dirs = [kernel::new_dir("storm-0")?, kernel::new_dir("storm-1")?];
    for dir in &dirs {
        workload::flood(dir, CHILDREN_COUNT, 25)?;
    }
    let worst_dir = kernel::new_dir("storm-worst")?;
    workload::flood(&worst_dir, WORST_CHILDREN_COUNT, 26)?;
    let mut detector = Detector::start(&[
        "--walk-threshold",
        "20us",
        "--incident-threshold",
        "20us",
        "--incidents-per-minute",
        &PER_HOST.to_string(),
        "--incidents-per-directory",
        &PER_DIRECTORY.to_string(),
    ])?;
    let start_ns = task::monotonic_ns()?;
    for (number, dir) in (0..WATCHES_COUNT).zip(dirs.iter().cycle()) {
        task::sleep_until(start_ns + number * 10_000_000)?;
        watch(dir)?;
    }
    // The worst comes last.
    watch(&worst_dir)?;
    let worst = worst_dir.to_str();
    detector.wait_for("worst incident", |line| {
        line["type"] == "incident" && line["walk"]["path"].as_str() == worst
    })?;
    checks.that(
        "all of it came in a minute",
        task::monotonic_ns()? < start_ns + MINUTE_NS / 2,
        format!("from {start_ns}"),
    );
    task::sleep_until(start_ns + MINUTE_NS)?;
    let said = detector.wait_for("suppressed", |line| line["type"] == "suppressed")?;
    let ended = detector.end(Signal::SIGTERM)?;
    nothing_lost(checks, &ended);

    let incidents = ended.incidents()?;
    checks.that(
        "some are told",
        (PER_HOST..PER_HOST + WORSE_MAX).contains(&incidents.len()),
        format!("{}", incidents.len()),
    );
    for dir in &dirs {
        let of_dir = incidents
            .iter()
            .filter(|incident| incident.walk.path.as_deref() == dir.to_str());
        let count = of_dir.count();
        checks.that(
            "of each directory some",
            (1..PER_DIRECTORY + WORSE_MAX).contains(&count),
            format!("{} of {}", count, dir.display()),
        );
    }
    let walks_count = ended.walks().len();
    checks.that(
        "lines of walks are limited as well",
        (2 * PER_HOST..2 * PER_HOST + WORSE_MAX).contains(&walks_count),
        format!("{walks_count}"),
    );
    let summary = ended.summary().context("no summary")?;
    counted(checks, &said, summary, incidents.len(), walks_count)?;
    let longest_ns = incidents.iter().map(|incident| incident.walk.walk_ns).max();
    let suppressed_ns = said["incidents"]["walk_ns_max"].as_u64();
    checks.that(
        "none that was suppressed was as bad as the worst that was told",
        suppressed_ns > Some(0) && suppressed_ns < longest_ns,
        format!("{suppressed_ns:?} of {longest_ns:?} ns"),
    );
    let path = said["incidents"]["worst"]["path"].as_str();
    checks.that(
        "the worst that was suppressed is named",
        dirs.iter().any(|dir| dir.to_str() == path),
        format!("{}", said["incidents"]),
    );
    same_again(checks, &ended)
}

/// Told and suppressed are all that there were.
fn counted(
    checks: &mut Checks,
    said: &Value,
    summary: &Value,
    told_count: usize,
    walks_count: usize,
) -> anyhow::Result<()> {
    let told = |count: usize| u64::try_from(count).ok();
    let all = summary["walks_reported_count"].as_u64().context("walks")?;
    checks.that(
        "each watch was a walk over the threshold",
        all > WATCHES_COUNT,
        format!("{all}"),
    );
    for (what, told_count) in [
        ("incidents", told(told_count)),
        ("walks", told(walks_count)),
    ] {
        let counted = &summary["suppressed"][format!("{what}_count")];
        checks.equal(
            format!("{what} suppressed, in the minute and in the summary"),
            &said[what]["count"],
            counted,
        );
        let sum = counted.as_u64().zip(told_count).map(|(one, two)| one + two);
        checks.equal(format!("{what} told and suppressed"), sum, Some(all));
    }
    Ok(())
}

/// A replay suppresses the same.
fn same_again(checks: &mut Checks, ended: &detector::Ended) -> anyhow::Result<()> {
    let recording = ended.recording.to_string_lossy();
    let output = detector::call(&["replay", "--format", "json", &recording])?;
    let lines: Vec<Value> = String::from_utf8(output.stdout)?
        .lines()
        .skip(1)
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    checks.that(
        "a replay says the same",
        lines == ended.lines,
        format!("{} lines, {} live", lines.len(), ended.lines.len()),
    );
    Ok(())
}

fn watch(dir: &std::path::Path) -> anyhow::Result<()> {
    let group = Inotify::init(InitFlags::IN_CLOEXEC)?;
    group.add_watch(dir, AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_OPEN)?;
    Ok(())
}
