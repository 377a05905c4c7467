//! Writes what a package has beside the program, out of its own description of its options: manual pages
//! and completions for shells. Not a part of `fslockup`, which it would only make larger.
//!
//! ```text
//! packaging DIR
//! ```

use std::{env, fs, path::PathBuf};

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;
use fslockup::cli::Cli;

fn main() -> anyhow::Result<()> {
    let dir = env::args_os().nth(1).context("usage: packaging DIR")?;
    let dir = PathBuf::from(dir);
    fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), &dir)
        .with_context(|| dir.display().to_string())?;
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        clap_complete::generate_to(shell, &mut Cli::command(), "fslockup", &dir)
            .with_context(|| dir.display().to_string())?;
    }
    Ok(())
}
