//! The `fslockup` command.

use std::process::ExitCode;

use fslockup::{
    cli, commands,
    config::{self, Failure},
};

fn main() -> ExitCode {
    let cli = match config::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(Failure::CommandLine(error)) => {
            return ExitCode::from(cli::refuse("fslockup", &error));
        }
        Err(Failure::File(error)) => {
            eprintln!("fslockup: {error}");
            return ExitCode::from(2);
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
