//! Provokes the condition for real: fills a directory's dentry cache, puts watches on it.

mod flood;
mod watch;

use clap::{Parser, Subcommand};

/// Provokes walks, for tests and demonstrations. Never run it on a host that somebody needs.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Look up names that do not exist, each once
    Flood(flood::Args),
    /// Put a watch on a directory and say how long the system call took
    Watch(watch::Args),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Flood(args) => flood::flood(&args),
        Command::Watch(args) => watch::watch(&args),
    }
}
