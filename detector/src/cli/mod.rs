//! What the user typed, or wrote into the configuration file.

pub mod config;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};

use fslockup_ebpf::COMM_BYTES;

use crate::{
    cli::config::Config, directories::list::SortKey, escape::until_nul, logging, model::Limits,
    output::Format, plan::Via,
};

/// A directory with fewer cached children can't freeze anything; there are very many of these.
const PRODUCER_CHILDREN_MIN: u32 = 32;

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
    Run(Box<RunArgs>),
    /// Say what would work on this kernel, and what the kernel is exposed to
    ///
    /// Exit code 0: everything can be seen; 1: degraded; 2: cannot run.
    Check(CheckArgs),
    /// Count the cached children of directories, and say how long a watch would freeze the host
    ///
    /// Exit code 2 if one of them can't be counted.
    Census(CensusArgs),
    /// Show which directories would freeze this host if somebody watched them now
    ///
    /// Children in the cache, how long a walk over them would take, who watches them already, and who
    /// makes them. Keys on a terminal: p, c, n, m sort by predicted freeze, children, negative ones, made
    /// a second; q quits. Ends with exit code 0; with 2 if it could not run.
    Top(TopArgs),
    /// Judge a recording again
    Replay(ReplayArgs),
    /// List and show the incidents in a state directory, and how its runs ended
    ///
    /// It needs no root but the right to read the directory, and may be used while `run` writes there. As
    /// text and JSON it shows all of them, as HTML and Perfetto the latest. Exit code 2 if there is
    /// nothing to read.
    Report(ReportArgs),
    /// Show each dentry that is made or removed, as it happens, until SIGINT or SIGTERM
    ///
    /// Made negative: a lookup found nothing. Made positive: it found something. Filled: something was
    /// created under a negative dentry. Emptied: it was deleted, and a negative dentry stays. Removed:
    /// the dentry left the cache. A rename is not shown. Its programs are in the kernel only while it
    /// runs. Ends with exit code 0 and a summary; with 2 if it could not run.
    Trace(TraceArgs),
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

/// Which configuration file.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// Read options of `run` from this file; those on the command line win [default:
    /// /etc/fslockup.toml where it exists]
    #[arg(long, value_name = "FILE", conflicts_with = "no_config")]
    pub config: Option<PathBuf>,
    /// Read no configuration file
    #[arg(long)]
    pub no_config: bool,
}

/// Options of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// What the kernel is asked with.
    #[command(flatten)]
    pub kernel: KernelArgs,
    /// Which configuration file.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// What that file says. All of it is in the other fields, too.
    #[arg(skip)]
    pub file: Config,
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
    /// Count who changes the children of a directory from this many references to it on
    #[arg(long, value_name = "COUNT", default_value_t = PRODUCER_CHILDREN_MIN, hide = true)]
    pub producer_children_min: u32,
    /// Size of the ring buffer, a power of two of at least a page
    #[arg(long, value_name = "BYTES", hide = true)]
    pub ring_bytes: Option<u32>,
    /// How often the map of running walks is read
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = duration, allow_hyphen_values = true, hide = true)]
    pub poll_period: Duration,
    /// Tell of this many incidents in a minute, and of twice as many walks; what is above is counted and
    /// said once a minute, and the worst is always told. 0: no limit
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub incidents_per_minute: u32,
    /// Of one directory, at most this many of them
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub incidents_per_directory: u32,
    /// What programs and detector may take of one CPU. Where it is more, the dearest of the probes that
    /// refine are detached for a while. 0: no limit
    #[arg(long, value_name = "PERCENT", default_value = "10%", value_parser = cpu_share, allow_hyphen_values = true)]
    pub cpu_budget: CpuShare,
    /// Time between two looks at what they take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration, allow_hyphen_values = true, hide = true)]
    pub budget_period: Duration,
    /// Stop after this time
    #[arg(long, value_name = "TIME", value_parser = duration, allow_hyphen_values = true)]
    pub duration: Option<Duration>,
    /// Keep facts and raw records in this file, for `fslockup replay`
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Serve metrics for Prometheus at this address, on /metrics: 127.0.0.1:9435, or a port alone for
    /// this host only
    #[arg(long, value_name = "ADDR", value_parser = metrics_address)]
    pub metrics: Option<SocketAddr>,
    /// How often what metrics tell of the host is read
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration, allow_hyphen_values = true, hide = true)]
    pub metrics_period: Duration,
    /// What is kept of incidents, for `fslockup report`
    #[command(flatten)]
    pub state: StateArgs,
}

