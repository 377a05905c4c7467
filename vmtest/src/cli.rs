//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    gate::SideWord,
    kernel::KernelWord,
    qemu::argv::Mode,
    report::Shard,
    vm::{accel::Choice, disk::FileSystem},
};

/// Boots real kernels in QEMU, runs programs and scenarios in them, and judges the results.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
pub struct Cli {
    /// Say more (-v: what is done; -vv: QEMU's command lines too).
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// The list of kernels, with its lock beside it [default: the one this program was built with].
    #[arg(long, global = true, value_name = "FILE")]
    pub kernels: Option<PathBuf>,
    /// Use nothing but the pinned packages of the kernels: one that has left the archive is a failure.
    /// [default: the newest package that matches is used instead, with a line that says so]
    #[arg(long, global = true)]
    pub locked: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the kernels or the scenarios.
    List(ListArgs),
    /// Download kernels, so that later runs need no network.
    Fetch(FetchArgs),
    /// Run scenarios on kernels. Exits 0 when all passed, 1 when one did not, 2 when nothing could
    /// be run.
    Run(RunArgs),
    /// Put the results of all shards of a run together. Exits as the whole run would have.
    Merge(MergeArgs),
    /// Print what images/durations.toml should be by the results of a run: how long each scenario takes, which
    /// guests are put in order by.
    Durations(DurationsArgs),
    /// May these kernels go to production? Runs the scenarios that are for every kernel, compares each
    /// candidate with the baseline and judges by rules. Exits 0 when all candidates passed, 1 when one
    /// failed, 2 when there was nothing to judge or too little was compared for a verdict.
    Gate(GateArgs),
    /// Run one program of this host in a guest and exit with its exit code (125: the guest failed,
    /// not the program).
    ///
    /// The program is looked for among the guest's own programs (--bin-dir), then on this host's
    /// PATH, and copied with its shared libraries; busybox's applets fill what names are left. Its
    /// standard input is empty. --fs or --disk give it a disk on /mnt/disk.
    Exec(ExecArgs),
    /// An interactive shell on a guest's console. Leave it with exit or Ctrl-D.
    Shell(ShellArgs),
    /// Remove from the cache what no kernel of the list and no scenario needs, and what killed runs left
    /// there and among the temporary files.
    Clean(CleanArgs),
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// What to list.
    pub what: Listed,
    /// How.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// The list of scenarios [default: the one this program was built with].
    #[arg(long, value_name = "FILE")]
    pub scenarios: Option<PathBuf>,
}

/// What can be listed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Listed {
    /// The kernels of the matrix.
    Kernels,
    /// The scenarios.
    Scenarios,
}

/// How a list is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
    /// A table for a README.
    Markdown,
}

/// Arguments of `durations`.
#[derive(Debug, Args)]
pub struct DurationsArgs {
    /// The results.json of a run of the whole matrix.
    #[arg(value_name = "RESULTS")]
    pub results: PathBuf,
}

/// Arguments of `fetch`.
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// Pin the newest packages that match the manifest, and write them to the lock. Exits 1 when there was
    /// something for some of the kernels only.
    #[arg(long, conflicts_with = "locked")]
    pub update: bool,
    /// The kernels [default: all but the optional ones; of --update: all].
    pub names: Vec<String>,
}

/// Arguments of `clean`.
#[derive(Debug, Args)]
pub struct CleanArgs {
    /// Remove all that vmtest keeps there, which costs the next run a download.
    #[arg(long)]
    pub all: bool,
    /// Only say what would go.
    #[arg(long)]
    pub dry_run: bool,
}

