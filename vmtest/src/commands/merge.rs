//! `vmtest merge`: the results of shards become those of the run.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};

use super::run::conclude;
use crate::{
    cli::MergeArgs,
    matrix::out::{self, is_plain},
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
        .map(|dir| {
            Ok((
                dir.display().to_string(),
                RunResult::read(&dir.join(report::RESULTS))?,
            ))
        })
        .collect::<Result<Vec<_>>>()?;
    let whole = report::merge(parts).map_err(anyhow::Error::msg)?;
    for shard in &arguments.shards {
        if is_same(shard, &arguments.out) {
            bail!("{}: --out is one of the shards", arguments.out.display());
        }
    }
    let kernels = directories(&whole);
    out::prepare(&arguments.out, &kernels)?;
    for kernel in kernels {
        for shard in &arguments.shards {
            let from = shard.join(kernel);
            if from.is_dir() {
                copy(&from, &arguments.out.join(kernel))?;
            }
        }
    }
    conclude(&whole, &arguments.out)
}

fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    real(one).is_some_and(|one| Some(one) == real(other))
}

/// Names of kernels' directories: nothing else of a shard is copied, whatever lies there.
fn directories(whole: &RunResult) -> Vec<&str> {
    let mut names: Vec<_> = whole
        .guests
        .iter()
        .map(|guest| guest.kernel.as_str())
        .filter(|name| is_plain(name))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{GuestResult, Shard, sample};

    /// A shard's directory with one guest of one kernel.
    fn shard(index: usize, kernel: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        let mut part = sample::run();
        part.shard = Some(Shard { index, count: 2 });
        part.scenarios.retain(|one| one.kernel == kernel);
        part.guests.clear();
        part.guests.push(GuestResult {
            kernel: kernel.into(),
            release: None,
            name: "shared".into(),
            boots_tried_count: 1,
            end: "exited".into(),
            boot_ms: None,
            duration_ms: 1,
            boot_reports: Vec::new(),
        });
        part.conclude();
        part.write(dir.path()).expect("written");
        let guest = dir.path().join(kernel).join("shared");
        fs::create_dir_all(&guest).expect("made");
        fs::write(guest.join("console.log"), kernel).expect("written");
        dir
    }

    fn merge(shards: &[&Path], out: &Path) -> Result<i32> {
        run(&MergeArgs {
            shards: shards.iter().map(|path| path.to_path_buf()).collect(),
            out: out.to_owned(),
        })
    }

    #[test]
    fn files_and_verdicts_of_all_shards_are_there() {
        let (one, two) = (shard(1, "6.1"), shard(2, "7.3"));
        let out = tempfile::tempdir().expect("a directory");
        let code = merge(&[two.path(), one.path()], out.path()).expect("a whole");
        assert_eq!(code, 1, "two of the sample's scenarios did not pass");
        for kernel in ["6.1", "7.3"] {
            let log = out.path().join(kernel).join("shared/console.log");
            assert_eq!(fs::read_to_string(log).expect("copied"), kernel);
        }
        let whole = RunResult::read(&out.path().join(report::RESULTS)).expect("results");
        assert_eq!((whole.shard, whole.guests.len()), (None, 2));
        assert!(out.path().join("junit.xml").exists());
    }

    #[test]
    fn mistakes_name_the_directory() {
        let one = shard(1, "6.1");
        let out = tempfile::tempdir().expect("a directory");
        let said = |shards: &[&Path], out: &Path| {
            format!("{:#}", merge(shards, out).expect_err("a mistake"))
        };
        assert_eq!(said(&[one.path()], out.path()), "missing: shard 2/2");
        let nowhere = Path::new("/nowhere");
        assert!(said(&[nowhere], out.path()).starts_with("/nowhere/results.json: "));
        let two = shard(2, "7.3");
        let said = said(&[one.path(), two.path()], two.path());
        assert!(said.ends_with("--out is one of the shards"), "{said}");
        assert!(two.path().join("7.3/shared/console.log").exists());
        fs::write(out.path().join(report::RESULTS), "{}").expect("written");
        let error = format!(
            "{:#}",
            RunResult::read(&out.path().join(report::RESULTS)).expect_err("no results")
        );
        assert!(error.contains("no results of vmtest"), "{error}");
    }
}
