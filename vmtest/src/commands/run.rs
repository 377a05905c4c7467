//! `vmtest run`: scenarios on kernels.

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

use super::{COULD_NOT_RUN, INTERRUPTED, guest};
use crate::{
    choose,
    cli::RunArgs,
    image::{Content, busybox},
    kernel,
    kernels::Kernels,
    plan::{PlannedGuest, digest, plan},
    progress::Progress,
    qemu::version,
    report::{RunResult, SCHEMA},
    runner::{KernelSlot, Runner},
    scenarios::Scenarios,
};

/// Runs it; returns the exit code.
///
/// # Errors
/// When nothing can be run: a name is unknown, a program is missing, QEMU is too old.
pub fn run(arguments: &RunArgs, kernels: &Kernels, is_interrupted: &AtomicBool) -> Result<i32> {
    let began = Instant::now();
    let started_at = jiff::Timestamp::now().to_string();
    let qemu_version = version::probe()?;
    let scenarios = Scenarios::load(arguments.accel.scenarios.as_deref())?;
    let chosen = scenarios.choose(&arguments.scenario)?;
    let planned_kernels = choose::kernels(&arguments.kernel, kernels)?;
    let mut guests = plan(&planned_kernels, &chosen);
    if guests.is_empty() {
        bail!("nothing to run: none of these scenarios runs on any of these kernels");
    }
    let plan_digest = digest(&planned_kernels, &guests);
    if let Some(shard) = arguments.shard {
        guests = shard.part(guests);
        if guests.is_empty() {
            bail!("--shard {shard}: nothing to run: there are fewer guests than shards");
        }
    }
    let runner = Runner {
        kernels: planned_kernels
            .iter()
            .map(|planned| KernelSlot::new(&planned.name, kernels, arguments.accel.modules.clone()))
            .collect(),
        content: content(arguments, &scenarios, &guests)?,
        accel: arguments.accel.accel,
        jobs_count: arguments.jobs.map_or_else(
            || thread::available_parallelism().map_or(1, usize::from),
            usize::from,
        ),
        out: arguments.out.clone(),
        progress: Progress::new(),
        is_interrupted,
        accel_turn: Mutex::default(),
        results: Mutex::default(),
    };
    prepare_out(&runner.out, runner.kernels.iter().map(KernelSlot::label))?;
    runner.run(&guests);
    runner.repeat_failed(arguments.repeat_failed, &chosen);
    let jobs_count = runner.jobs_count;
    let results = runner
        .results
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut result = RunResult {
        schema: SCHEMA.to_owned(),
        started_at,
        duration_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        qemu_version,
        jobs_count,
        shard: arguments.shard,
        plan_digest,
        is_interrupted: is_interrupted.load(Ordering::Relaxed),
        passed_count: 0,
        failed_count: 0,
        excused_kernels: Vec::new(),
        scenarios: results.scenarios,
        guests: results.guests,
    };
    let kernel_position = |name: &str| {
        planned_kernels
            .iter()
            .position(|planned| kernel::label(&planned.name) == name)
    };
    let scenario_position = |name: &str| chosen.iter().position(|scenario| scenario.name == name);
    result.scenarios.sort_by_key(|one| {
        (
            kernel_position(&one.kernel),
            scenario_position(&one.scenario),
        )
    });
    result
        .guests
        .sort_by_key(|one| kernel_position(&one.kernel));
    result.conclude();
    conclude(&result, &arguments.out)
}

fn content(arguments: &RunArgs, scenarios: &Scenarios, guests: &[PlannedGuest]) -> Result<Content> {
    let directory = guest::bin_dir(&arguments.accel)?;
    let programs = scenarios.programs(&directory)?;
    let planned = guests.iter().flat_map(|guest| &guest.scenarios);
    let copies = Scenarios::files(planned, &directory)?;
    let has_busybox = scenarios.guest.has_busybox;
    if has_busybox {
        busybox::find(&env::var("PATH").unwrap_or_default())?;
    }
    Ok(Content {
        programs,
        copies,
        has_busybox,
        ..Content::default()
    })
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

/// Writes the results and says how it went; returns the exit code.
pub(super) fn conclude(result: &RunResult, out: &Path) -> Result<i32> {
    result
        .write(out)
        .map_err(|(path, error)| anyhow::anyhow!("{}: {error}", path.display()))?;
    println!("results: {}", out.join("summary.md").display());
    for kernel in &result.excused_kernels {
        println!("unavailable: {kernel}");
    }
    for line in result.flaky_lines() {
        println!("{line}");
    }
    if result.is_interrupted {
        println!("interrupted");
    }
    println!("{}", result.verdict_line());
    Ok(match (result.is_interrupted, result.failed_count) {
        (true, _) => INTERRUPTED,
        // All that was asked for may go, and has gone: that is no pass.
        (false, 0) if result.passed_count == 0 => {
            eprintln!("vmtest: nothing ran: no kernel was available");
            COULD_NOT_RUN
        }
        (false, 0) => 0,
        (false, _) => 1,
    })
}
