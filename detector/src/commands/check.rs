//! `fslockup check`: everything is tried for real, then taken away again.

use std::{io, process::ExitCode};

use super::make_plan;
use crate::{
    attach::{self, Thresholds},
    cli::CheckArgs,
    directories::list::Snapshot,
    error::{CommandError, OUTPUT},
    facts::{DentryState, Kernel},
    logging,
    output::{CheckReport, Dangers, Verdict},
    run::live::{Live, Source as _},
};

pub fn check(args: &CheckArgs) -> Result<ExitCode, CommandError> {
    if args.only_config {
        // It was parsed, or we would not be here.
        return Ok(ExitCode::SUCCESS);
    }
    let Kernel {
        facts, type_ids, ..
    } = Kernel::read(args.kernel.btf.clone())?;
    let plan = make_plan(&args.kernel, &facts);
    let attached = match &plan {
        Ok(plan) => attach::attach(plan, &facts, &type_ids, &Thresholds::NEVER, None)
            .map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    // Held until the answer is printed: the kernel can take seconds to let go of the programs.
    let (attached, mut live) = match attached {
        Ok(started) => (
            Ok(started.attached.report.clone()),
            Live::new(&facts, started).map_err(|error| error.to_string()),
        ),
        Err(error) => (Err(error), Err("no program could be attached".to_owned())),
    };
    let dangers = live
        .as_mut()
        .map_err(|error| error.clone())
        .and_then(read_dangers);
    let report = CheckReport::new(
        facts,
        plan.ok(),
        attached,
        DentryState::read(),
        Dangers::new(dangers),
    );
    report
        .print(&mut io::stdout().lock(), args.format)
        .map_err(CommandError::io(OUTPUT))?;
    if let Some(error) = &report.error {
        logging::complain(logging::PROGRAM, error);
    }
    Ok(match report.verdict {
        Verdict::Full => ExitCode::SUCCESS,
        Verdict::Degraded => ExitCode::from(1),
        Verdict::CannotRun => ExitCode::from(2),
    })
}

/// What `top` would begin with.
fn read_dangers(live: &mut Live) -> Result<Snapshot, String> {
    if let Some(error) = live.census_error() {
        return Err(error);
    }
    live.read().map_err(|error| error.to_string())
}
