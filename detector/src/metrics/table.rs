//! Every metric with its name, kind, unit, labels and meaning: what is exported, and docs/metrics.md.

use prometheus_client::{metrics::MetricType, registry::Unit};

/// What every name begins with.
pub const PREFIX: &str = "fslockup";

/// A metric as it is described. Units are base units: seconds, bytes.
#[derive(Debug)]
pub struct Metric {
    /// Without prefix, unit and the suffixes that its kind adds.
    pub name: &'static str,
    /// What it counts in; none for a number of things.
    pub unit: Option<Unit>,
    /// Its kind.
    pub kind: MetricType,
    /// Label names.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

impl Metric {
    /// The name with prefix and unit, and with `_total` or `_info` where its samples have that.
    #[must_use]
    pub fn full_name(&self) -> String {
        let unit = self.unit.as_ref().map(Unit::as_str);
        let suffix = match self.kind {
            MetricType::Counter => Some("total"),
            MetricType::Info => Some("info"),
            _ => None,
        };
        let parts = [Some(PREFIX), Some(self.name), unit, suffix];
        parts.into_iter().flatten().collect::<Vec<_>>().join("_")
    }
}

macro_rules! metrics {
    ($($id:ident: $kind:ident $name:literal $unit:expr, [$($label:literal),*], $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $id: Metric = Metric {
                name: $name,
                unit: $unit,
                kind: MetricType::$kind,
                labels: &[$($label),*],
                help: $help,
            };
        )*

        /// All of them, in the order in which they are exported.
        pub const METRICS: &[Metric] = &[$($id),*];
    };
}

metrics! {
    BUILD: Info "build" None, ["version"], "The detector that is running.";
    START: Gauge "start_time" Some(Unit::Seconds), [], "When everything was attached, in seconds since 1970.";
    DEGRADED: Gauge "degraded" None, [],
        "1 if a probe is missing, replaced or does not see everything (`fslockup check` says which and why), or is away to keep the CPU budget; 0 if none is.";
    PROBE_ATTACHED: Gauge "probe_attached" None, ["probe"],
        "1 if the probe is attached, 0 if this kernel has no place for it or refused it.";
    PROBE_DEGRADED: Gauge "probe_degraded" None, ["probe"],
        "1 if the probe is missing, or attached at another place than the one preferred, or does not see everything.";
    PROBES_DETACHED: Gauge "probes_detached" None, ["group"],
        "1 while these probes are away because programs and detector took more than the CPU budget, 0 otherwise.";

    WALKS: Counter "walks" None, [], "Walks that ended, of any length.";
    WALK: Histogram "walk" Some(Unit::Seconds), [], "Length of the walks that were over the walk threshold.";
    INCIDENTS: Counter "incidents" None, ["severity"], "Incidents.";
    WAIT: Histogram "wait" Some(Unit::Seconds), ["lock"],
        "How long tasks waited for a lock of a walked directory, in incidents.";
    HOLD: Histogram "hold" Some(Unit::Seconds), ["lock"],
        "How long a lock of a walked directory was held, by the walker or by one who had waited, in incidents.";
    STALL: Histogram "stall" Some(Unit::Seconds), [],
        "How long tasks were kept from running behind a walk or a wait for its locks, in incidents.";
    SYSCALL: Histogram "slow_syscall" Some(Unit::Seconds), [],
        "Length of slow system calls that put a watch and that no incident tells of.";
    SUPPRESSED: Counter "suppressed" None, ["kind"],
        "Incidents, walks and slow system calls that were too many in a minute to be told one by one: no other figure but fslockup_walks_total has them.";

    DENTRIES: Gauge "dentries" None, ["state"],
        "Dentries in the kernel's cache: in use, or unused and positive or negative; the three add up to all.";
    CHILDREN: Gauge "directory_children" None, ["path", "device", "inode"],
        "Cached children of the directories with the longest predicted freeze.";
    NEGATIVE: Gauge "directory_negative_children" None, ["path", "device", "inode"],
        "Those of them that are negative, where they were counted.";
    PREDICTED: Gauge "directory_predicted_freeze" Some(Unit::Seconds), ["path", "device", "inode"],
        "How long a walk over the directory would take now.";

    LOST: Counter "lost" None, ["reason"], "What the kernel side could not tell.";
    BAD_RECORDS: Counter "bad_records" None, [], "Records that could not be decoded.";

    PROGRAM_RUNS: Counter "program_runs" None, ["program"],
        "Runs of an eBPF program during the time in which the kernel timed them.";
    PROGRAM_RUN: Counter "program_run" Some(Unit::Seconds), ["program"], "How long these runs took.";
    PROGRAM_SAMPLED: Counter "program_sampled" Some(Unit::Seconds), [],
        "Time in which the kernel timed the programs: a small share of all, for timing costs two looks at the clock a run.";
    CPU: Counter "cpu" Some(Unit::Seconds), [], "CPU time of the detector's own process, its programs in the kernel not included.";
    MEMORY: Gauge "resident_memory" Some(Unit::Bytes), [], "Resident memory of the detector's own process.";
    READ: Gauge "last_reading_time" Some(Unit::Seconds), [],
        "When dentries, directories, losses, CPU time and memory were last read, in seconds since 1970; never while a walk runs.";
}
