//! The Debian package on a Debian with systemd: installed, started, upgraded, killed, removed, purged.

mod life;

use std::{fs, path::Path, time::Instant};

use anyhow::Context as _;
use serde_json::Value;

use crate::stage::{
    checks::Checks,
    kernel, sandbox,
    systemd::{call, output, property, says, wait_until_started},
};

/// From tests/packages. The older one has another program file and another configuration file.
const OLDER: &str = "/vmtest/package/older.deb";
const NEWER: &str = "/vmtest/package/newer.deb";

pub const UNIT: &str = "fslockup.service";
pub const PROGRAM: &str = "/usr/bin/fslockup";
pub const CONFIG: &str = "/etc/fslockup.toml";
const WANTED: &str = "/etc/systemd/system/multi-user.target.wants/fslockup.service";
const STATE: &str = "/var/lib/fslockup";

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
    wait_until_started()?;
    checks.equal(
        "process 1",
        fs::read_to_string("/proc/1/comm")?.trim(),
        "systemd",
    );
    let start = Instant::now();
    let at = |checks: &mut Checks, step: &str| {
        checks.figure(format!("{step}_at_seconds"), start.elapsed().as_secs_f64());
    };
    without_systemd(checks)?;
    let uid = installed(checks)?;
    at(checks, "installed");
    let config = life::changed_config(checks)?;
    let id = life::incident(checks, uid)?;
    at(checks, "incident");
    upgraded(checks, &config)?;
    at(checks, "upgraded");
    life::killed(checks, &id)?;
    at(checks, "restarted");
    life::budget(checks)?;
    at(checks, "detached");
    life::without_sys_admin(checks)?;
    at(checks, "unmeasured");
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
    call("dpkg", &["--install", OLDER])?;
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

pub fn running(checks: &mut Checks, when: &str) -> anyhow::Result<()> {
    let state = says(&["is-active", UNIT])?;
    checks.equal(format!("is-active {when}"), state.as_str(), "active");
    Ok(())
}

pub fn main_pid() -> anyhow::Result<u32> {
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
pub fn report() -> anyhow::Result<Vec<Value>> {
    let text = call(PROGRAM, &["report", "--format", "json"])?;
    text.lines()
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect()
}

/// How each run ended, by its last line.
pub fn ends(kept: &[Value]) -> String {
    let runs = kept.last().and_then(|line| line["runs"].as_array());
    let ends = runs.into_iter().flatten().map(|run| run["end"].as_str());
    ends.map(Option::unwrap_or_default)
        .collect::<Vec<_>>()
        .join(" ")
}