/// Where `run` keeps what must not be lost.
#[derive(Debug, Args)]
pub struct StateArgs {
    /// Keep incidents and running walks in this directory, which is made if it is missing
    ///
    /// With it all memory of the process is locked.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Most space that they take, 2 MiB or more; the oldest go first
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20, value_parser = clap::value_parser!(u64).range(2 << 20..))]
    pub state_bytes: u64,
    /// How long they are kept at most; what is older goes when the next file begins
    #[arg(long, value_name = "TIME", default_value = "90days", value_parser = duration, allow_hyphen_values = true)]
    pub state_age: Duration,
}

impl RunArgs {
    /// How much is told in a minute; none: all of it.
    #[must_use]
    pub fn limits(&self) -> Option<Limits> {
        (self.incidents_per_minute > 0).then_some(Limits {
            per_directory: self.incidents_per_directory,
            per_host: self.incidents_per_minute,
        })
    }
}

/// Options of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// What the kernel is asked with.
    #[command(flatten)]
    pub kernel: KernelArgs,
    /// Which configuration file: one that is wrong is exit code 2.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Look at the configuration file alone, on any machine and without root
    #[arg(long)]
    pub only_config: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Options of `census`.
#[derive(Debug, Args)]
pub struct CensusArgs {
    /// What the kernel is asked with.
    #[command(flatten)]
    pub kernel: KernelArgs,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Count each directory for this long at most, then estimate
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration, allow_hyphen_values = true)]
    pub deadline: Duration,
    /// The directories
    #[arg(value_name = "DIR", required = true)]
    pub dirs: Vec<PathBuf>,
}

/// Options of `trace`.
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// What the kernel is asked with.
    #[command(flatten)]
    pub kernel: KernelArgs,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Only children of this directory itself, not of those below it [default: everywhere]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Only by tasks of exactly this name, 15 bytes at most, as in /proc/PID/comm
    #[arg(long, value_name = "NAME", value_parser = comm)]
    pub comm: Option<Comm>,
    /// Only what is or becomes negative: made negative, emptied, removed negative
    #[arg(long)]
    pub negative: bool,
    /// Show this many in each second; what is above is counted and left out
    #[arg(long, value_name = "N/s", default_value = "1000", value_parser = rate, allow_hyphen_values = true)]
    pub rate: Rate,
    /// Stop after this time
    #[arg(long, value_name = "TIME", value_parser = duration, allow_hyphen_values = true)]
    pub duration: Option<Duration>,
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
    /// Directories with fewer references are not looked at
    #[arg(long, value_name = "N", default_value_t = PRODUCER_CHILDREN_MIN, hide = true)]
    pub producer_children_min: u32,
    /// Directories shown at most
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: usize,
    /// Stop after this time
    #[arg(long, value_name = "TIME", value_parser = duration, allow_hyphen_values = true)]
    pub duration: Option<Duration>,
}

/// The name of a task: 1 to 15 bytes, zeros behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comm([u8; COMM_BYTES]);

impl Comm {
    /// Without the zeros.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        until_nul(&self.0)
    }

    /// As the programs compare it.
    #[must_use]
    pub fn words(&self) -> [u64; 2] {
        let (words, _) = self.0.as_chunks();
        [0, 1].map(|index| u64::from_ne_bytes(words[index]))
    }
}

fn comm(text: &str) -> Result<Comm, String> {
    let bytes = text.as_bytes();
    if bytes.is_empty() {
        return Err("no task has an empty name".to_owned());
    }
    let mut comm = [0; COMM_BYTES];
    if bytes.len() >= comm.len() {
        return Err(format!(
            "longer than {} bytes, as no task's name is",
            comm.len() - 1
        ));
    }
    comm[..bytes.len()].copy_from_slice(bytes);
    Ok(Comm(comm))
}

/// Millionths of one CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuShare(pub u64);

/// Percent with up to four digits behind the point.
fn cpu_share(text: &str) -> Result<CpuShare, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || part.len() > 4 {
        return Err("a share of one CPU in percent, like 0.5%".to_owned());
    }
    // One percent is 10,000 millionths: as many as four digits count.
    let ppm = format!("{whole}{part:0<4}");
    ppm.parse()
        .map(CpuShare)
        .map_err(|error| format!("{error}: a share of one CPU in percent, like 0.5%"))
}

/// Lines in one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub u32);

