//! The installed service at work: thresholds changed, an incident, killed, over its budget.

use std::{fs, path::Path};

use anyhow::Context as _;
use fslockup_tests::background::Background;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::{CONFIG, PROGRAM, UNIT, ends, main_pid, report, running};
use crate::stage::{
    checks::Checks,
    kernel,
    systemd::{call, journal, property, says, wait_until},
};

/// In docs/service.md.
const MESSAGE_ID: &str = "MESSAGE_ID=5cc4d0c7a5a94c3c8d86b8a1a2ef7f3b";
/// Enough for some 20 ms under emulation.
const CHILDREN_COUNT: u64 = 200_000;
const DROP_IN: &str = "/etc/systemd/system/fslockup.service.d/budget.conf";
const UNMEASURED: &str = "can't be measured";

/// The administrator changes thresholds; the file with the change.
pub fn changed_config(checks: &mut Checks) -> anyhow::Result<String> {
    let pid = main_pid()?;
    let shipped = fs::read_to_string(CONFIG)?;
    let config = format!("{shipped}walk-threshold = \"1ms\"\nincident-threshold = \"1ms\"\n");
    fs::write(CONFIG, &config)?;
    call("systemctl", &["reload", UNIT])?;
    wait_until("the new thresholds", || {
        Ok(property(UNIT, "StatusText")?.starts_with("walks of 1.0"))
    })?;
    checks.equal("the same process after the reload", main_pid()?, pid);
    Ok(config)
}

/// A flood by one service and a watch: the incident's id.
pub fn incident(checks: &mut Checks, uid: u32) -> anyhow::Result<String> {
    let dir = kernel::new_dir("package-flood")?;
    let path = dir.to_str().context("a path of ours")?;
    let count = CHILDREN_COUNT.to_string();
    let flood = [
        "--quiet",
        // It is over when this returns; --wait would need a message bus.
        "--service-type=oneshot",
        "--collect",
        "--unit=flooder.service",
        "/vmtest/bin/workload",
        "flood",
        "--seed",
        "8",
        "--dir",
        path,
        "--count",
        &count,
    ];
    call("systemd-run", &flood)?;
    // This process stays: of one that is gone the program is not known.
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
    inotify.add_watch(&dir, AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_OPEN)?;
    let of_path = format!("FSLOCKUP_PATH={path}");
    let mut found = Vec::new();
    wait_until("the incident in the journal", || {
        found = journal(&[MESSAGE_ID, &of_path])?;
        Ok(!found.is_empty())
    })?;
    let entry = &found[0];
    let of = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    for (name, expected) in [
        ("_SYSTEMD_UNIT", UNIT),
        ("_UID", &uid.to_string()),
        ("SYSLOG_IDENTIFIER", "fslockup"),
        ("FSLOCKUP_TYPE", "incident"),
        ("FSLOCKUP_COMM", "scenario"),
        ("FSLOCKUP_PID", &std::process::id().to_string()),
        ("FSLOCKUP_ORIGIN_UNIT", "flooder.service"),
        ("FSLOCKUP_ORIGIN_COMM", "workload"),
    ] {
        checks.equal(name, of(name).as_str(), expected);
    }
    let children: u64 = of("FSLOCKUP_CHILDREN_COUNT").parse().unwrap_or(0);
    checks.that(
        "children",
        children >= CHILDREN_COUNT / 100 * 99,
        entry.to_string(),
    );
    let id = of("FSLOCKUP_INCIDENT_ID");
    let kept = report()?;
    checks.that(
        "the same incident is in the state directory",
        kept.iter()
            .any(|line| line["type"] == "incident" && line["id"] == id.as_str()),
        format!("{id} in {} lines", kept.len()),
    );
    Ok(id)
}

/// Killed, it comes back by itself; then with a budget that it can't keep, as a drop-in gives it.
pub fn killed(checks: &mut Checks, id: &str) -> anyhow::Result<()> {
    drop_in("")?;
    let pid = main_pid()?;
    call(
        "systemctl",
        &["kill", "--kill-who=main", "--signal=KILL", UNIT],
    )?;
    wait_until("it is started again", || {
        Ok(property(UNIT, "NRestarts")? == "1" && says(&["is-active", UNIT])? == "active")
    })?;
    checks.that("by another process", main_pid()? != pid, format!("{pid}"));
    let kept = report()?;
    checks.equal(
        "how the runs ended",
        ends(&kept),
        "ended process_died running".to_owned(),
    );
    checks.that(
        "the incident is still there",
        kept.iter().any(|line| line["id"] == id),
        id,
    );
    let text = call(PROGRAM, &["report"])?;
    // Lines are wrapped.
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_said = words.contains("ended without a goodbye; the host ran on");
    checks.that("report says so", is_said, words);
    Ok(())
}

/// Programs are measured under the unit's capabilities, and detached.
pub fn budget(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::new_dir("package-budget")?;
    let path = dir.to_str().context("a path of ours")?;
    let flood = Background::start(&["lookup", "--dir", path, "--cpus", "0", "--pause", "0s"])?;
    let said = budget_line(" detached, ")?;
    drop(flood);
    checks.that("the dearest probes are detached", true, said);
    let all = journal(&["FSLOCKUP_TYPE=budget"])?;
    let lines = all.iter().filter_map(|entry| entry["MESSAGE"].as_str());
    let unmeasured: Vec<_> = lines.filter(|line| line.contains(UNMEASURED)).collect();
    checks.equal("no run so far was unmeasured", unmeasured, Vec::new());
    Ok(())
}

/// As docs/service.md says for those who don't want to give it that one.
pub fn without_sys_admin(checks: &mut Checks) -> anyhow::Result<()> {
    drop_in("CapabilityBoundingSet=~CAP_SYS_ADMIN\nAmbientCapabilities=~CAP_SYS_ADMIN\n")?;
    call("systemctl", &["restart", UNIT])?;
    running(checks, "without CAP_SYS_ADMIN")?;
    let said = budget_line(UNMEASURED)?;
    let has_reason = said.contains("CAP_SYS_ADMIN");
    checks.that(
        "it is said that nothing is measured, and why",
        has_reason,
        said,
    );
    let dir = Path::new(DROP_IN).parent().context("a directory")?;
    fs::remove_dir_all(dir)?;
    call("systemctl", &["daemon-reload"]).map(drop)
}

/// A budget that is passed soon and looked at often, and more.
fn drop_in(more: &str) -> anyhow::Result<()> {
    let command = format!("{PROGRAM} run --cpu-budget 2% --budget-period 1s");
    fs::create_dir_all(Path::new(DROP_IN).parent().context("a directory")?)?;
    fs::write(
        DROP_IN,
        format!("[Service]\nExecStart=\nExecStart={command}\n{more}"),
    )?;
    call("systemctl", &["daemon-reload"]).map(drop)
}

/// The line about the budget of the process that runs now that has these words.
fn budget_line(words: &str) -> anyhow::Result<String> {
    let of_process = format!("_PID={}", main_pid()?);
    let mut found = None;
    wait_until(&format!("a line about the budget with {words:?}"), || {
        let all = journal(&["FSLOCKUP_TYPE=budget", &of_process])?;
        let mut lines = all.iter().filter_map(|entry| entry["MESSAGE"].as_str());
        found = lines.find(|line| line.contains(words)).map(str::to_owned);
        Ok(found.is_some())
    })?;
    found.context("a line")
}
