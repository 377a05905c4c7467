//! What a process is: `/proc` while it lives, the kernel's record of it afterwards.
//!
//! The record is of the moment when the process was first seen. Since then its id may have been given to
//! another one, which its start time shows, and it may have become another program by execve(2), which the
//! name of its program shows. So the name of the task is always the record's; the program is what `/proc`
//! says if its file has the name of the one in the record; the cgroup is the one whose id is in the record.

use std::{collections::HashMap, io};

use super::{cgroups::Cgroups, proc::Proc};
use crate::{
    clock,
    mounts::{self, Mounts},
    producers::{
        Identity,
        identity::{cgroup_path, from_cgroup_path},
    },
};

/// What a record says of a process.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'a> {
    /// Process id in the initial namespace.
    pub pid: u32,
    /// When, CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// The task's name.
    pub comm: &'a [u8],
    /// Id of its cgroup in the version 2 hierarchy.
    pub cgroup_id: u64,
    /// Device of its program.
    pub exe_dev: u32,
    /// Names from the root of its file system to the program; none where they could not be read to the root.
    pub exe_names: Option<&'a [Vec<u8>]>,
}

/// Longest `/proc/PID/cgroup` read: a path has 4,095 bytes at most, version 1 has a dozen of them.
const CGROUP_BYTES_MAX: u64 = 64 << 10;

/// What was found of a process holds for as long for the same record: `find` changes a thousand directories a second.
const RECENT_NS: u64 = 2_000_000_000;
/// Processes whose identity is remembered.
const RECENT_MAX: usize = 1_024;

/// Finds out what processes are.
#[derive(Debug)]
pub struct Identities {
    proc: Proc,
    sees_host_pids: bool,
    cgroups: Option<Cgroups>,
    recent: HashMap<u32, Recent>,
}

/// What was found, and from what.
#[derive(Debug)]
struct Recent {
    at_ns: u64,
    comm: Vec<u8>,
    cgroup_id: u64,
    exe_dev: u32,
    exe_names: Option<Vec<Vec<u8>>>,
    identity: Identity,
}

impl Recent {
    /// Another process with the same id would be one more of the same program in the same cgroup.
    fn is_of(&self, recorded: &Recorded<'_>) -> bool {
        recorded.at_ns.abs_diff(self.at_ns) < RECENT_NS
            && self.comm == recorded.comm
            && self.cgroup_id == recorded.cgroup_id
            && self.exe_dev == recorded.exe_dev
            && self.exe_names.as_deref() == recorded.exe_names
    }
}

impl Identities {
    /// Opens what is needed. Without a version 2 hierarchy only `/proc` has cgroups. Where processes have other ids here
    /// (not `sees_host_pids`), `/proc` is about others and is not read.
    pub fn new(sees_host_pids: bool) -> io::Result<Self> {
        let proc = Proc::new()?;
        let cgroups = Cgroups::new(&proc);
        Ok(Self {
            proc,
            sees_host_pids,
            cgroups,
            recent: HashMap::new(),
        })
    }

    /// `/proc`, for others who read it.
    #[must_use]
    pub fn proc(&self) -> &Proc {
        &self.proc
    }

    /// What the process is, or was.
    pub fn resolve(&mut self, recorded: &Recorded<'_>, mounts: &Mounts) -> Identity {
        if let Some(recent) = self.recent.get(&recorded.pid)
            && recent.is_of(recorded)
        {
            return recent.identity.clone();
        }
        let identity = self.look_up(recorded, mounts);
        if self.recent.len() >= RECENT_MAX {
            self.recent.clear();
        }
        let recent = Recent {
            at_ns: recorded.at_ns,
            comm: recorded.comm.to_vec(),
            cgroup_id: recorded.cgroup_id,
            exe_dev: recorded.exe_dev,
            exe_names: recorded.exe_names.map(<[_]>::to_vec),
            identity: identity.clone(),
        };
        self.recent.insert(recorded.pid, recent);
        identity
    }

    fn look_up(&mut self, recorded: &Recorded<'_>, mounts: &Mounts) -> Identity {
        let is_alive = self.sees_host_pids && self.is_alive(recorded.pid, recorded.at_ns);
        let cgroup = self.cgroup(recorded, is_alive);
        let (unit, container) = from_cgroup_path(cgroup.as_deref().unwrap_or_default());
        Identity {
            comm: recorded.comm.to_vec(),
            exe: self.exe(recorded, is_alive, mounts),
            cgroup,
            unit,
            container,
        }
    }

