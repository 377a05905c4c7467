//! The commands, and what a detector at work needs of its host. A command returns its exit code, or an error that becomes
//! one line and exit 2.

mod budget;
mod census;
mod cgroups;
mod check;
mod directories;
pub mod identity;
mod journal;
mod kernel_log;
mod live;
mod maps;
pub mod marks;
mod memory;
mod metering;
mod mountinfo;
mod origin;
mod privileges;
pub mod proc;
mod reload;
mod replay;
mod report;
mod run;
mod service;
mod stacks;
mod state;
mod terminal;
mod timing;
pub mod top;
mod trace;

use std::{process::ExitCode, time::Duration};

use crate::{
    attach::{AttachError, census::CensusError},
    cli::{Command, KernelArgs},
    facts::{Facts, FactsError, Kernel},
    plan::{Plan, PlanError, Wishes, needs_symbols, plan},
    recording::RecordingError,
};

/// What ends a command early. The text is one line that names the object and the way out.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The kernel could not be asked.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// The kernel has nothing to attach to.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The kernel refused.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The census program can't be loaded.
    #[error(transparent)]
    Census(#[from] CensusError),
    /// A directory's children can't be counted.
    #[error("{name}: {source}")]
    Directory {
        /// The directory.
        name: String,
        /// Why.
        source: CensusError,
    },
    /// A recording can't be read.
    #[error("{file}: {source}")]
    Recording {
        /// The file.
        file: String,
        /// Why.
        source: RecordingError,
    },
    /// The address for metrics can't be had.
    #[error("--metrics {address}: {source} (is another fslockup running? choose another port)")]
    Metrics {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A state directory has no such incident.
    #[error("--id {id}: no such incident in {name} (fslockup report lists them)")]
    NoIncident {
        /// What was asked for.
        id: String,
        /// The directory.
        name: String,
    },
    /// Reading or writing failed.
    #[error("{what}: {source}")]
    Io {
        /// The object.
        what: String,
        /// Why.
        source: std::io::Error,
    },
}

impl CommandError {
    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// The reader of our output went away (`fslockup run | head`): not worth a word.
    fn is_closed_output(&self) -> bool {
        matches!(self, Self::Io { what, source } if what == OUTPUT && source.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

/// The object in errors about our own output.
const OUTPUT: &str = "output";

/// Runs a command to its end.
#[must_use]
pub fn execute(command: &Command) -> ExitCode {
    memory::in_small_pages();
    let outcome = match command {
        Command::Run(args) => run::run(args),
        Command::Check(args) => check::check(args),
        Command::Census(args) => census::census(args),
        Command::Top(args) => live::run(args),
        Command::Replay(args) => replay::replay(args),
        Command::Report(args) => report::report(args),
        Command::Trace(args) => trace::trace(args),
    };
    match outcome {
        Ok(code) => code,
        Err(error) if error.is_closed_output() => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fslockup: {error}");
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

/// Runs a command's loop on this thread.
fn block_on<T>(run: impl Future<Output = Result<T, CommandError>>) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CommandError::io("event loop"))?;
    runtime.block_on(run)
}

/// Over after this time; never where none was asked for.
async fn after(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}