fn rate(text: &str) -> Result<Rate, String> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    match number.parse() {
        Ok(0) => Err("nothing would be shown".to_owned()),
        Ok(rate) => Ok(Rate(rate)),
        Err(error) => Err(format!(
            "{error}: a number of lines in a second, like 200/s"
        )),
    }
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

/// Options of `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The directory that `fslockup run --state-dir` writes to
    #[arg(long, value_name = "DIR", default_value = "/var/lib/fslockup")]
    pub state_dir: PathBuf,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: ReportFormat,
    /// Only the incident of this name, or those whose name starts so
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// Write to this file [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// How `report` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ReportFormat {
    /// For people: a table, or with --id the incident as `run` printed it.
    #[default]
    Text,
    /// For programs: the lines of the incidents, then one about the runs.
    Json,
    /// A page with a timeline for each incident, which needs nothing besides itself.
    Html,
    /// Trace events (JSON) for Perfetto and other viewers.
    Perfetto,
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration > Duration::from_secs(u64::from(u32::MAX)) {
        return Err("longer than 136 years".to_owned());
    }
    Ok(duration)
}

/// An address and a port in figures: names are not looked up. A port without an address is one of
/// the loopback.
fn metrics_address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text);
    let address = port.parse().map_or_else(
        |_| text.parse(),
        |port| Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
    );
    match address {
        Ok(address) if address.port() == 0 => Err("port 0 is none".to_owned()),
        Ok(address) => Ok(address),
        Err(_) => {
            Err("an address with a port, like 127.0.0.1:9435 or [::1]:9435, or a port".into())
        }
    }
}

/// Parses the command line. A mistake becomes one line on stderr.
///
/// # Errors
/// The exit code to end with: 0 after `--help` and `--version`, 2 after a mistake.
pub fn parse<T: Parser>() -> Result<T, u8> {
    T::try_parse().map_err(|error| refuse(T::command().get_name(), &error))
}

/// Tells of a mistake in one line, or gives the help that was asked for. The exit code to end with.
#[must_use]
pub fn refuse(name: &str, error: &clap::Error) -> u8 {
    if !error.use_stderr() {
        // A closed output is no reason to complain.
        let _ = error.print();
        return 0;
    }
    let mistake = first_line(error);
    logging::complain(name, format_args!("{mistake} (see {name} --help)"));
    2
}

/// What clap says over several paragraphs, of which the first names the mistake, in one line.
#[must_use]
pub fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let line = first.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    line.trim_start_matches("error: ").to_owned()
}

/// A length of time as the programs take it; the longest there is where it has no room.
#[must_use]
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_with_and_without_their_unit() {
        assert_eq!(rate("200"), Ok(Rate(200)));
        assert_eq!(rate("200/s"), Ok(Rate(200)));
        assert_eq!(rate("4294967295/s"), Ok(Rate(u32::MAX)));
        for bad in ["", "/s", "0", "-1", "1/m", "1.5", "4294967296", "1 /s"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_port_alone_is_one_of_the_loopback() {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 9435));
        for text in ["9435", ":9435", "127.0.0.1:9435"] {
            assert_eq!(metrics_address(text), Ok(loopback), "{text}");
        }
        let all = metrics_address("0.0.0.0:80").expect("all addresses");
        assert!(all.ip().is_unspecified());
        assert!(metrics_address("[::1]:80").is_ok());
        for bad in [
            "",
            ":",
            "0",
            "65536",
            "-1",
            "localhost:9435",
            "::1",
            "127.0.0.1",
        ] {
            assert!(metrics_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn shares_of_a_cpu_are_percent() {
        for (text, ppm) in [
            ("1%", 10_000),
            ("10", 100_000),
            ("0.5%", 5_000),
            ("0.0001%", 1),
            ("0", 0),
            ("400%", 4_000_000),
        ] {
            assert_eq!(cpu_share(text), Ok(CpuShare(ppm)), "{text}");
        }
        for bad in [
            "",
            "%",
            "-1%",
            "1.%",
            ".5",
            "1.00001",
            "1e3",
            "1 %",
            "+1",
            "99999999999999999",
        ] {
            assert!(cpu_share(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_of_tasks_have_1_to_15_bytes() {
        let found = comm("fifteen bytes..").expect("as long as a name can be");
        assert_eq!(found.bytes(), b"fifteen bytes..");
        assert_eq!(comm("a").expect("short").words(), [u64::from(b'a'), 0]);
        assert!(comm("").is_err());
        assert!(comm("sixteen bytes...").is_err());
    }
}
