//! The story that it began with: something fills `/` with names that don't exist, systemd watches `/` for a
//! `.path` unit, and `systemctl daemon-reload` freezes the host.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use anyhow::Context as _;
use fslockup_tests::{Span, task};
use nix::sys::{inotify::AddWatchFlags, signal::Signal};
use serde_json::Value;

use crate::stage::{
    checks::{Checks, precise},
    detector::{self, Detector, nothing_lost},
    exposure, kernel,
    producers::{is_near, named},
    systemd::{call, wait_until_started},
};

/// Enough for some 20 ms under emulation.
const CHILDREN_COUNT: u64 = 200_000;

const OPTIONS: [&str; 4] = ["--walk-threshold", "1ms", "--incident-threshold", "1ms"];

const FLOODER: &str = "null-flooder.service";

const UNITS: &str = "/etc/systemd/system";
const PATH_UNIT: &str = "story.path";
const SERVICE: (&str, &str) = ("story.service", "[Service]\nExecStart=/bin/true\n");

/// systemd watches each parent of the path; of this one only `/` is there.
const ON_A_PARENT: &str = "PathExists=/some/file";
/// systemd watches the path itself for what happens to its files too.
const ON_ITSELF: &str = "PathChanged=/";

/// Of parent directories (`path_spec_watch` in src/core/path.c), before IN_ATTRIB was left out.
const MASK_OF_PARENTS: &str = "IN_ATTRIB|IN_MOVED_TO|IN_CREATE|IN_DELETE_SELF|IN_MOVE_SELF";

/// The same without it.
const MASK_OF_PARENTS_SINCE: &str = "IN_MOVED_TO|IN_CREATE|IN_DELETE_SELF|IN_MOVE_SELF";

/// Of what PathChanged= names (`flags_table` there).
const MASK_OF_ITSELF: &str = "IN_ATTRIB|IN_CLOSE_WRITE|IN_MOVED_FROM|IN_MOVED_TO|IN_CREATE|IN_DELETE|IN_DELETE_SELF|IN_MOVE_SELF";

/// IN_ACCESS to IN_OPEN: what can happen on a child (linux/inotify.h).
const ON_CHILDREN: u32 = 0x3f;

/// With systemd 247, which asks for IN_ATTRIB.
pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let mut story = Story::begin(checks)?;
    let reload = Reload::now()?;
    let wanted = events(MASK_OF_PARENTS)?;
    checks.that(
        "systemd watches / with IN_ATTRIB",
        reload.masks.contains(&wanted.bits()),
        reload.words(),
    );
    story.wait_for_incident_with("IN_ATTRIB")?;
    let lines = story.end(checks)?;
    let told = reload.incidents(&lines);
    checks.figure("incidents", precise(u64::try_from(told.len())?));
    let masks: Vec<_> = told.iter().map(|line| mask_of(line)).collect();
    checks.that(
        "a walk for that mask",
        masks.iter().any(|mask| events(mask).ok() == Some(wanted)),
        format!("{masks:?}"),
    );
    for incident in told {
        is_right(checks, incident, &reload)?;
    }
    Ok(())
}

/// With Debian 12's systemd 252: its updates leave IN_ATTRIB out (seen with 252.39).
pub fn debian_12(checks: &mut Checks) -> anyhow::Result<()> {
    without_attrib(checks, 252)
}

/// With Debian 13's systemd 257, which never had it.
pub fn debian_13(checks: &mut Checks) -> anyhow::Result<()> {
    without_attrib(checks, 257)
}

/// A parent directory is watched for nothing that happens on a child: what comes of it is the kernel's
/// matter. A unit's own path still is.
fn without_attrib(checks: &mut Checks, version_min: u32) -> anyhow::Result<()> {
    let mut story = Story::begin(checks)?;
    checks.that(
        "systemd is of that version",
        story.version >= version_min,
        story.version.to_string(),
    );
    let quiet = Reload::now()?;
    checks.that(
        "systemd watches / for nothing that happens on a child",
        !quiet.masks.is_empty() && quiet.masks.iter().all(|mask| mask & ON_CHILDREN == 0),
        quiet.words(),
    );
    is_in_danger(checks)?;
    write_path_unit(ON_ITSELF)?;
    let mut walking = Reload::now()?;
    // `/` is its own parent: what systemd asks for first it takes back as that.
    for mask in [MASK_OF_PARENTS_SINCE, MASK_OF_ITSELF] {
        walking.masks.push(events(mask)?.bits());
    }
    story.wait_for_incident_with("IN_CLOSE_WRITE")?;
    let walks_always = exposure::of_this_kernel()?.every_watch;
    let lines = story.end(checks)?;
    let told = quiet.incidents(&lines);
    checks.equal(
        "a mask without events on children walks where every watch does, and nowhere else",
        !told.is_empty(),
        walks_always,
    );
    for incident in told {
        is_right(checks, incident, &quiet)?;
    }
    let told = walking.incidents(&lines);
    let masks: Vec<_> = told.iter().map(|line| mask_of(line)).collect();
    let of_itself = events(MASK_OF_ITSELF)?;
    checks.that(
        "a walk for the mask of a unit's own path",
        masks
            .iter()
            .any(|mask| events(mask).ok() == Some(of_itself)),
        format!("{masks:?}"),
    );
    for incident in told {
        is_right(checks, incident, &walking)?;
    }
    Ok(())
}