/// What the harness boots guests with: accelerator, programs, scenarios, and what goes with a kernel that is given as
/// a file. Shared by the commands that boot any.
#[derive(Debug, Args)]
pub struct HarnessArgs {
    /// What executes the guests: auto is KVM where it works, else emulation.
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    pub accel: Choice,
    /// Where the guest's own programs are [default: where vmtest is].
    #[arg(long, value_name = "DIR")]
    pub bin_dir: Option<PathBuf>,
    /// Modules (a lib/modules/RELEASE directory or a build tree) of a kernel that is given as a file.
    #[arg(long, value_name = "DIR")]
    pub modules: Option<PathBuf>,
    /// What a kernel that is given as a file is (rt, cloud, generic): scenarios that need a tag run on it if it has
    /// it; may be repeated [default: rt if its version says PREEMPT_RT, else generic].
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,
    /// The list of scenarios and of the guest's programs [default: the one this program was built
    /// with].
    #[arg(long, value_name = "FILE")]
    pub scenarios: Option<PathBuf>,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// A kernel: a name, a tag (lts, rt, generic) or a glob ('6.*') of the list, a vmlinuz, packages
    /// (.deb, .rpm, .pkg.tar.zst: FILE,FILE or a directory of one kernel's), a build tree, or host; may be
    /// repeated [default: all of the list but the optional ones].
    #[arg(long, value_name = "NAME|TAG|GLOB|PATH|host")]
    pub kernel: Vec<KernelWord>,
    /// A scenario; may be repeated [default: all].
    #[arg(long, value_name = "NAME")]
    pub scenario: Vec<String>,
    /// Only the scenarios that `gate` compares kernels by: those that show a property of a kernel and are not
    /// restricted to kernels by name. One that does not apply to a kernel is no failure.
    #[arg(long, conflicts_with = "scenario")]
    pub any_kernel: bool,
    /// Run only the i-th of n parts that take about equally long; `vmtest merge` puts the results
    /// together.
    #[arg(long, value_name = "i/n")]
    pub shard: Option<Shard>,
    /// How many guests run at once [default: one more than CPUs].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Where results go: results.json, junit.xml, summary.md, and the logs of each guest.
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub out: PathBuf,
    /// Run what did not pass once more, in a fresh guest after the same scenarios, where no more than N did not.
    /// What passes then is reported as flaky, with its first failure and that one's files. A panic, a hang of
    /// the guest's own and an unexpected report of the kernel fail the run all the same.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub repeat_failed: usize,
    /// Keep files and logs of what passed too: recordings, the kernel's log.
    #[arg(long)]
    pub keep_files: bool,
    /// What the harness boots guests with.
    #[command(flatten)]
    pub harness: HarnessArgs,
}

/// Arguments of `merge`.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// The directories that the shards wrote (`run --out`).
    #[arg(required = true, value_name = "DIR")]
    pub shards: Vec<PathBuf>,
    /// Where the whole goes, with copies of all that the shards left.
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub out: PathBuf,
}

/// Arguments of `gate`.
#[derive(Debug, Args)]
pub struct GateArgs {
    /// What is measured against: a kernel as for `run`, or the results.json of an earlier run or gate
    /// (with :KERNEL behind it where it has several).
    #[arg(long, value_name = "KERNEL|RESULTS")]
    pub baseline: SideWord,
    /// What is to be judged, in the same words; may be repeated.
    #[arg(long, required = true, value_name = "KERNEL|RESULTS")]
    pub candidate: Vec<SideWord>,
    /// A word for the command line of candidates that run here; may be repeated.
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    pub candidate_arg: Vec<String>,
    /// A scenario; may be repeated [default: all that show a property of the kernel and are not restricted to some
    /// kernels by name].
    #[arg(long, value_name = "NAME")]
    pub scenario: Vec<String>,
    /// Rules that differ from the defaults (images/gate.toml).
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// What is printed; all forms are written to --out.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: GateFormat,
    /// How many guests run at once [default: one more than CPUs].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Where all goes: gate.json, gate.xml, gate.tap, gate.txt, gate.md, gate.html, plots, and what `run`
    /// leaves.
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub out: PathBuf,
    /// Run what did not pass once more, as `run` does.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub repeat_failed: usize,
    /// What the harness boots guests with.
    #[command(flatten)]
    pub harness: HarnessArgs,
}

/// What `gate` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum GateFormat {
    /// For people.
    #[default]
    Text,
    /// gate.json
    Json,
    /// JUnit
    Junit,
    /// TAP 14
    Tap,
    /// Markdown
    Markdown,
}

