//! The Debian package on a Debian with systemd: installed, started, upgraded, killed, removed, purged.

use std::{fs, path::Path, time::Instant};

use anyhow::Context as _;
use fslockup_tests::background::Background;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use serde_json::Value;

use crate::{
    checks::Checks,
    kernel, sandbox,
    systemd::{call, journal, output, property, says, wait_until},
};

/// From tests/packages. The older one has another program file and another configuration file.
const OLDER: &str = "/vmtest/package/older.deb";
const NEWER: &str = "/vmtest/package/newer.deb";

const UNIT: &str = "fslockup.service";
const PROGRAM: &str = "/usr/bin/fslockup";
const CONFIG: &str = "/etc/fslockup.toml";
const DROP_IN: &str = "/etc/systemd/system/fslockup.service.d/budget.conf";
const WANTED: &str = "/etc/systemd/system/multi-user.target.wants/fslockup.service";
const STATE: &str = "/var/lib/fslockup";
/// In docs/service.md.
const MESSAGE_ID: &str = "MESSAGE_ID=5cc4d0c7a5a94c3c8d86b8a1a2ef7f3b";

/// Enough for some 20 ms under emulation.
const CHILDREN_COUNT: u64 = 200_000;

const FILES: [&str; 10] = [
    "/usr/bin/fslockup",
    "/usr/lib/systemd/system/fslockup.service",
    "/usr/share/man/man1/fslockup.1.gz",
    "/usr/share/man/man1/fslockup-run.1.gz",
    "/usr/share/bash-completion/completions/fslockup",
    "/usr/share/fish/vendor_completions.d/fslockup.fish",
    "/usr/share/zsh/vendor-completions/_fslockup",
    "/usr/share/fslockup/prometheus.rules.yml",
    "/usr/share/doc/fslockup/copyright",
    "/usr/share/doc/fslockup/service.md",
];

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    wait_until("systemd has started everything", || {
        let state = says(&["is-system-running"])?;
        Ok(["running", "degraded"].contains(&state.as_str()))
    })?;
    checks.equal(
        "process 1",
        fs::read_to_string("/proc/1/comm")?.trim(),
        "systemd",
    );
    without_systemd(checks)?;
    let uid = installed(checks)?;
    let config = changed_config(checks)?;
    let id = incident(checks, uid)?;
    upgraded(checks, &config)?;
    killed(checks, &id)?;
    removed(checks, &config)?;
    purged(checks)
}

/// As in a container or while an image is made: the unit is enabled, nothing is started.
fn without_systemd(checks: &mut Checks) -> anyhow::Result<()> {
    let step = |what: &str| {
        let script = format!("mount -t tmpfs tmpfs /run && dpkg {what}");
        call("unshare", &["--mount", "sh", "-ec", &script])
    };
    step(&format!("--install {OLDER}"))?;
    let enabled = fs::symlink_metadata(WANTED).is_ok();
    checks.that("enabled without systemd", enabled, WANTED);
    checks.equal(
        "not started",
        says(&["is-active", UNIT])?.as_str(),
        "inactive",
    );
    step("--purge fslockup")?;
    let is_gone = fs::symlink_metadata(WANTED).is_err();
    checks.that("purged without systemd", is_gone, WANTED);
    call("systemctl", &["daemon-reload"]).map(drop)
}

fn installed(checks: &mut Checks) -> anyhow::Result<u32> {
    let start = Instant::now();
    call("dpkg", &["--install", OLDER])?;
    checks.figure("install_seconds", start.elapsed().as_secs_f64());
    running(checks, "after the installation")?;
    checks.equal(
        "is-enabled",
        says(&["is-enabled", UNIT])?.as_str(),
        "enabled",
    );
    let status = property(UNIT, "StatusText")?;
    checks.that(
        "its status",
        status.starts_with("walks of 10.0 ms"),
        &status,
    );
    let listed = call("dpkg", &["--listfiles", "fslockup"])?;
    for file in FILES {
        let is_there = listed.lines().any(|line| line == file) && Path::new(file).is_file();
        checks.that("a file of the package", is_there, file);
    }
    sandbox::check(checks, UNIT, main_pid()?)
}

