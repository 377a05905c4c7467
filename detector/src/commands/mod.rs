//! One file a command. A command returns its exit code, or an error that becomes one line and exit 2.

mod census;
mod check;
mod replay;
mod report;
mod run;
mod top;
mod trace;

use std::process::ExitCode;

use crate::{
    cli::{Command, KernelArgs},
    daemon::memory,
    error::CommandError,
    facts::{Facts, Kernel},
    logging,
    plan::{Plan, Wishes, needs_symbols, plan},
};

/// Runs a command to its end.
#[must_use]
pub fn execute(command: &Command) -> ExitCode {
    memory::in_small_pages();
    let outcome = match command {
        Command::Run(args) => run::run(args),
        Command::Check(args) => check::check(args),
        Command::Census(args) => census::census(args),
        Command::Top(args) => top::run(args),
        Command::Replay(args) => replay::replay(args),
        Command::Report(args) => report::report(args),
        Command::Trace(args) => trace::trace(args),
    };
    match outcome {
        Ok(code) => code,
        Err(error) if error.is_closed_output() => ExitCode::SUCCESS,
        Err(error) => {
            logging::complain(logging::PROGRAM, error);
            ExitCode::from(2)
        }
    }
}

/// Reads what a plan of `run` is made from. The symbol table takes as long as all else, so it is left for later where
/// the plan does not need it.
fn read_kernel(args: &KernelArgs) -> Result<Kernel, CommandError> {
    let mut kernel = Kernel::begin(args.btf.clone())?;
    if needs_symbols(&kernel.facts, &wishes(args)) {
        kernel.read_symbols();
    }
    Ok(kernel)
}

fn make_plan(args: &KernelArgs, facts: &Facts) -> Result<Plan, CommandError> {
    Ok(plan(facts, &wishes(args))?)
}

fn wishes(args: &KernelArgs) -> Wishes {
    Wishes {
        force: args.force_target,
        exact_release: args.exact_release,
    }
}
