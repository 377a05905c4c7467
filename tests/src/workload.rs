//! The workload program, run as a process of its own: its pid and name are what the detector must
//! find.

use std::{ffi::OsStr, path::Path, process::Command};

use anyhow::Context as _;

use crate::{
    TimedCall,
    times::{Part, spent},
};

/// Looks up `count` names that don't exist; what the program said.
///
/// # Errors
/// When the program fails.
pub fn flood(dir: &Path, count: u64, seed: u64) -> anyhow::Result<String> {
    let (count, seed) = (count.to_string(), seed.to_string());
    spent(Part::Floods, || {
        call("flood", dir, &["--count", &count, "--seed", &seed])
    })
}

/// Makes `count` empty files; what the program said.
///
/// # Errors
/// When the program fails.
pub fn files(dir: &Path, count: u64) -> anyhow::Result<String> {
    more_files(dir, 0, count)
}

/// Makes `count` more in a directory that has so many; what the program said.
///
/// # Errors
/// When the program fails.
pub fn more_files(dir: &Path, done_count: u64, count: u64) -> anyhow::Result<String> {
    let (done_count, count) = (done_count.to_string(), count.to_string());
    spent(Part::Floods, || {
        call("files", dir, &["--first", &done_count, "--count", &count])
    })
}

/// Puts a watch on a directory; the system calls it timed.
///
/// # Errors
/// When the program fails.
pub fn watch(dir: &Path, options: &[&str]) -> anyhow::Result<Vec<TimedCall>> {
    call("watch", dir, options)?
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect()
}

fn call(what: &str, dir: &Path, options: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("workload")
        .args([OsStr::new(what), OsStr::new("--dir"), dir.as_os_str()])
        .args(options)
        .output()
        .with_context(|| format!("workload {what}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "workload {what}: {said}");
    Ok(String::from_utf8(output.stdout)?)
}
