//! What the unit's settings have become in the running process: asked of the kernel, not of systemd.

use std::fs;

use anyhow::Context as _;
use caps::Capability;

use super::{
    checks::Checks,
    systemd::{call, property, status},
};

/// Users that systemd makes up for `DynamicUser=` (systemd.exec(5)).
const DYNAMIC_USERS: std::ops::RangeInclusive<u32> = 61184..=65519;

/// `systemd-analyze security` of systemd 252; docs/service.md has the figure of today.
const EXPOSURE_MAX: f64 = 3.4;

/// Used at any moment once it is attached.
const EFFECTIVE: [Capability; 2] = [Capability::CAP_SYS_PTRACE, Capability::CAP_DAC_READ_SEARCH];
/// Laid aside: raised for moments, to measure programs and to attach them again.
const ASIDE: [Capability; 3] = [
    Capability::CAP_BPF,
    Capability::CAP_PERFMON,
    Capability::CAP_SYS_ADMIN,
];
/// Needed until it is attached.
const AT_START: [Capability; 1] = [Capability::CAP_SYSLOG];

/// Checks the process of `unit`; its user.
pub fn check(checks: &mut Checks, unit: &str, pid: u32) -> anyhow::Result<u32> {
    settings(checks, unit)?;
    let uids = status(pid, "Uid")?;
    let uids: Vec<u32> = uids
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    checks.that(
        "all its user ids are one that systemd made up",
        uids.len() == 4
            && uids.iter().all(|uid| *uid == uids[0])
            && DYNAMIC_USERS.contains(&uids[0]),
        format!("{uids:?}"),
    );
    capabilities(checks, pid)?;
    checks.equal("NoNewPrivs", status(pid, "NoNewPrivs")?.as_str(), "1");
    checks.equal("Seccomp: a filter", status(pid, "Seccomp")?.as_str(), "2");
    let locked = status(pid, "VmLck")?;
    checks.that("its memory is locked", !locked.starts_with("0 "), &locked);
    mounts(checks, pid)?;
    limits(checks, unit)?;
    exposure(checks, unit)?;
    uids.first().copied().context("a user")
}

fn settings(checks: &mut Checks, unit: &str) -> anyhow::Result<()> {
    for (name, expected) in [
        ("Type", "notify"),
        ("WatchdogUSec", "2min"),
        ("Restart", "on-failure"),
        ("NRestarts", "0"),
        ("DynamicUser", "yes"),
        ("ProtectSystem", "strict"),
    ] {
        checks.equal(name, property(unit, name)?.as_str(), expected);
    }
    let ping = property(unit, "WatchdogTimestampMonotonic")?;
    checks.that("the watchdog was told", ping.parse::<u64>()? > 0, &ping);
    Ok(())
}

fn capabilities(checks: &mut Checks, pid: u32) -> anyhow::Result<()> {
    let mask = |lists: &[&[Capability]]| -> u64 {
        let all = lists.iter().flat_map(|list| list.iter());
        all.map(Capability::bitmask).fold(0, |sum, bit| sum | bit)
    };
    for (name, expected) in [
        ("CapEff", mask(&[&EFFECTIVE])),
        ("CapPrm", mask(&[&EFFECTIVE, &ASIDE])),
        ("CapBnd", mask(&[&EFFECTIVE, &ASIDE, &AT_START])),
        ("CapInh", 0),
        ("CapAmb", 0),
    ] {
        let seen = u64::from_str_radix(&status(pid, name)?, 16)?;
        checks.equal(name, format!("{seen:#x}"), format!("{expected:#x}"));
    }
    Ok(())
}

/// In its mount table the host is read-only, and its own directory is not.
fn mounts(checks: &mut Checks, pid: u32) -> anyhow::Result<()> {
    let table = fs::read_to_string(format!("/proc/{pid}/mountinfo"))?;
    // The fifth word is where, the sixth how (proc_pid_mountinfo(5)); the last one on a place counts.
    let how = |path: &str| {
        let mut lines = table
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>());
        let found = lines.rfind(|words| words.get(4) == Some(&path));
        found.and_then(|words| words.get(5).map(|how| (*how).to_owned()))
    };
    for (path, expected) in [
        ("/", "ro"),
        ("/proc/sys", "ro"),
        ("/sys", "ro"),
        ("/var/lib/private/fslockup", "rw"),
    ] {
        let how = how(path).unwrap_or_default();
        let is_so = how.split(',').next() == Some(expected);
        checks.that(format!("{path} is {expected}"), is_so, how);
    }
    Ok(())
}

/// The limits of its control group.
fn limits(checks: &mut Checks, unit: &str) -> anyhow::Result<()> {
    let group = property(unit, "ControlGroup")?;
    for (file, expected) in [
        ("memory.max", "134217728"),
        ("memory.swap.max", "0"),
        ("pids.max", "16"),
        ("cpu.max", "50000 100000"),
    ] {
        let path = format!("/sys/fs/cgroup{group}/{file}");
        let text = fs::read_to_string(&path).with_context(|| path.clone())?;
        checks.equal(file, text.trim(), expected);
    }
    Ok(())
}

fn exposure(checks: &mut Checks, unit: &str) -> anyhow::Result<()> {
    let text = call("systemd-analyze", &["--no-pager", "security", unit])?;
    let last = text.lines().last().context("no last line")?;
    let score = last
        .split_once(": ")
        .and_then(|(_, rest)| rest.split(' ').next());
    let score: f64 = score.context("a score")?.parse().context(last.to_owned())?;
    checks.that("systemd-analyze security", score <= EXPOSURE_MAX, last);
    checks.figure("exposure", score);
    Ok(())
}
