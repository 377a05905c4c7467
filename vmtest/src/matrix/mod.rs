//! The matrix: scenarios on kernels, planned, carried out and judged, for `run` and `gate`.

pub mod choose;
mod collect;
pub mod durations;
mod guest;
pub mod judgement;
pub mod out;
pub mod plan;
mod repeat;
mod runner;
mod shard;
pub mod slots;

use std::{
    env,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Instant,
};

use anyhow::{Result, bail};

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
    report::{Account, Conditions, RunResult, SCHEMA, Shard},
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
            jobs_count: self.jobs.map_or_else(default_jobs_count, usize::from),
            out: self.out.to_owned(),
            keeps_files: self.keeps_files,
            progress: Progress::new(),
            is_interrupted,
            accel_turn: Mutex::default(),
            results: Mutex::default(),
        };
        let labels: Vec<&str> = runner.kernels.iter().map(KernelSlot::label).collect();
        out::prepare(self.out, &labels)?;
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

/// One more than CPUs: a guest whose detector stops sleeps through grace periods of the kernel. With as many guests as
/// CPUs, two CPUs were busy for 72 % of the time (docs/benchmarks.md, "The suite").
fn default_jobs_count() -> usize {
    thread::available_parallelism().map_or(1, |cpus| cpus.get() + 1)
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
