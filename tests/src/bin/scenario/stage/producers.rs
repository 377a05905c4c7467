//! What scenarios of producers share: the detector that makes an incident of every walk, programs
//! under names of their own, cgroups.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Context as _;
use fslockup_tests::{TimedCall, workload};
use serde_json::Value;

use super::{
    checks::{Checks, precise},
    detector::Detector,
};

/// Every walk is an incident, and nobody's waits fill the ring.
pub const OPTIONS: [&str; 8] = [
    "--walk-threshold",
    "0s",
    "--incident-threshold",
    "0s",
    "--wait-threshold",
    "1h",
    "--stall-threshold",
    "1h",
];

/// Watches a directory; the incident that came of it.
pub fn incident_of(detector: &mut Detector, dir: &Path) -> anyhow::Result<Value> {
    let calls: Vec<TimedCall> = workload::watch(dir, &[])?;
    let call = calls.first().context("no call")?;
    incident_by(detector, call.pid)
}

/// The incident of the walk that a task did.
pub fn incident_by(detector: &mut Detector, tid: u32) -> anyhow::Result<Value> {
    detector.wait_for("incident", |line| {
        line["type"] == "incident" && line["walk"]["tid"].as_u64() == Some(u64::from(tid))
    })
}

/// The producers of an incident, the largest first.
pub fn origin(incident: &Value) -> &[Value] {
    incident["origin"].as_array().map_or(&[], Vec::as_slice)
}

/// The first of an incident's producers with this name.
pub fn named<'a>(incident: &'a Value, comm: &str) -> anyhow::Result<&'a Value> {
    origin(incident)
        .iter()
        .find(|producer| producer["comm"] == comm)
        .with_context(|| format!("no {comm} in {}", incident["origin"]))
}

/// A count is within 1 % of what was done: the first 32 children of a directory are not counted, and others
/// in the guest may look at it.
pub fn is_near(checks: &mut Checks, what: &str, seen: &Value, expected: u64) {
    let count = seen.as_u64();
    checks.that(
        format!("{what}: within 1 %"),
        count.is_some_and(|count| count.abs_diff(expected) <= expected / 100),
        format!("saw {seen}, expected {expected}"),
    );
    if let Some(count) = count {
        checks.figure(what.replace([' ', ','], "_"), precise(count));
    }
}

/// The workload program under a name of its own, which is then the name of its tasks.
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
}

impl Program {
    /// Copies it.
    pub fn named(name: impl AsRef<OsStr>) -> anyhow::Result<Self> {
        let dir = Path::new("/tmp/programs");
        fs::create_dir_all(dir)?;
        let path = dir.join(name.as_ref());
        let found = std::env::var_os("PATH").context("no PATH")?;
        let original = std::env::split_paths(&found)
            .map(|dir| dir.join("workload"))
            .find(|path| path.exists())
            .context("no workload")?;
        fs::copy(&original, &path).with_context(|| format!("copy {}", original.display()))?;
        Ok(Self { path })
    }

    /// Runs it to its end; the process id it had.
    pub fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> anyhow::Result<u32> {
        run(Command::new(&self.path).args(args))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Runs a command to its end; the process id it had, as this process sees it.
pub fn run(command: &mut Command) -> anyhow::Result<u32> {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{command:?}"))?;
    let pid = child.id();
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{command:?}: {said}");
    Ok(pid)
}

/// Where the guest has the version 2 hierarchy.
const CGROUPS: &str = "/sys/fs/cgroup";

/// Does something while this process, and whatever it starts then, is in a cgroup below `system.slice`.
pub fn in_cgroup<T>(
    name: impl AsRef<OsStr>,
    act: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let path = Path::new(CGROUPS).join("system.slice").join(name.as_ref());
    fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
    let pid = std::process::id().to_string();
    let enter = |path: &Path| {
        fs::write(path.join("cgroup.procs"), &pid)
            .with_context(|| format!("enter {}", path.display()))
    };
    enter(&path)?;
    let outcome = act();
    enter(Path::new(CGROUPS))?;
    outcome
}