    /// The process that had this id at that time (CLOCK_MONOTONIC) still runs, or it can't be told.
    #[must_use]
    pub fn is_alive(&self, pid: u32, at_ns: u64) -> bool {
        if !self.sees_host_pids {
            return true;
        }
        let stat = self.proc.read(&format!("{pid}/stat"), 4096);
        stat.and_then(|stat| Stat::parse(&stat))
            .is_some_and(|stat| !stat.has_exited && stat.start_ns <= boot_ns(at_ns))
    }

    fn cgroup(&mut self, recorded: &Recorded<'_>, is_alive: bool) -> Option<Vec<u8>> {
        let proc = &self.proc;
        let by_id = self
            .cgroups
            .as_mut()
            .and_then(|cgroups| cgroups.path(proc, recorded.cgroup_id));
        // In the root of version 2 are all processes of a host that uses version 1.
        if by_id.as_deref().is_some_and(|path| path != b"/") || !is_alive {
            return by_id;
        }
        let text = proc.read(&format!("{}/cgroup", recorded.pid), CGROUP_BYTES_MAX);
        text.and_then(|text| cgroup_path(&text)).or(by_id)
    }

    fn exe(&self, recorded: &Recorded<'_>, is_alive: bool, mounts: &Mounts) -> Option<Vec<u8>> {
        let now = is_alive
            .then(|| self.proc.link(&format!("{}/exe", recorded.pid)))
            .flatten()
            .map(without_deleted);
        let Some(names) = recorded.exe_names else {
            return now;
        };
        let file_name = |path: &Vec<u8>| {
            path.rsplit(|byte| *byte == b'/').next() == names.last().map(Vec::as_slice)
        };
        now.filter(file_name).or_else(|| {
            let on_host = mounts.resolve(recorded.exe_dev, names);
            // In a container's own file system no mount of ours shows it: `/proc` would say the same then.
            on_host.or_else(|| (!names.is_empty()).then(|| mounts::join(b"", names)))
        })
    }
}

/// Links to files that are gone end in this (proc_pid_exe(5)); the program was there when it was started.
fn without_deleted(mut path: Vec<u8>) -> Vec<u8> {
    if let Some(kept) = path.strip_suffix(b" (deleted)") {
        path.truncate(kept.len());
    }
    path
}

/// A moment of CLOCK_MONOTONIC on CLOCK_BOOTTIME. If the host slept since, too late by as much.
fn boot_ns(at_ns: u64) -> u64 {
    at_ns.saturating_add(clock::slept_ns())
}

/// `USER_HZ` of x86-64: the unit of times in `/proc/PID/stat`.
const TICK_NS: u64 = 10_000_000;

/// What is needed of `/proc/PID/stat` (proc_pid_stat(5)).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    /// A zombie whose other threads are gone, too.
    has_exited: bool,
    /// When it was started, CLOCK_BOOTTIME, rounded down to a tick.
    start_ns: u64,
}

