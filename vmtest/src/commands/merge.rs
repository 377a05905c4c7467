//! `vmtest merge`: the results of shards become those of the run.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::run::conclude;
use crate::{
    cli::MergeArgs,
    report::{self, RunResult},
};

/// Merges; returns the exit code that the whole run would have had.
///
/// # Errors
/// When a result can't be read, or they are not all the parts of one run.
pub fn run(arguments: &MergeArgs) -> Result<i32> {
    let parts = arguments
        .shards
        .iter()
        .map(|dir| Ok((dir.display().to_string(), read(dir)?)))
        .collect::<Result<Vec<_>>>()?;
    let whole = report::merge(parts).map_err(anyhow::Error::msg)?;
    fs::create_dir_all(&arguments.out).with_context(|| arguments.out.display().to_string())?;
    for shard in &arguments.shards {
        if is_same(shard, &arguments.out) {
            bail!("{}: --out is one of the shards", arguments.out.display());
        }
    }
    for kernel in directories(&whole) {
        let old = arguments.out.join(kernel);
        if old.is_dir() {
            fs::remove_dir_all(&old).with_context(|| old.display().to_string())?;
        }
        for shard in &arguments.shards {
            let from = shard.join(kernel);
            if from.is_dir() {
                copy(&from, &old)?;
            }
        }
    }
    whole
        .write(&arguments.out)
        .map_err(|(path, error)| anyhow::anyhow!("{}: {error}", path.display()))?;
    Ok(conclude(&whole, &arguments.out))
}

fn read(dir: &Path) -> Result<RunResult> {
    let path = dir.join("results.json");
    let text = fs::read(&path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&text)
        .with_context(|| format!("{}: no results of vmtest", path.display()))
}

fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| -> Option<PathBuf> { path.canonicalize().ok() };
    real(one).is_some_and(|one| Some(one) == real(other))
}

/// Names of kernels' directories: nothing else of a shard is copied, whatever lies there.
fn directories(whole: &RunResult) -> Vec<&str> {
    let mut names: Vec<_> = whole
        .guests
        .iter()
        .map(|guest| guest.kernel.as_str())
        .filter(|name| !name.contains('/') && !matches!(*name, "" | "." | ".."))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Copies plain files and directories.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let at = |path: &Path| path.display().to_string();
    fs::create_dir_all(to).with_context(|| at(to))?;
    for entry in fs::read_dir(from).with_context(|| at(from))? {
        let entry = entry.with_context(|| at(from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().with_context(|| at(&source))?;
        if kind.is_dir() {
            copy(&source, &target)?;
        } else if kind.is_file() {
            fs::copy(&source, &target).with_context(|| at(&source))?;
        }
    }
    Ok(())
}
