//! The workload program, run as a process of its own: its pid and name are what the detector must
//! find.

use std::{path::Path, process::Command};

use anyhow::Context as _;
use fslockup_tests::TimedCall;

/// Looks up `count` names that don't exist.
pub fn flood(dir: &Path, count: u64, seed: u64) -> anyhow::Result<()> {
    let output = Command::new("workload")
        .args(["flood", "--dir"])
        .arg(dir)
        .args(["--count", &count.to_string(), "--seed", &seed.to_string()])
        .output()
        .context("workload flood")?;
    anyhow::ensure!(
        output.status.success(),
        "workload flood: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Puts a watch on a directory; the system calls it timed.
pub fn watch(dir: &Path, options: &[&str]) -> anyhow::Result<Vec<TimedCall>> {
    let output = Command::new("workload")
        .args(["watch", "--dir"])
        .arg(dir)
        .args(options)
        .output()
        .context("workload watch")?;
    anyhow::ensure!(
        output.status.success(),
        "workload watch: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)?
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect()
}
