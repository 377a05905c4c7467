//! The output directory of a run.

use std::{collections::BTreeSet, fs, io, path::Path};

use anyhow::{Context, Result};

use crate::report::{JUNIT, RESULTS, RunResult, SUMMARY};

/// Which kernels' directories are in an output directory, for a run that never wrote its results.
const DIRECTORIES: &str = ".directories";

/// Makes the output directory. What an earlier run left goes: its results would say nothing of this one's
/// kernels, and these nothing of its. What no run of vmtest wrote stays.
///
/// # Errors
/// When the directory has results of something else, or can't be written to.
pub fn prepare(out: &Path, labels: &[&str]) -> Result<()> {
    let at = |path: &Path| path.display().to_string();
    let results = out.join(RESULTS);
    let mut old: BTreeSet<String> = labels.iter().map(|label| (*label).to_owned()).collect();
    if results.exists() {
        let earlier = RunResult::read(&results).with_context(|| {
            format!(
                "--out {}: remove what is there, or choose another",
                out.display()
            )
        })?;
        old.extend(earlier.kernels().into_iter().map(str::to_owned));
        old.extend(earlier.guests.into_iter().map(|guest| guest.kernel));
    }
    let directories = out.join(DIRECTORIES);
    let listed = fs::read_to_string(&directories).unwrap_or_default();
    old.extend(listed.lines().map(str::to_owned));
    fs::create_dir_all(out).with_context(|| at(out))?;
    for name in old.iter().filter(|name| is_plain(name)) {
        let directory = out.join(name);
        // Not through a link, wherever it leads.
        if directory
            .symlink_metadata()
            .is_ok_and(|found| found.is_dir())
        {
            fs::remove_dir_all(&directory).with_context(|| at(&directory))?;
        }
    }
    // From here on they are of another run than the directories.
    for name in [RESULTS, JUNIT, SUMMARY] {
        let file = out.join(name);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| at(&file));
            }
            _ => {}
        }
    }
    fs::write(&directories, labels.join("\n") + "\n").with_context(|| at(&directories))
}

/// Names of kernels come from files, and must not lead out of the directory.
pub fn is_plain(name: &str) -> bool {
    !name.contains('/') && !matches!(name, "" | "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn an_earlier_runs_kernels_go_and_nothing_else() {
        let out = tempfile::tempdir().expect("a directory");
        let there = |name: &str| out.path().join(name).exists();
        let mut run = sample::run();
        run.scenarios[0].kernel = "../outside".into();
        run.write(out.path()).expect("written");
        for name in ["6.1", "7.3", "7.4", "notes"] {
            fs::create_dir(out.path().join(name)).expect("made");
        }
        prepare(out.path(), &["6.12"]).expect("prepared");
        assert!(!there("6.1") && !there("7.3"));
        assert!(there("notes") && there("7.4"));
        for name in [RESULTS, JUNIT, SUMMARY] {
            assert!(!there(name), "{name}");
        }
        // That run was killed before it wrote its results.
        fs::create_dir(out.path().join("6.12")).expect("made");
        prepare(out.path(), &["6.1"]).expect("prepared");
        assert!(!there("6.12") && there("notes"));
    }

    #[test]
    fn results_of_something_else_are_not_overwritten() {
        for text in ["{\"schema\": \"vmtest/1\"", "{}", "[1, 2]", ""] {
            let out = tempfile::tempdir().expect("a directory");
            fs::create_dir(out.path().join("6.1")).expect("made");
            fs::write(out.path().join(RESULTS), text).expect("written");
            let error = prepare(out.path(), &["6.1"]).expect_err("not ours");
            let said = format!("{error:#}");
            assert!(
                said.contains("results.json: no results of vmtest"),
                "{said}"
            );
            assert_eq!(said.lines().count(), 1, "{said}");
            let kept = fs::read_to_string(out.path().join(RESULTS)).expect("there");
            assert_eq!(kept, text);
            assert!(out.path().join("6.1").exists());
        }
    }
}
