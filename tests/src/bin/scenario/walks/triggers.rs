//! A walk by each way to put a watch, on each file system, over children that exist and that don't: the
//! incident tells of trigger, directory, mask and children as who put the watch does.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use fslockup_tests::{TimedCall, workload};
use nix::sys::signal::Signal;

use crate::stage::{
    checks::{Checks, precise},
    detector::{Detector, nothing_lost},
    exposure,
    incident::{self, Incident},
    kernel,
    overlay::Overlay,
    precondition, producers,
};

/// Few enough to be counted while the incident waits, where all vCPUs run as the host lets them.
const NEGATIVE_COUNT: u64 = 1_500;
const FILES_COUNT: u64 = 500;

/// Watches of one directory in one way until its children were counted.
const TRIES_MAX: usize = 20;

const VIA: [&str; 3] = ["inotify", "fanotify", "dnotify"];

/// On ext4.
pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    on_disk(checks, "ext4")
}

/// On xfs.
pub fn on_xfs(checks: &mut Checks) -> anyhow::Result<()> {
    on_disk(checks, "xfs")
}

/// On btrfs.
pub fn on_btrfs(checks: &mut Checks) -> anyhow::Result<()> {
    on_disk(checks, "btrfs")
}

/// On an overlay: its own dentries are walked, and those of a layer only for who watches the layer.
pub fn on_overlay(checks: &mut Checks) -> anyhow::Result<()> {
    precondition::overlay()?;
    let overlay = Overlay::mount("triggers-overlay", |layers| {
        fs::create_dir(layers.upper.join("both"))?;
        workload::flood(&layers.lower.join("both"), LAYER_COUNT, 3)?;
        workload::files(&layers.lower.join("both"), FILES_COUNT).map(drop)
    })?;
    let detector = Detector::start(&producers::OPTIONS)?;
    let mut filled = Filled::all("overlay", &overlay.merged)?;
    filled.extend(both_layers(&overlay)?);
    all_watched(checks, detector, &filled)
}

/// Names that were looked up in the layer itself.
const LAYER_COUNT: u64 = 700;
/// Files of the layer that are looked up through the overlay.
const SHOWN_COUNT: u64 = 200;

/// A directory of both layers, looked into through the overlay, and what it is made of.
fn both_layers(overlay: &Overlay) -> anyhow::Result<[Filled; 3]> {
    let dir = overlay.merged.join("both");
    workload::flood(&dir, NEGATIVE_COUNT, 4)?;
    look_at(&dir, SHOWN_COUNT)?;
    Ok([
        Filled {
            fs_name: "overlay",
            what: "both layers",
            dir,
            negative_count: NEGATIVE_COUNT,
            files_count: SHOWN_COUNT,
        },
        // A miss of the overlay is one of the lower layer too.
        Filled {
            fs_name: "ext4",
            what: "lower layer",
            dir: overlay.lower.join("both"),
            negative_count: LAYER_COUNT + NEGATIVE_COUNT,
            files_count: FILES_COUNT,
        },
        // Of the upper one it is forgotten at once (`drop_negative` in fs/overlayfs/namei.c).
        Filled {
            fs_name: "ext4",
            what: "upper layer",
            dir: overlay.upper.join("both"),
            negative_count: 0,
            files_count: 0,
        },
    ])
}

/// An overlay forgets a link as soon as it is made (`ovl_instantiate` in fs/overlayfs/dir.c).
fn look_at(dir: &Path, files_count: u64) -> anyhow::Result<()> {
    for number in 0..files_count {
        fs::metadata(dir.join(number.to_string()))?;
    }
    Ok(())
}

fn on_disk(checks: &mut Checks, fs_name: &'static str) -> anyhow::Result<()> {
    let parent = kernel::new_dir("triggers")?;
    let detector = Detector::start(&producers::OPTIONS)?;
    let filled = Filled::all(fs_name, &parent)?;
    all_watched(checks, detector, &filled)
}

/// A directory and what of it is in the cache.
struct Filled {
    fs_name: &'static str,
    what: &'static str,
    dir: PathBuf,
    negative_count: u64,
    files_count: u64,
}

