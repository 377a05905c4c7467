//! What the user typed, and nothing of what it leads to.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

use crate::{output::Format, plan::Via, top::SortKey};

/// Finds the freezes that fsnotify causes in directories with millions of cached dentries.
#[derive(Debug, Parser)]
#[command(name = "fslockup", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Say more on stderr: what the verifier said, what was tried.
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Report walks as they happen, until SIGINT or SIGTERM
    Run(RunArgs),
    /// Say what would work on this kernel, and what the kernel is exposed to
    ///
    /// Exit code 0: everything can be seen; 1: degraded; 2: cannot run.
    Check(CheckArgs),
    /// Judge a recording again
    Replay(ReplayArgs),
}

/// Options of every command that talks to the kernel.
#[derive(Debug, Args)]
pub struct KernelArgs {
    /// Type information of the running kernel, where /sys/kernel/btf/vmlinux has none
    #[arg(long, value_name = "FILE")]
    pub btf: Option<PathBuf>,
    /// Use only targets of one kind, to try the others where the first would do
    #[arg(long, value_name = "KIND", hide = true)]
    pub force_target: Option<Via>,
    /// See the exact end of contended holds where the kernel has it (7.3), which makes every unlock
    /// of this host slower
    #[arg(long, hide = true)]
    pub exact_release: bool,
}

/// Options of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// What the kernel is asked with.
    #[command(flatten)]
    pub kernel: KernelArgs,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Report walks from this length on
    #[arg(long, value_name = "TIME", default_value = "10ms", value_parser = duration, allow_hyphen_values = true)]
    pub walk_threshold: Duration,
    /// A walk of this length, or a shorter one that did as much damage, is an incident
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = duration, allow_hyphen_values = true)]
    pub incident_threshold: Duration,
    /// Look at waits for spinlocks from this length on
    #[arg(long, value_name = "TIME", default_value = "1ms", value_parser = duration, allow_hyphen_values = true)]
    pub wait_threshold: Duration,
    /// Look at tasks that were kept from running for this long or longer
    #[arg(long, value_name = "TIME", default_value = "10ms", value_parser = duration, allow_hyphen_values = true)]
    pub stall_threshold: Duration,
    /// Size of the ring buffer, a power of two of at least a page
    #[arg(long, value_name = "BYTES", hide = true)]
    pub ring_bytes: Option<u32>,
    /// How often the map of running walks is read
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = duration, allow_hyphen_values = true, hide = true)]
    pub poll_period: Duration,
    /// Stop after this time
    #[arg(long, value_name = "TIME", value_parser = duration, allow_hyphen_values = true)]
    pub duration: Option<Duration>,
    /// Keep facts and raw records in this file, for `fslockup replay`
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
}

/// Options of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// What the kernel is asked with.
    #[command(flatten)]
    pub kernel: KernelArgs,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Options of `top`.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// What the kernel is asked with.
    #[command(flatten)]
    pub kernel: KernelArgs,
    /// What the list is sorted by
    #[arg(long, value_name = "KEY", value_enum, default_value_t)]
    pub sort: SortKey,
    /// Print one list after one period, and end
    #[arg(long)]
    pub once: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Time between two readings
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration, allow_hyphen_values = true)]
    pub period: Duration,
    /// Directories shown at most
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: usize,
    /// Stop after this time
    #[arg(long, value_name = "TIME", value_parser = duration, allow_hyphen_values = true)]
    pub duration: Option<Duration>,
}

/// Options of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// A file that `fslockup run --record` wrote
    pub file: PathBuf,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration > Duration::from_secs(u64::from(u32::MAX)) {
        return Err("longer than 136 years".to_owned());
    }
    Ok(duration)
}

/// Parses the command line. A mistake becomes one line on stderr: clap explains itself over several
/// paragraphs, of which the first names the mistake.
///
/// # Errors
/// The exit code to end with: 0 after `--help` and `--version`, 2 after a mistake.
pub fn parse<T: Parser>() -> Result<T, u8> {
    T::try_parse().map_err(|error| {
        if !error.use_stderr() {
            // A closed output is no reason to complain.
            let _ = error.print();
            return 0;
        }
        let text = error.to_string();
        let first = text.split("\n\n").next().unwrap_or_default();
        let line = first.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        let name = T::command().get_name().to_owned();
        eprintln!(
            "{name}: {} (see {name} --help)",
            line.trim_start_matches("error: ")
        );
        2
    })
}