struct Story {
    version: u32,
    detector: Detector,
}

impl Story {
    /// A `.path` unit is started, then the detector, then somebody fills `/`.
    fn begin(checks: &mut Checks) -> anyhow::Result<Self> {
        wait_until_started()?;
        let said = call("systemctl", &["--version"])?;
        let version = said.split_whitespace().nth(1).unwrap_or_default();
        let version = version.parse().with_context(|| said.clone())?;
        checks.figure("systemd_version", f64::from(version));
        let (name, text) = SERVICE;
        fs::write(Path::new(UNITS).join(name), text)?;
        write_path_unit(ON_A_PARENT)?;
        call("systemctl", &["daemon-reload"])?;
        call("systemctl", &["start", PATH_UNIT])?;
        let detector = Detector::start(&OPTIONS)?;
        let count = CHILDREN_COUNT.to_string();
        let unit = format!("--unit={FLOODER}");
        let flood = [
            "--quiet",
            // It is over when this returns; --wait would need a message bus.
            "--service-type=oneshot",
            "--collect",
            &unit,
            "/vmtest/bin/workload",
            "flood",
            "--dir",
            "/",
            "--count",
            &count,
        ];
        call("systemd-run", &flood)?;
        Ok(Self { version, detector })
    }

    /// The incident of a walk by process 1 for a mask with this event.
    fn wait_for_incident_with(&mut self, event: &str) -> anyhow::Result<()> {
        let is_it = |line: &Value| is_of_systemd(line) && mask_of(line).contains(event);
        self.detector
            .wait_for("incident of systemd", is_it)
            .map(drop)
    }

    /// What the detector said.
    fn end(self, checks: &mut Checks) -> anyhow::Result<Vec<Value>> {
        let ended = self.detector.end(Signal::SIGTERM)?;
        nothing_lost(checks, &ended);
        Ok(ended.lines)
    }
}

fn write_path_unit(what: &str) -> anyhow::Result<()> {
    let text = format!("[Path]\n{what}\nUnit={}\n", SERVICE.0);
    Ok(fs::write(Path::new(UNITS).join(PATH_UNIT), text)?)
}

/// A `systemctl daemon-reload`.
struct Reload {
    span: Span,
    /// What process 1 watched `/` for after it, as the kernel tells; and what it asked for and took back.
    masks: Vec<u32>,
}

impl Reload {
    fn now() -> anyhow::Result<Self> {
        let start_ns = task::monotonic_ns()?;
        call("systemctl", &["daemon-reload"])?;
        let end_ns = task::monotonic_ns()?;
        let span = Span { start_ns, end_ns };
        let masks = masks_on_root()?;
        Ok(Self { span, masks })
    }

    /// Incidents of process 1 that began in it.
    fn incidents<'a>(&self, lines: &'a [Value]) -> Vec<&'a Value> {
        let is_in = |line: &&Value| {
            let start_ns = line["walk"]["start_ns"].as_u64();
            start_ns.is_some_and(|at| (self.span.start_ns..self.span.end_ns).contains(&at))
        };
        lines
            .iter()
            .filter(|line| is_of_systemd(line))
            .filter(is_in)
            .collect()
    }

    fn words(&self) -> String {
        format!("{:x?}", self.masks)
    }
}

/// The events of a mask in words.
fn events(mask: &str) -> anyhow::Result<AddWatchFlags> {
    let mut all = AddWatchFlags::empty();
    for name in mask.split('|') {
        all |= AddWatchFlags::from_name(name).with_context(|| format!("{name} in {mask}"))?;
    }
    Ok(all & AddWatchFlags::IN_ALL_EVENTS)
}