impl Filled {
    fn all(fs_name: &'static str, parent: &Path) -> anyhow::Result<Vec<Self>> {
        let one = |what, negative_count, files_count| -> anyhow::Result<Self> {
            let dir = parent.join(what);
            if negative_count > 0 {
                workload::flood(&dir, negative_count, 2)?;
            }
            if files_count > 0 {
                workload::files(&dir, files_count)?;
                look_at(&dir, files_count)?;
            }
            Ok(Self {
                fs_name,
                what,
                dir,
                negative_count,
                files_count,
            })
        };
        Ok(vec![
            one("negative", NEGATIVE_COUNT, 0)?,
            one("positive", 0, FILES_COUNT)?,
            one("mixed", NEGATIVE_COUNT, FILES_COUNT)?,
        ])
    }
}

/// Each directory is watched in each way, one after another.
fn all_watched(
    checks: &mut Checks,
    mut detector: Detector,
    filled: &[Filled],
) -> anyhow::Result<()> {
    let walks_always = exposure::of_this_kernel()?.every_watch;
    let mut watched = Vec::new();
    let mut tries_count = 0;
    for of in filled {
        for via in VIA {
            let (call, tries) = watched_once(&mut detector, &of.dir, via)?;
            watched.push((of, call));
            tries_count += tries;
        }
    }
    checks.figure("watches", precise(watched.len() as u64));
    checks.figure("tries", precise(tries_count as u64));
    checks.that(
        "children were counted in more than an eighth of the tries",
        tries_count < watched.len() * 8,
        format!("{tries_count} tries for {} watches", watched.len()),
    );
    let ended = detector.end(Signal::SIGTERM)?;
    nothing_lost(checks, &ended);
    let incidents = ended.incidents()?;
    for (of, call) in &watched {
        // 5.10.223 walks twice for a new fanotify mark.
        let incident = if walks_always {
            incident::first_of_call(checks, &incidents, call)?
        } else {
            incident::of_call(checks, &incidents, call)?
        };
        is_right(checks, of, call, incident)?;
    }
    Ok(())
}

/// Watches a directory. A busy host can keep the detector from a CPU for as long as it may count: then the
/// watch is put again. The last call, and how many there were.
fn watched_once(
    detector: &mut Detector,
    dir: &Path,
    via: &str,
) -> anyhow::Result<(TimedCall, usize)> {
    let mut tries = 0;
    loop {
        tries += 1;
        let calls = workload::watch(dir, &["--via", via])?;
        let call = calls.into_iter().next().context("no call")?;
        let incident = producers::incident_by(detector, call.pid)?;
        let is_estimated = incident["walk"]["is_estimated"] == true;
        if !is_estimated || tries == TRIES_MAX {
            return Ok((call, tries));
        }
    }
}

fn is_right(
    checks: &mut Checks,
    of: &Filled,
    call: &TimedCall,
    incident: &Incident,
) -> anyhow::Result<()> {
    let walk = &incident.walk;
    let claim = |what: &str| format!("{}, {}, {}: {what}", of.fs_name, of.what, call.syscall);
    checks.equal(claim("path"), walk.path.as_deref(), of.dir.to_str());
    checks.equal(claim("file system"), walk.fstype.as_str(), of.fs_name);
    checks.equal(claim("inode"), walk.ino, call.ino);
    // Not always that of stat(2): a subvolume of btrfs has one of its own there.
    let dev = kernel::mounted_dev(&of.dir)?;
    checks.equal(claim("device"), &walk.dev, &dev);
    checks.equal(claim("mask"), &walk.mask, &call.mask);
    checks.equal(
        claim("children, negative ones"),
        (walk.children_count, walk.negative_count),
        (
            Some(of.negative_count + of.files_count),
            Some(of.negative_count),
        ),
    );
    // Of an empty directory there is nobody to name.
    let is_nobody = |why: &&String| {
        of.files_count == 0 && of.negative_count == 0 && why.starts_with("origin: nobody")
    };
    let unknown: Vec<_> = incident
        .degraded
        .iter()
        .filter(|why| !is_nobody(why))
        .collect();
    checks.equal(claim("nothing is unknown"), unknown, Vec::new());
    Ok(())
}
