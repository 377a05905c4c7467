//! The matrix: scenarios on kernels, planned, carried out and judged, for `run` and `gate`.

pub mod choose;
mod collect;
pub mod durations;
mod guest;
pub mod judgement;
pub mod plan;
mod repeat;
mod runner;
mod shard;
pub mod slots;

use std::{
    collections::BTreeSet,
    env, fs, io,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Instant,
};

use anyhow::{Context, Result, bail};

use crate::{
    image::{Content, busybox},
    kernel, leftovers,
    manifest::{
        kernels::Kernels,
        scenarios::{Scenario, Scenarios},
    },
    matrix::{
        durations::Durations,
        plan::{PlannedGuest, PlannedKernel, digest, plan},
        runner::Runner,
        slots::KernelSlot,
    },
    qemu::version,
    report::{Account, Conditions, JUNIT, RESULTS, RunResult, SCHEMA, SUMMARY, Shard},
    ui::progress::Progress,
    vm::accel::Choice,
};

/// What is to be carried out.
pub struct Matrix<'a> {
    /// The kernels.
    pub kernels: Vec<KernelSlot<'a>>,
    /// The manifest of scenarios, and those of it that are meant.
    pub manifest: Scenarios,
    /// See there.
    pub scenarios: Vec<Scenario>,
    /// The part of it that this machine runs.
    pub shard: Option<Shard>,
    /// Guests at once; one for each CPU by default.
    pub jobs: Option<u16>,
    /// Up to how many that did not pass are run once more.
    pub repeat_failed: usize,
    /// Where results go.
    pub out: &'a Path,
    /// Files and logs of what passed are kept too.
    pub keeps_files: bool,
    /// What the user wants to execute the guests.
    pub accel: Choice,
    /// Where the guest's own programs are.
    pub bin_dir: PathBuf,
}

impl Matrix<'_> {
    /// Runs it.
    ///
    /// # Errors
    /// When nothing can be run: a program is missing, QEMU is too old.
    pub fn carry_out(
        mut self,
        kernels: &Kernels,
        is_interrupted: &AtomicBool,
    ) -> Result<RunResult> {
        let began = Instant::now();
        self.find_tags();
        let started_at = jiff::Timestamp::now().to_string();
        let conditions = Conditions::of(version::probe()?);
        let durations = Durations::load();
        let planned: Vec<PlannedKernel> = self
            .kernels
            .iter()
            .map(|slot| slot.planned.clone())
            .collect();
        let mut guests = plan(&planned, &self.scenarios, &durations);
        if guests.is_empty() {
            bail!("nothing to run: none of these scenarios runs on any of these kernels");
        }
        let plan_digest = digest(&planned, &guests, kernels);
        if let Some(shard) = self.shard {
            guests = shard::part(shard, &planned, guests, &durations);
            if guests.is_empty() {
                bail!("--shard {shard}: nothing to run: there are fewer guests than shards");
            }
        }
        let content = self.content(&guests)?;
        let runner = Runner {
            kernels: self.kernels,
            content,
            accel: self.accel,
            jobs_count: self.jobs.map_or_else(
                || thread::available_parallelism().map_or(1, usize::from),
                usize::from,
            ),
            out: self.out.to_owned(),
            keeps_files: self.keeps_files,
            progress: Progress::new(),
            is_interrupted,
            accel_turn: Mutex::default(),
            results: Mutex::default(),
        };
        let labels: Vec<&str> = runner.kernels.iter().map(KernelSlot::label).collect();
        prepare_out(self.out, &labels)?;
        leftovers::sweep(&env::temp_dir());
        runner.run(&guests);
        runner.repeat_failed(self.repeat_failed, &guests);
        let jobs_count = runner.jobs_count;
        let versions = runner.kernels.iter().filter_map(KernelSlot::version);
        let kernel_versions = versions.collect();
        let results = runner
            .results
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let account = Account::of(&results.spent, &results.guests, jobs_count, duration_ms);
        let mut result = RunResult {
            schema: SCHEMA.to_owned(),
            started_at,
            duration_ms,
            conditions,
            jobs_count,
            account: Some(account),
            shard: self.shard,
            plan_digest,
            is_interrupted: is_interrupted.load(Ordering::Relaxed),
            passed_count: 0,
            failed_count: 0,
            unavailable_count: 0,
            excused_kernels: Vec::new(),
            kernel_versions,
            scenarios: results.scenarios,
            guests: results.guests,
        };
        sort(&mut result, &planned, &self.scenarios);
        result.conclude();
        Ok(result)
    }

    /// What kernels are that were given as files without `--tag`: else the scenarios that need a tag would not run
    /// on them. One that can't be had is reported when it is to be booted.
    fn find_tags(&mut self) {
        for slot in &mut self.kernels {
            if slot.planned.word.listed().is_some() || !slot.planned.tags.is_empty() {
                continue;
            }
            let found = slot.get().ok();
            if let Some(tags) = found.and_then(|kernel| kernel::tags(&kernel).ok()) {
                println!(
                    "kernel {}: taken as {} by its version (--tag says otherwise)",
                    slot.label(),
                    tags.join(" ")
                );
                slot.planned.tags = tags;
            }
        }
    }

    fn content(&self, guests: &[PlannedGuest]) -> Result<Content> {
        let programs = self.manifest.programs(&self.bin_dir)?;
        let planned = guests.iter().flat_map(|guest| &guest.scenarios);
        let copies = Scenarios::files(planned, &self.bin_dir)?;
        let has_busybox = self.manifest.guest.has_busybox;
        if has_busybox {
            busybox::find(&env::var("PATH").unwrap_or_default())?;
        }
        Ok(Content {
            programs,
            copies,
            has_busybox,
            modules: self.manifest.guest.modules.clone(),
            ..Content::default()
        })
    }
}

