//! The `fslockup` command.

use std::process::ExitCode;

use clap::Parser as _;
use fslockup::{cli::Cli, commands};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            // clap explains itself over several lines; the first one names the mistake.
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            eprintln!(
                "fslockup: {} (see fslockup --help)",
                line.trim_start_matches("error: ")
            );
            return ExitCode::from(2);
        }
        Err(help) => {
            // `--help` or `--version`; a closed output is no reason to complain.
            let _ = help.print();
            return ExitCode::SUCCESS;
        }
    };
    let level = if cli.verbose {
        log::LevelFilter::Debug
    } else {
        log::LevelFilter::Warn
    };
    env_logger::Builder::new().filter_level(level).init();
    commands::execute(&cli.command)
}
