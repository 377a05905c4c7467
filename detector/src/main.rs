//! The `fslockup` command.

use std::process::ExitCode;

use fslockup::{
    cli::{self, Cli},
    commands,
};

fn main() -> ExitCode {
    let cli: Cli = match cli::parse() {
        Ok(cli) => cli,
        Err(code) => return ExitCode::from(code),
    };
    let level = if cli.verbose {
        log::LevelFilter::Debug
    } else {
        log::LevelFilter::Warn
    };
    env_logger::Builder::new().filter_level(level).init();
    commands::execute(&cli.command)
}
