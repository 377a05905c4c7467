//! `vmtest run`: scenarios on kernels.

use std::{path::Path, sync::atomic::AtomicBool};

use anyhow::Result;

use super::{COULD_NOT_RUN, INTERRUPTED};
use crate::{
    cli::RunArgs,
    guest,
    manifest::{kernels::Kernels, scenarios::Scenarios},
    matrix::{Matrix, choose, slots::KernelSlot},
    report::RunResult,
};

/// Runs it; returns the exit code.
///
/// # Errors
/// When nothing can be run: a name is unknown, a program is missing, QEMU is too old.
pub fn run(arguments: &RunArgs, kernels: &Kernels, is_interrupted: &AtomicBool) -> Result<i32> {
    let manifest = Scenarios::load(arguments.harness.scenarios.as_deref())?;
    let scenarios = if arguments.any_kernel {
        manifest.for_comparison()
    } else {
        manifest.choose(&arguments.scenario)?
    };
    let planned = choose::kernels(&arguments.kernel, &arguments.harness.tag, kernels)?;
    let modules_dir = arguments.harness.modules.as_deref();
    let matrix = Matrix {
        kernels: KernelSlot::all(planned, arguments.any_kernel, kernels, modules_dir),
        scenarios,
        manifest,
        shard: arguments.shard,
        jobs: arguments.jobs,
        repeat_failed: arguments.repeat_failed,
        out: &arguments.out,
        keeps_files: arguments.keep_files,
        accel: arguments.harness.accel,
        bin_dir: guest::bin_dir(&arguments.harness)?,
    };
    let result = matrix.carry_out(kernels, is_interrupted)?;
    conclude(&result, &arguments.out)
}

/// Writes the results and says how it went; returns the exit code.
pub(super) fn conclude(result: &RunResult, out: &Path) -> Result<i32> {
    result.write(out)?;
    println!("results: {}", out.join("summary.md").display());
    for line in result.unavailable_lines() {
        println!("{line}");
    }
    let lines = result.not_applicable_lines().into_iter();
    for line in lines.chain(result.repetition_lines()) {
        println!("{line}");
    }
    if let Some(account) = &result.account {
        println!(
            "where the time went: {} s for each of {} at once",
            result.duration_ms / 1000,
            result.jobs_count
        );
        for line in account.lines() {
            println!("{line}");
        }
    }
    for line in result.boot_lines() {
        println!("{line}");
    }
    if result.is_interrupted {
        println!("interrupted");
    }
    for line in result.failed_lines() {
        println!("{line}");
    }
    println!("{}", result.verdict_line());
    Ok(match (result.is_interrupted, result.failed_count) {
        (true, _) => INTERRUPTED,
        // All that was asked for may go, and has gone: that is no pass.
        (false, 0) if result.passed_count == 0 => {
            complain!("nothing ran: no kernel was available, or nothing applied");
            COULD_NOT_RUN
        }
        (false, 0) => 0,
        (false, _) => 1,
    })
}
