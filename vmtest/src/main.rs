//! `vmtest`: the harness's command, and in a guest its PID 1.

use std::process::exit;

use anyhow::Result;
use fslockup::logging;
use log::LevelFilter;
use vmtest::{
    cli::{Cli, Command},
    commands::{self, COULD_NOT_RUN, HARNESS_FAILED},
    init,
    manifest::kernels::Kernels,
    packages::{
        cache,
        clean::{self, InUse},
    },
    ui::signals,
};

fn main() {
    if init::is_init() {
        init::main();
    }
    let cli: Cli = match fslockup::cli::parse() {
        Ok(cli) => cli,
        Err(code) => exit(code.into()),
    };
    let level = match cli.verbose {
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        _ => LevelFilter::Debug,
    };
    // The pure half of `fslockup` is in this program.
    logging::builder(&["vmtest", "fslockup"], level)
        .format_timestamp(None)
        .init();
    // The exit codes of `exec` and `shell` are those of what runs in the guest.
    let is_wrapper = matches!(cli.command, Command::Exec(_) | Command::Shell(_));
    match run(&cli) {
        Ok(code) => exit(code),
        Err(error) => {
            logging::complain("vmtest", format_args!("{error:#}"));
            exit(if is_wrapper {
                HARNESS_FAILED
            } else {
                COULD_NOT_RUN
            });
        }
    }
}

fn run(cli: &Cli) -> Result<i32> {
    let mut kernels = Kernels::load(cli.kernels.as_deref())?;
    kernels.is_locked = cli.locked;
    let is_interrupted = signals::interruption()?;
    let needs_cache = !matches!(
        cli.command,
        Command::List(_) | Command::Merge(_) | Command::Clean(_)
    );
    let _in_use = needs_cache.then(|| {
        let mark = InUse::mark(&cache::directory());
        clean::sweep();
        mark
    });
    match &cli.command {
        Command::List(arguments) => commands::list::run(arguments, &kernels),
        Command::Fetch(arguments) => commands::fetch::run(arguments, kernels),
        Command::Run(arguments) => commands::run::run(arguments, &kernels, &is_interrupted),
        Command::Merge(arguments) => commands::merge::run(arguments),
        Command::Durations(arguments) => commands::durations::run(arguments),
        Command::Gate(arguments) => commands::gate::run(arguments, &kernels, &is_interrupted),
        Command::Exec(arguments) => commands::exec::run(arguments, &kernels, &is_interrupted),
        Command::Shell(arguments) => commands::shell::run(arguments, &kernels, &is_interrupted),
        Command::Clean(arguments) => commands::clean::run(arguments, &kernels),
    }
}
