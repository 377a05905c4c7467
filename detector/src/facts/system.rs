//! Facts that the kernel gives through system calls and small files.

use std::fs;

use caps::CapSet;
use nix::sys::utsname;
use serde::{Deserialize, Serialize};

use super::{Answer, FactsError};

/// A capability that `fslockup` can use (capabilities(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Capability {
    /// Stands for the two below.
    CapSysAdmin,
    /// Loading programs, making maps (Linux 5.8).
    CapBpf,
    /// Attaching programs to kernel functions (Linux 5.8).
    CapPerfmon,
    /// Raising RLIMIT_MEMLOCK, which maps count against before Linux 5.11.
    CapSysResource,
    /// Reading the kernel log and symbol addresses.
    CapSyslog,
}

impl Capability {
    const ALL: [(Self, caps::Capability); 5] = [
        (Self::CapSysAdmin, caps::Capability::CAP_SYS_ADMIN),
        (Self::CapBpf, caps::Capability::CAP_BPF),
        (Self::CapPerfmon, caps::Capability::CAP_PERFMON),
        (Self::CapSysResource, caps::Capability::CAP_SYS_RESOURCE),
        (Self::CapSyslog, caps::Capability::CAP_SYSLOG),
    ];

    /// As capabilities(7) spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CapSysAdmin => "CAP_SYS_ADMIN",
            Self::CapBpf => "CAP_BPF",
            Self::CapPerfmon => "CAP_PERFMON",
            Self::CapSysResource => "CAP_SYS_RESOURCE",
            Self::CapSyslog => "CAP_SYSLOG",
        }
    }
}

pub(super) struct Uname {
    pub host: String,
    pub release: String,
    pub version: String,
    pub machine: String,
}

pub(super) fn uname() -> Result<Uname, FactsError> {
    let uname = utsname::uname().map_err(|errno| FactsError::System {
        what: "uname",
        source: errno.into(),
    })?;
    let text = |field: &std::ffi::OsStr| field.to_string_lossy().into_owned();
    Ok(Uname {
        host: text(uname.nodename()),
        release: text(uname.release()),
        version: text(uname.version()),
        machine: text(uname.machine()),
    })
}

pub(super) fn effective_capabilities() -> Vec<Capability> {
    let effective = caps::read(None, CapSet::Effective).unwrap_or_default();
    Capability::ALL
        .iter()
        .filter(|(_, capability)| effective.contains(capability))
        .map(|(name, _)| *name)
        .collect()
}

/// The kernel's log, one record a read (Documentation/ABI/testing/dev-kmsg).
pub const KERNEL_LOG: &str = "/dev/kmsg";

pub(super) fn may_read_kernel_log() -> Answer {
    match fs::File::open(KERNEL_LOG) {
        Ok(_) => Answer::Yes,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Answer::No,
        Err(error) => Answer::Unknown(format!("{KERNEL_LOG}: {error}")),
    }
}

/// What the link says in the namespace that programs number tasks in (`PROC_PID_INIT_INO`, linux/proc_ns.h).
const INITIAL_PIDS: &str = "pid:[4026531836]";

pub(super) fn sees_host_pids() -> Answer {
    let path = "/proc/self/ns/pid";
    match fs::read_link(path) {
        Ok(namespace) => Answer::of(namespace.as_os_str() == INITIAL_PIDS),
        Err(error) => Answer::Unknown(format!("{path}: {error}")),
    }
}

const LOCKDOWN: &str = "/sys/kernel/security/lockdown";

pub(super) fn lockdown() -> Option<String> {
    parse_lockdown(&fs::read_to_string(LOCKDOWN).ok()?)
}

/// The chosen mode is the one in brackets: `none [integrity] confidentiality`.
fn parse_lockdown(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    Some(rest.split_once(']')?.0.to_owned())
}

pub(super) fn perf_event_paranoid() -> Option<i32> {
    let text = fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").ok()?;
    text.trim().parse().ok()
}

/// `/proc/sys/fs/dentry-state` (proc_sys_fs(5); the last field since af0c9af1b3f6, 5.0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DentryState {
    /// Dentries in the kernel's cache.
    pub dentries_count: i64,
    /// Those in no use.
    pub unused_count: i64,
    /// Negative ones among the unused.
    pub negative_count: i64,
}

impl DentryState {
    /// Reads it; `None` where it isn't as expected.
    #[must_use]
    pub fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/sys/fs/dentry-state").ok()?)
    }

    /// How much of the cache is negative, in percent of all dentries, rounded down; none where there
    /// are no sensible figures. The kernel sums counters of its CPUs without a lock, so a sum can be
    /// off by a few.
    #[must_use]
    pub fn negative_percent(&self) -> Option<u8> {
        let dentries = u128::try_from(self.dentries_count)
            .ok()
            .filter(|n| *n > 0)?;
        let negative = u128::try_from(self.negative_count).ok()?;
        u8::try_from((negative * 100 / dentries).min(100)).ok()
    }

    /// From the file's text; `None` where it isn't as expected.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fields: Vec<i64> = text
            .split_ascii_whitespace()
            .map_while(|word| word.parse().ok())
            .collect();
        let [
            dentries_count,
            unused_count,
            _age_limit,
            _want_pages,
            negative_count,
            ..,
        ] = fields[..]
        else {
            return None;
        };
        Some(Self {
            dentries_count,
            unused_count,
            negative_count,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lockdown_mode_is_the_one_in_brackets() {
        assert_eq!(
            parse_lockdown("none [integrity] confidentiality\n").as_deref(),
            Some("integrity")
        );
        assert_eq!(parse_lockdown("nonsense"), None);
    }

    #[test]
    fn dentry_state_has_five_fields_or_is_unknown() {
        let state = DentryState::parse("73021\t58324\t45\t0\t40100\t0\n").expect("whole");
        assert_eq!(
            (state.dentries_count, state.negative_count),
            (73_021, 40_100)
        );
        assert_eq!(state.negative_percent(), Some(54));
        assert_eq!(DentryState::parse("1 2 3 4"), None);
        assert_eq!(DentryState::parse("1 2 x 4 5 6"), None);
    }
    #[test]
    fn a_share_of_odd_figures_is_none() {
        let share = |text| DentryState::parse(text).and_then(|state| state.negative_percent());
        assert_eq!(share("0 0 45 0 0 0"), None);
        assert_eq!(share("-3 0 45 0 0 0"), None);
        assert_eq!(share("10 0 45 0 -1 0"), None);
        assert_eq!(share("10 0 45 0 12 0"), Some(100));
    }
}