/// As they were given, whichever ended first.
fn sort(result: &mut RunResult, kernels: &[PlannedKernel], scenarios: &[Scenario]) {
    let kernel = |name: &str| kernels.iter().position(|planned| planned.label == name);
    let scenario = |name: &str| scenarios.iter().position(|one| one.name == name);
    result
        .scenarios
        .sort_by_key(|one| (kernel(&one.kernel), scenario(&one.scenario)));
    result.guests.sort_by_key(|one| kernel(&one.kernel));
}

/// Which kernels' directories are in an output directory, for a run that never wrote its results.
const DIRECTORIES: &str = ".directories";

/// Makes the output directory. What an earlier run left goes: its results would say nothing of this one's
/// kernels, and these nothing of its. What no run of vmtest wrote stays.
///
/// # Errors
/// When the directory has results of something else, or can't be written to.
pub fn prepare_out(out: &Path, labels: &[&str]) -> Result<()> {
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
        prepare_out(out.path(), &["6.12"]).expect("prepared");
        assert!(!there("6.1") && !there("7.3"));
        assert!(there("notes") && there("7.4"));
        for name in [RESULTS, JUNIT, SUMMARY] {
            assert!(!there(name), "{name}");
        }
        // That run was killed before it wrote its results.
        fs::create_dir(out.path().join("6.12")).expect("made");
        prepare_out(out.path(), &["6.1"]).expect("prepared");
        assert!(!there("6.12") && there("notes"));
    }

    #[test]
    fn results_of_something_else_are_not_overwritten() {
        for text in ["{\"schema\": \"vmtest/1\"", "{}", "[1, 2]", ""] {
            let out = tempfile::tempdir().expect("a directory");
            fs::create_dir(out.path().join("6.1")).expect("made");
            fs::write(out.path().join(RESULTS), text).expect("written");
            let error = prepare_out(out.path(), &["6.1"]).expect_err("not ours");
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