/// The guest of `exec` and `shell`.
#[derive(Debug, Args)]
pub struct GuestArgs {
    /// The kernel: a name from the list, a vmlinuz, packages (.deb, .rpm, .pkg.tar.zst: FILE,FILE or a
    /// directory of one kernel's), a build tree, or host.
    #[arg(long, value_name = "NAME|PATH|host")]
    pub kernel: KernelWord,
    /// The disk's file system [default: none; ext4 with --disk].
    #[arg(long, value_name = "FS")]
    pub fs: Option<FsChoice>,
    /// The disk's size [default with --fs: 1G].
    #[arg(long, value_name = "SIZE", value_parser = crate::ui::size::parse_mib)]
    pub disk: Option<u64>,
    /// A root with systemd of this Debian suite instead of a disk; what is copied lies in /vmtest.
    #[arg(long, value_name = "SUITE", conflicts_with_all = ["fs", "disk"])]
    pub root: Option<String>,
    /// Virtual CPUs.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=255))]
    pub cpus: u32,
    /// Memory.
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = crate::ui::size::parse_mib)]
    pub memory: u64,
    /// How an emulated guest's time passes: multi is the host's clock, icount the instructions
    /// executed.
    #[arg(long, value_enum, default_value_t, value_name = "MODE")]
    pub mode: Mode,
    /// A word for the kernel's command line; may be repeated.
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    pub kernel_arg: Vec<String>,
    /// A kernel module to load; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub module: Vec<String>,
    /// Copy a file or directory into the guest; may be repeated.
    #[arg(long, value_name = "HOST:GUEST", value_parser = parse_copy)]
    pub copy: Vec<(PathBuf, String)>,
    /// What the harness boots guests with.
    #[command(flatten)]
    pub harness: HarnessArgs,
}

/// A file system, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FsChoice {
    /// ext4
    Ext4,
    /// XFS
    Xfs,
    /// btrfs
    Btrfs,
    /// no disk
    None,
}

impl FsChoice {
    /// The file system, if any.
    #[must_use]
    pub fn file_system(self) -> Option<FileSystem> {
        match self {
            Self::Ext4 => Some(FileSystem::Ext4),
            Self::Xfs => Some(FileSystem::Xfs),
            Self::Btrfs => Some(FileSystem::Btrfs),
            Self::None => None,
        }
    }
}

/// Arguments of `exec`.
#[derive(Debug, Args)]
pub struct ExecArgs {
    /// The guest.
    #[command(flatten)]
    pub guest: GuestArgs,
    /// The program is killed after this long, in the guest's time.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub time_limit: Duration,
    /// Where files that the program leaves in $VMTEST_OUT go, and the logs of a guest that failed.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// The program and its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    pub argv: Vec<String>,
}

/// Arguments of `shell`.
#[derive(Debug, Args)]
pub struct ShellArgs {
    /// The guest.
    #[command(flatten)]
    pub guest: GuestArgs,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration =
        humantime::parse_duration(text).map_err(|error| format!("{error} (write 30s or 2m)"))?;
    if duration.is_zero() {
        Err("must not be 0".to_owned())
    } else {
        Ok(duration)
    }
}

fn parse_copy(text: &str) -> Result<(PathBuf, String), String> {
    match text.rsplit_once(':') {
        Some((host, guest)) if !host.is_empty() && guest.starts_with('/') => {
            Ok((host.into(), guest.to_owned()))
        }
        _ => Err("write HOST:GUEST, with GUEST an absolute path".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_follows_the_dashes_is_the_program() {
        let cli = Cli::parse_from([
            "vmtest", "exec", "--kernel", "6.1", "--", "sh", "-c", "exit 7",
        ]);
        let Command::Exec(exec) = cli.command else {
            panic!("exec")
        };
        assert_eq!(exec.argv, ["sh", "-c", "exit 7"]);
        assert_eq!(exec.guest.memory, 1024);
    }

    #[test]
    fn copies_and_durations_are_checked() {
        assert_eq!(parse_copy("a:b:/c"), Ok(("a:b".into(), "/c".into())));
        assert!(parse_copy("a:c").is_err() && parse_copy(":/c").is_err());
        assert!(parse_duration("0s").is_err() && parse_duration("fast").is_err());
    }
}
