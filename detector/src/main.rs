//! The `fslockup` command.

use std::process::ExitCode;

use fslockup::{
    cli::{
        self,
        config::{self, Failure},
    },
    commands, logging,
};

fn main() -> ExitCode {
    let cli = match config::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(Failure::CommandLine(error)) => {
            return ExitCode::from(cli::refuse("fslockup", &error));
        }
        Err(Failure::File(error)) => {
            logging::complain(logging::PROGRAM, error);
            return ExitCode::from(2);
        }
    };
    let level = if cli.verbose {
        log::LevelFilter::Debug
    } else {
        log::LevelFilter::Warn
    };
    logging::builder(&["fslockup"], level).init();
    commands::execute(&cli.command)
}
