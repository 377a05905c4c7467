//! A guest with systemd: its programs as an administrator calls them.

use std::{
    ffi::OsStr,
    fs,
    process::{Command, Output, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use serde_json::Value;

use super::kernel;

/// How long a start is waited for: the unit has half a CPU, and under emulation needs many seconds of it.
pub const START_PATIENCE: Duration = Duration::from_secs(180);

/// Runs a program to its end, whatever that is.
pub fn output<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> anyhow::Result<Output> {
    Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .with_context(|| program.to_owned())
}

/// Runs a program that must succeed; what it printed, without the space around it.
pub fn call<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> anyhow::Result<String> {
    let output = output(program, arguments)?;
    let said = String::from_utf8_lossy(&output.stderr);
    let printed = String::from_utf8_lossy(&output.stdout);
    anyhow::ensure!(
        output.status.success(),
        "{program}: {}, {printed}{said}",
        output.status
    );
    Ok(printed.trim().to_owned())
}

/// What `systemctl` prints, also where it fails to say "no".
pub fn says(arguments: &[&str]) -> anyhow::Result<String> {
    let output = output("systemctl", arguments)?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Waits until systemd has started everything; whatever failed is no matter here.
pub fn wait_until_started() -> anyhow::Result<()> {
    wait_until("systemd has started everything", || {
        let state = says(&["is-system-running"])?;
        Ok(["running", "degraded"].contains(&state.as_str()))
    })
}

/// A property of a unit.
pub fn property(unit: &str, name: &str) -> anyhow::Result<String> {
    call("systemctl", &["show", "--value", "--property", name, unit])
}

/// Waits until something is so. Each look starts a program, so not too often.
pub fn wait_until(what: &str, is_so: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    kernel::poll(what, START_PATIENCE, Duration::from_millis(300), is_so)
}

/// Entries of the journal that match.
pub fn journal(matches: &[&str]) -> anyhow::Result<Vec<Value>> {
    let arguments = [&["--no-pager", "--quiet", "--output", "json"], matches].concat();
    let text = call("journalctl", &arguments)?;
    text.lines()
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect()
}

/// A line of `/proc/PID/status`.
pub fn status(pid: u32, name: &str) -> anyhow::Result<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.map(|rest| rest.trim_start_matches(':').trim().to_owned())
        .with_context(|| format!("no {name} in {status}"))
}
