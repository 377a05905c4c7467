//! A host on which watches come and go all the time, all of them harmless.

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use fslockup_tests::{task, workload};
use nix::sys::{
    inotify::{AddWatchFlags, InitFlags, Inotify},
    signal::Signal,
};

use crate::stage::{
    checks::Checks,
    detector::{Detector, nothing_lost},
    kernel,
};

const DIRS_COUNT: usize = 100;
/// What a directory that somebody watches usually has.
const CHILDREN_COUNT: u64 = 20;
const WATCHES_COUNT: u64 = 6_000;
const PERIOD_NS: u64 = 10_000_000;
/// Of one CPU.
const CPU_PERCENT_MAX: f64 = 2.0;

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let top = kernel::new_dir("many-watches")?;
    let dirs: Vec<PathBuf> = (0..DIRS_COUNT)
        .map(|number| top.join(number.to_string()))
        .collect();
    for dir in &dirs {
        workload::flood(dir, CHILDREN_COUNT, 24)?;
    }
    let detector = Detector::start(&[])?;
    // The symbol table is read once, at the start: half a second and more.
    detector.settle()?;
    // One for all: to close one takes the kernel longer than there is time.
    let group = Inotify::init(InitFlags::IN_CLOEXEC)?;
    let (start_ns, start_cpu_ns) = (task::monotonic_ns()?, cpu_ns(detector.pid())?);
    for (number, dir) in (0..WATCHES_COUNT).zip(dirs.iter().cycle()) {
        task::sleep_until(start_ns + number * PERIOD_NS)?;
        let watch = group.add_watch(dir, AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_OPEN)?;
        group.rm_watch(watch)?;
    }
    let time_ns = task::monotonic_ns()? - start_ns;
    checks.that(
        "a hundred a second",
        time_ns < (WATCHES_COUNT + 100) * PERIOD_NS,
        format!("{WATCHES_COUNT} in {time_ns} ns"),
    );
    let used_ns = cpu_ns(detector.pid())? - start_cpu_ns;
    let ended = detector.end(Signal::SIGTERM)?;
    nothing_lost(checks, &ended);
    checks.equal("lines beside the summary", ended.lines.len(), 1);
    let summary = ended.summary().context("no summary")?;
    let walks_count = summary["walks_count"].as_u64().unwrap_or(0);
    checks.that(
        "each watch was a walk",
        walks_count >= WATCHES_COUNT,
        format!("{walks_count} walks of {WATCHES_COUNT} watches"),
    );
    checks.equal("incidents", summary["incidents_count"].as_u64(), Some(0));
    let percent = f64::from(u32::try_from(used_ns / 1_000)?)
        / f64::from(u32::try_from(time_ns / 1_000)?)
        * 100.0;
    checks.figure("detector_cpu_percent", percent);
    checks.that(
        format!("the detector took less than {CPU_PERCENT_MAX} % of a CPU"),
        percent < CPU_PERCENT_MAX,
        format!("{percent:.2} %: {used_ns} of {time_ns} ns"),
    );
    Ok(())
}

/// What all its threads have run, to the nanosecond (Documentation/scheduler/sched-stats.rst): utime and stime of
/// proc_pid_stat(5) are as many ticks as happened to find it running.
fn cpu_ns(pid: u32) -> anyhow::Result<u64> {
    let tasks = format!("/proc/{pid}/task");
    let mut sum_ns = 0;
    for task in fs::read_dir(&tasks).with_context(|| tasks.clone())? {
        let file = task?.path().join("schedstat");
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let ran = text.split_whitespace().next().context("empty")?;
        sum_ns += ran.parse::<u64>().with_context(|| text.clone())?;
    }
    Ok(sum_ns)
}
