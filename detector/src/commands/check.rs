//! `fslockup check`: everything is tried for real, then taken away again.

use std::{io, process::ExitCode};

use aya::maps::{MapData, RingBuf};

use super::{CommandError, OUTPUT, live::Live, make_plan, read_facts, top::Source as _};
use crate::{
    attach::{self, Attached, Thresholds},
    cli::CheckArgs,
    facts::{DentryState, Facts},
    output::{CheckReport, Dangers, Verdict},
    top::Snapshot,
};

pub fn check(args: &CheckArgs) -> Result<ExitCode, CommandError> {
    let (facts, _symbols) = read_facts(&args.kernel)?;
    let plan = make_plan(&args.kernel, &facts);
    let attached = match &plan {
        Ok(plan) => attach::attach(plan, &facts, &Thresholds::NEVER, None)
            .map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let (attached, dangers) = match attached {
        Ok((attached, records)) => (
            Ok(attached.report.clone()),
            read_dangers(&facts, attached, records),
        ),
        Err(error) => (Err(error), Err("no program could be attached".to_owned())),
    };
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
        eprintln!("fslockup: {error}");
    }
    Ok(match report.verdict {
        Verdict::Full => ExitCode::SUCCESS,
        Verdict::Degraded => ExitCode::from(1),
        Verdict::CannotRun => ExitCode::from(2),
    })
}

/// What `top` would begin with.
fn read_dangers(
    facts: &Facts,
    attached: Attached,
    records: RingBuf<MapData>,
) -> Result<Snapshot, String> {
    let mut live = Live::new(facts, attached, records).map_err(|error| error.to_string())?;
    if let Some(error) = live.census_error() {
        return Err(error);
    }
    live.read().map_err(|error| error.to_string())
}
