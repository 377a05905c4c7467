//! Carries out scenarios on kernels: for `run` and `gate`.

use std::{
    env, fs,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Instant,
};

use anyhow::{Context, Result, bail};

use super::guest;
use crate::{
    cli::AccelArgs,
    durations::Durations,
    image::{Content, busybox},
    kernels::Kernels,
    plan::{PlannedGuest, PlannedKernel, digest, plan},
    progress::Progress,
    qemu::version,
    report::{Conditions, RunResult, SCHEMA},
    runner::{KernelSlot, Runner},
    scenarios::{Scenario, Scenarios},
    shard::Shard,
};

/// What is to be carried out.
pub struct Matrix<'a> {
    /// The kernels.
    pub kernels: Vec<PlannedKernel>,
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
    /// Accelerator and files.
    pub accel: &'a AccelArgs,
}

impl Matrix<'_> {
    /// Runs it.
    ///
    /// # Errors
    /// When nothing can be run: a program is missing, QEMU is too old.
    pub fn carry_out(self, kernels: &Kernels, is_interrupted: &AtomicBool) -> Result<RunResult> {
        let began = Instant::now();
        let started_at = jiff::Timestamp::now().to_string();
        let conditions = Conditions::of(version::probe()?);
        let durations = Durations::load();
        let mut guests = plan(&self.kernels, &self.scenarios, &durations);
        if guests.is_empty() {
            bail!("nothing to run: none of these scenarios runs on any of these kernels");
        }
        let plan_digest = digest(&self.kernels, &guests);
        if let Some(shard) = self.shard {
            guests = shard.part(&self.kernels, guests, &durations);
            if guests.is_empty() {
                bail!("--shard {shard}: nothing to run: there are fewer guests than shards");
            }
        }
        let slot = |planned: &PlannedKernel| {
            KernelSlot::new(planned.clone(), kernels, self.accel.modules.clone())
        };
        let runner = Runner {
            kernels: self.kernels.iter().map(slot).collect(),
            content: self.content(&guests)?,
            accel: self.accel.accel,
            jobs_count: self.jobs.map_or_else(
                || thread::available_parallelism().map_or(1, usize::from),
                usize::from,
            ),
            out: self.out.to_owned(),
            progress: Progress::new(),
            is_interrupted,
            accel_turn: Mutex::default(),
            results: Mutex::default(),
        };
        prepare_out(self.out, runner.kernels.iter().map(KernelSlot::label))?;
        runner.run(&guests);
        runner.repeat_failed(self.repeat_failed, &self.scenarios);
        let jobs_count = runner.jobs_count;
        let results = runner
            .results
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut result = RunResult {
            schema: SCHEMA.to_owned(),
            started_at,
            duration_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            conditions,
            jobs_count,
            shard: self.shard,
            plan_digest,
            is_interrupted: is_interrupted.load(Ordering::Relaxed),
            passed_count: 0,
            failed_count: 0,
            excused_kernels: Vec::new(),
            scenarios: results.scenarios,
            guests: results.guests,
        };
        self.sort(&mut result);
        result.conclude();
        Ok(result)
    }

    /// As they were given, whichever ended first.
    fn sort(&self, result: &mut RunResult) {
        let kernel = |name: &str| {
            self.kernels
                .iter()
                .position(|planned| planned.label == name)
        };
        let scenario = |name: &str| self.scenarios.iter().position(|one| one.name == name);
        result
            .scenarios
            .sort_by_key(|one| (kernel(&one.kernel), scenario(&one.scenario)));
        result.guests.sort_by_key(|one| kernel(&one.kernel));
    }

    fn content(&self, guests: &[PlannedGuest]) -> Result<Content> {
        let directory = guest::bin_dir(self.accel)?;
        let programs = self.manifest.programs(&directory)?;
        let planned = guests.iter().flat_map(|guest| &guest.scenarios);
        let copies = Scenarios::files(planned, &directory)?;
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

/// Makes the output directory; what an earlier run left of the same kernels goes.
pub(super) fn prepare_out<'a>(out: &Path, labels: impl Iterator<Item = &'a str>) -> Result<()> {
    fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    for label in labels {
        let old = out.join(label);
        if old.is_dir() {
            fs::remove_dir_all(&old).with_context(|| old.display().to_string())?;
        }
    }
    Ok(())
}