impl Stat {
    fn parse(text: &[u8]) -> Option<Self> {
        // The name of the task may have spaces and parentheses in it; nothing behind it has.
        let name_end = text.iter().rposition(|byte| *byte == b')')?;
        let text = std::str::from_utf8(&text[name_end + 1..]).ok()?;
        // From the third field on.
        let fields: Vec<_> = text.split_ascii_whitespace().collect();
        let is_zombie = matches!(*fields.first()?, "Z" | "X");
        let threads_count: u64 = fields.get(17)?.parse().ok()?;
        let start_ticks: u64 = fields.get(19)?.parse().ok()?;
        Some(Self {
            has_exited: is_zombie && threads_count <= 1,
            start_ns: start_ticks.checked_mul(TICK_NS)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    fn own(at_ns: u64) -> Recorded<'static> {
        Recorded {
            pid: std::process::id(),
            at_ns,
            comm: b"recorded",
            cgroup_id: 0,
            exe_dev: 0,
            exe_names: None,
        }
    }

    fn identities() -> Identities {
        Identities::new(true).expect("/proc")
    }

    #[test]
    fn where_ids_are_others_proc_is_not_asked() {
        let now = own(clock::monotonic_ns());
        let mut identities = Identities::new(false).expect("/proc");
        let identity = identities.resolve(&now, &Mounts::default());
        assert_eq!((identity.exe, identity.cgroup), (None, None));
        assert!(identities.is_alive(u32::MAX, 1), "it can't be told");
    }

    #[test]
    fn a_living_process_is_what_proc_says() {
        let now = own(clock::monotonic_ns());
        let identity = identities().resolve(&now, &Mounts::default());
        let exe = std::env::current_exe().expect("a program");
        assert_eq!(identity.exe, Some(exe.into_os_string().into_vec()));
        assert_eq!(identity.comm, b"recorded");
        let cgroup = std::fs::read("/proc/self/cgroup").expect("readable");
        assert_eq!(identity.cgroup, cgroup_path(&cgroup));
    }

    #[test]
    fn another_process_under_its_id_is_not_it() {
        let before_we_were = own(1);
        let identities = &mut identities();
        assert!(!identities.is_alive(before_we_were.pid, 1));
        let identity = identities.resolve(&before_we_were, &Mounts::default());
        assert_eq!((identity.exe, identity.cgroup), (None, None));
    }

    #[test]
    fn a_vanished_process_is_what_its_record_says() {
        let names = [b"usr".to_vec(), b"bin".to_vec(), b"flood".to_vec()];
        let mounts = Mounts::parse(b"22 1 8:1 / /mnt rw - ext4 /dev/sda1 rw\n");
        let gone = |exe_dev| Recorded {
            pid: u32::MAX,
            exe_dev,
            exe_names: Some(&names),
            ..own(clock::monotonic_ns())
        };
        let exe = |exe_dev| identities().resolve(&gone(exe_dev), &mounts).exe;
        assert_eq!(
            exe(8 << 20 | 1).as_deref(),
            Some(b"/mnt/usr/bin/flood".as_slice())
        );
        assert_eq!(
            exe(77).as_deref(),
            Some(b"/usr/bin/flood".as_slice()),
            "a container's"
        );
        assert!(!identities().is_alive(u32::MAX, u64::MAX));
    }

    #[test]
    fn what_was_found_holds_for_a_moment_and_for_the_same_record_alone() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .expect("sleep");
        let at_ns = clock::monotonic_ns();
        let recorded = |at_ns, comm| Recorded {
            pid: child.id(),
            comm,
            ..own(at_ns)
        };
        let [first, later, other, late] = [
            recorded(at_ns, b"sleep".as_slice()),
            recorded(at_ns + RECENT_NS - 1, b"sleep"),
            recorded(at_ns, b"other"),
            recorded(at_ns + RECENT_NS, b"sleep"),
        ];
        let (mut identities, mounts) = (identities(), Mounts::default());
        let found = identities.resolve(&first, &mounts);
        assert!(found.exe.is_some());
        child.kill().expect("killed");
        child.wait().expect("gone");
        // Its program is not to be had any more, so this was not looked up again.
        assert_eq!(identities.resolve(&later, &mounts), found);
        assert_eq!(identities.resolve(&other, &mounts).exe, None);
        assert_eq!(identities.resolve(&late, &mounts).exe, None);
    }

    #[test]
    fn a_process_that_became_another_program_is_what_its_record_says() {
        let names = [b"before".to_vec()];
        let then = Recorded {
            exe_names: Some(&names),
            ..own(clock::monotonic_ns())
        };
        let identity = identities().resolve(&then, &Mounts::default());
        assert_eq!(identity.exe.as_deref(), Some(b"/before".as_slice()));
    }

    #[test]
    fn stat_is_read_behind_hostile_names() {
        let stat = |name: &str, state: &str, threads: u32| {
            let text = format!(
                "77 ({name}) {state} 1 77 77 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 {threads} 0 1234 0 0 18446744073709551615"
            );
            Stat::parse(text.as_bytes())
        };
        let parsed = |has_exited| {
            Some(Stat {
                has_exited,
                start_ns: 12_340_000_000,
            })
        };
        assert_eq!(stat("cat", "S", 1), parsed(false));
        assert_eq!(stat(") Z 0 (", "R", 1), parsed(false));
        assert_eq!(stat("gone", "Z", 1), parsed(true));
        assert_eq!(stat("its first thread has ended", "Z", 3), parsed(false));
        for broken in ["", "77 (cat", "77 (cat)", "77 (cat) S 1 2 3"] {
            assert_eq!(Stat::parse(broken.as_bytes()), None);
        }
        assert_eq!(Stat::parse(b"7 (\xff) \xff"), None);
    }

    #[test]
    fn a_deleted_program_keeps_its_path() {
        assert_eq!(without_deleted(b"/bin/x (deleted)".to_vec()), b"/bin/x");
        assert_eq!(without_deleted(b"/bin/x".to_vec()), b"/bin/x");
    }
}
