//! `vmtest durations`.

use anyhow::Result;

use crate::{cli::DurationsArgs, matrix::durations::Durations, report::RunResult};

/// Prints what `images/durations.toml` should be after this run.
///
/// # Errors
/// When the results can't be read.
pub fn run(arguments: &DurationsArgs) -> Result<i32> {
    let run = RunResult::read(&arguments.results)?;
    print!("{}", Durations::of_run(&run).to_toml());
    Ok(0)
}
