//! `fslockup check`: everything is tried for real, then taken away again.

use std::{io, process::ExitCode};

use super::{CommandError, OUTPUT, make_plan, read_facts};
use crate::{
    attach::{self, Thresholds},
    cli::CheckArgs,
    facts::DentryState,
    output::{CheckReport, Verdict},
};

pub fn check(args: &CheckArgs) -> Result<ExitCode, CommandError> {
    if args.only_config {
        // It was parsed, or we would not be here.
        return Ok(ExitCode::SUCCESS);
    }
    let (facts, _symbols) = read_facts(&args.kernel)?;
    let plan = make_plan(&args.kernel, &facts);
    let attached = match &plan {
        Ok(plan) => attach::attach(plan, &facts, &Thresholds::NEVER, None)
            .map(|(attached, _records)| attached.report)
            .map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let report = CheckReport::new(facts, plan.ok(), attached, DentryState::read());
    report
        .print(&mut io::stdout().lock(), args.format)
        .map_err(CommandError::io(OUTPUT))?;
    if let Some(error) = &report.error {
        eprintln!("fslockup: {error}");
    }
    Ok(match report.verdict {
        Verdict::Full => ExitCode::SUCCESS,
        Verdict::Degraded => ExitCode::from(1),
        Verdict::CannotRun => ExitCode::from(2),
    })
}