/// The administrator changes thresholds; the file with the change.
fn changed_config(checks: &mut Checks) -> anyhow::Result<String> {
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
fn incident(checks: &mut Checks, uid: u32) -> anyhow::Result<String> {
    let dir = kernel::new_dir("package-flood")?;
    let path = dir.to_str().context("a path of ours")?;
    let count = CHILDREN_COUNT.to_string();
    let flood = [
        "--quiet",
        "--wait",
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
    checks.that("children", children >= CHILDREN_COUNT, entry.to_string());
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

fn upgraded(checks: &mut Checks, config: &str) -> anyhow::Result<()> {
    let before = (main_pid()?, fs::read(PROGRAM)?);
    let is_running = |program: &[u8]| -> anyhow::Result<bool> {
        Ok(fs::read(format!("/proc/{}/exe", main_pid()?))? == program)
    };
    checks.that("the older program runs", is_running(&before.1)?, PROGRAM);
    // Both the administrator and the newer package changed the file: what apt does without anybody to ask.
    call("dpkg", &["--force-confold", "--install", NEWER])?;
    running(checks, "after the upgrade")?;
    let newer = fs::read(PROGRAM)?;
    checks.that(
        "the upgrade brings another program",
        newer != before.1,
        PROGRAM,
    );
    checks.that("the newer program runs", is_running(&newer)?, PROGRAM);
    checks.that(
        "in a new process",
        main_pid()? != before.0,
        format!("{}", before.0),
    );
    checks.that(
        "the changed file survives",
        fs::read_to_string(CONFIG)? == config,
        CONFIG,
    );
    let shipped = format!("{CONFIG}.dpkg-dist");
    checks.that(
        "the newer one lies beside it",
        Path::new(&shipped).exists(),
        &shipped,
    );
    let status = property(UNIT, "StatusText")?;
    checks.that(
        "it is in force",
        status.starts_with("walks of 1.0"),
        &status,
    );
    checks.equal(
        "how the runs ended",
        ends(&report()?),
        "ended running".to_owned(),
    );
    Ok(())
}

/// Killed, it comes back by itself; then with a budget that it can't keep, as a drop-in gives it.
fn killed(checks: &mut Checks, id: &str) -> anyhow::Result<()> {
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
    let is_said = text.contains("ended without a goodbye");
    checks.that("report says so", is_said, &text);
    budget(checks)?;
    without_sys_admin(checks)
}

/// Programs are measured under the unit's capabilities, and detached.
fn budget(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::new_dir("package-budget")?;
    let path = dir.to_str().context("a path of ours")?;
    let flood = Background::start(&["lookup", "--dir", path, "--cpus", "0", "--pause", "0s"])?;
    let said = budget_line()?;
    drop(flood);
    checks.that(
        "the first line about the budget says that the dearest probes are detached",
        said.contains(" detached, "),
        said,
    );
    Ok(())
}

/// As docs/service.md says for those who don't want to give it that one.
fn without_sys_admin(checks: &mut Checks) -> anyhow::Result<()> {
    drop_in("CapabilityBoundingSet=~CAP_SYS_ADMIN\nAmbientCapabilities=~CAP_SYS_ADMIN\n")?;
    call("systemctl", &["restart", UNIT])?;
    running(checks, "without CAP_SYS_ADMIN")?;
    let said = budget_line()?;
    checks.that(
        "it is said that nothing is measured, and why",
        said.contains("CAP_SYS_ADMIN"),
        said,
    );
    let dir = Path::new(DROP_IN).parent().context("a directory")?;
    fs::remove_dir_all(dir)?;
    call("systemctl", &["daemon-reload"]).map(drop)
}

/// A budget that is passed soon and looked at often, and more.
fn drop_in(more: &str) -> anyhow::Result<()> {
    let command = format!("{PROGRAM} run --cpu-budget 2% --budget-period 300ms");
    fs::create_dir_all(Path::new(DROP_IN).parent().context("a directory")?)?;
    fs::write(
        DROP_IN,
        format!("[Service]\nExecStart=\nExecStart={command}\n{more}"),
    )?;
    call("systemctl", &["daemon-reload"]).map(drop)
}

/// What the process that runs now says first about the budget.
fn budget_line() -> anyhow::Result<String> {
    let of_process = format!("_PID={}", main_pid()?);
    let mut said = None;
    wait_until("a line about the budget", || {
        said = journal(&["FSLOCKUP_TYPE=budget", &of_process])?
            .into_iter()
            .next();
        Ok(said.is_some())
    })?;
    let said = said.context("a line")?;
    Ok(said["MESSAGE"].as_str().unwrap_or_default().to_owned())
}

fn removed(checks: &mut Checks, config: &str) -> anyhow::Result<()> {
    let pid = main_pid()?;
    call("dpkg", &["--remove", "fslockup"])?;
    checks.that(
        "its process is gone",
        !Path::new(&format!("/proc/{pid}")).exists(),
        format!("{pid}"),
    );
    checks.equal(
        "programs left in the kernel",
        kernel::programs()?,
        Vec::new(),
    );
    checks.that("the program is gone", !Path::new(PROGRAM).exists(), PROGRAM);
    checks.that(
        "its configuration stays",
        fs::read_to_string(CONFIG)? == config,
        CONFIG,
    );
    let files = fs::read_dir(STATE)?.count();
    checks.that("its evidence stays", files > 0, format!("{files} files"));
    Ok(())
}

fn purged(checks: &mut Checks) -> anyhow::Result<()> {
    call("dpkg", &["--purge", "fslockup"])?;
    let private = STATE.replace("/lib/", "/lib/private/");
    let mask = format!("/etc/systemd/system/{UNIT}");
    for path in [CONFIG, STATE, &private, WANTED, &mask] {
        // A link to nothing counts.
        checks.that("gone", fs::symlink_metadata(path).is_err(), path);
    }
    checks.that(
        "dpkg knows nothing of it",
        !output("dpkg", &["--status", "fslockup"])?.status.success(),
        "fslockup",
    );
    checks.equal(
        "its unit",
        property(UNIT, "LoadState")?.as_str(),
        "not-found",
    );
    Ok(())
}

fn running(checks: &mut Checks, when: &str) -> anyhow::Result<()> {
    let state = says(&["is-active", UNIT])?;
    checks.equal(format!("is-active {when}"), state.as_str(), "active");
    Ok(())
}

fn main_pid() -> anyhow::Result<u32> {
    let pid = property(UNIT, "MainPID")?;
    let pid = pid.parse().with_context(|| pid.clone())?;
    anyhow::ensure!(
        pid > 0,
        "the unit has no process: {}",
        says(&["status", UNIT])?
    );
    Ok(pid)
}

/// What the state directory holds, as the installed program tells it.
fn report() -> anyhow::Result<Vec<Value>> {
    let text = call(PROGRAM, &["report", "--format", "json"])?;
    text.lines()
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect()
}

/// How each run ended, by its last line.
fn ends(kept: &[Value]) -> String {
    let runs = kept.last().and_then(|line| line["runs"].as_array());
    let ends = runs.into_iter().flatten().map(|run| run["end"].as_str());
    ends.map(Option::unwrap_or_default)
        .collect::<Vec<_>>()
        .join(" ")
}