fn mask_of(line: &Value) -> &str {
    line["walk"]["mask"].as_str().unwrap_or_default()
}

/// A walk of `/` by process 1, as it puts a watch.
fn is_of_systemd(line: &Value) -> bool {
    let walk = &line["walk"];
    line["type"] == "incident"
        && walk["pid"] == 1
        && walk["path"] == "/"
        && walk["trigger"] == "inotify_add_watch"
}

/// From proc_pid_fdinfo(5).
fn masks_on_root() -> anyhow::Result<Vec<u32>> {
    let of_root = format!(" ino:{:x} ", fs::metadata("/")?.ino());
    let dev = kernel::mounted_dev(Path::new("/"))?;
    let (major, minor) = dev.split_once(':').context("a device")?;
    let (major, minor): (u32, u32) = (major.parse()?, minor.parse()?);
    let on_dev = format!(" sdev:{:x} ", major << 20 | minor);
    let mut masks = Vec::new();
    for entry in fs::read_dir("/proc/1/fdinfo")? {
        let Ok(text) = fs::read_to_string(entry?.path()) else {
            // Closed meanwhile.
            continue;
        };
        let is_root = |line: &&str| {
            line.starts_with("inotify ") && line.contains(&of_root) && line.contains(&on_dev)
        };
        for line in text.lines().filter(is_root) {
            let mask = line
                .split(" mask:")
                .nth(1)
                .and_then(|rest| rest.split(' ').next());
            masks.push(u32::from_str_radix(mask.context("a mask")?, 16)?);
        }
    }
    Ok(masks)
}

/// Who, when, where, and who made it so.
fn is_right(checks: &mut Checks, incident: &Value, reload: &Reload) -> anyhow::Result<()> {
    let walk = &incident["walk"];
    for (name, expected) in [
        ("comm", "systemd"),
        ("unit", "init.scope"),
        ("cgroup", "/init.scope"),
        ("fstype", "ext4"),
    ] {
        checks.equal(name, walk[name].as_str(), Some(expected));
    }
    let exe = fs::read_link("/proc/1/exe")?;
    checks.equal("exe", walk["exe"].as_str(), exe.to_str());
    let start_ns = walk["start_ns"].as_u64().context("start")?;
    let end_ns = start_ns + walk["walk_ns"].as_u64().context("length")?;
    let span = Span { start_ns, end_ns };
    checks.that(
        "the walk was during daemon-reload",
        reload.span.contains(&span),
        format!("{span:?} in {:?}", reload.span),
    );
    checks.equal(
        "inode",
        walk["ino"].as_u64(),
        Some(fs::metadata("/")?.ino()),
    );
    let mask = events(mask_of(incident))?;
    checks.that(
        "the mask is one that systemd asked for",
        reload.masks.contains(&mask.bits()),
        format!("{mask:?} in {}", reload.words()),
    );
    is_full(checks, incident)
}

/// The incident tells how full `/` is and who filled it.
fn is_full(checks: &mut Checks, incident: &Value) -> anyhow::Result<()> {
    let walk = &incident["walk"];
    is_near(checks, "children", &walk["children_count"], CHILDREN_COUNT);
    let producer = named(incident, "workload")?;
    checks.equal("producer", producer["unit"].as_str(), Some(FLOODER));
    is_near(checks, "made", &producer["created_count"], CHILDREN_COUNT);
    checks.equal(
        "template",
        producer["template"].as_str(),
        Some("null<16 hex>"),
    );
    let advice = incident["advice"][0].as_str().unwrap_or_default();
    checks.that("the advice names it", advice.contains(FLOODER), advice);
    Ok(())
}

/// `check` lists `/`, watched by systemd, but not for what happens on children.
fn is_in_danger(checks: &mut Checks) -> anyhow::Result<()> {
    let line = detector::check()?;
    let dangers = line["dangers"].as_array().context("no list in check")?;
    let root = dangers.iter().find(|danger| danger["path"] == "/");
    let root = root.context("/ is not in check")?;
    is_near(
        checks,
        "check: children",
        &root["children_count"],
        CHILDREN_COUNT,
    );
    let watchers = root["watchers"].as_array().into_iter().flatten();
    let of_systemd: Vec<_> = watchers.filter(|watcher| watcher["pid"] == 1).collect();
    let is_right = |watcher: &&Value| watcher["is_on_children"] == false;
    checks.that(
        "check: watched by systemd, for nothing on children",
        !of_systemd.is_empty() && of_systemd.iter().all(is_right),
        format!("{of_systemd:?}"),
    );
    Ok(())
}
