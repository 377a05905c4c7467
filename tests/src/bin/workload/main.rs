//! Provokes the condition for real: fills a directory's dentry cache, puts watches on it; and what
//! goes on beside that: lookups, sleepers, busy CPUs, other locks.

mod churn;
mod cost;
mod files;
mod flood;
mod hogs;
mod lookup;
mod renamed;
mod seek;
mod short_lived;
mod sleepers;
mod touch;
mod until_stopped;
mod watch;

use std::time::Duration;

use clap::{Parser, Subcommand};

/// Provokes walks, for tests and demonstrations. Never run it on a host that somebody needs.
///
/// What runs until it is stopped prints `started`, ends with its standard input, and then prints
/// one line of JSON for each thread.
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
    /// Look up names that do not exist, a few in each of many processes
    ShortLived(short_lived::Args),
    /// Make names that exist
    Files(files::Args),
    /// Put a watch on a directory and say how long the system call took
    Watch(watch::Args),
    /// Look up new names in a directory, until stopped
    Lookup(lookup::Args),
    /// Open, read and close files of a directory, until stopped
    Touch(touch::Args),
    /// Make and remove names in a directory, until stopped
    Churn(churn::Args),
    /// Sleep and run at known times, until stopped
    Sleepers(sleepers::Args),
    /// Keep CPUs busy, until stopped
    Hogs(hogs::Args),
    /// Hold the lock of a ramfs directory for long, until stopped
    Seek(seek::Args),
    /// Run a program for which uname(2) names another kernel
    Renamed(renamed::Args),
    /// Time context switches
    PingPong(cost::Args),
    /// Time locks that nobody else wants
    Uncontended(cost::Args),
    /// Time lookups that miss
    Misses(cost::DentryArgs),
    /// Time the removal of dentries from the cache
    Kills(cost::DentryArgs),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Flood(args) => flood::flood(&args),
        Command::ShortLived(args) => short_lived::short_lived(&args),
        Command::Files(args) => files::files(&args),
        Command::Watch(args) => watch::watch(&args),
        Command::Lookup(args) => lookup::lookup(&args),
        Command::Touch(args) => touch::touch(&args),
        Command::Churn(args) => churn::churn(&args),
        Command::Sleepers(args) => sleepers::sleepers(&args),
        Command::Hogs(args) => hogs::hogs(&args),
        Command::Seek(args) => seek::seek(&args),
        Command::Renamed(args) => renamed::renamed(&args),
        Command::PingPong(args) => cost::ping_pong(&args),
        Command::Uncontended(args) => cost::uncontended(&args),
        Command::Misses(args) => cost::misses(&args),
        Command::Kills(args) => cost::kills(&args),
    }
}

fn duration(text: &str) -> Result<Duration, humantime::DurationError> {
    humantime::parse_duration(text)
}
