//! Which changes of dentries the probes of producers see, on each file system.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use aya::maps::{Array, HashMap, Map, MapData, loaded_maps};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::{signal::Signal, stat::stat},
};

use crate::stage::{
    checks::Checks,
    detector::{Detector, nothing_lost},
    kernel::{drop_caches, new_dir},
    overlay::Overlay,
    precondition,
    tracefs::Tracefs,
};

/// Names in each step.
const NAMES_COUNT: u64 = 2_000;

/// `fslockup_ebpf::change`, with the words of the report.
const CHANGES: [&str; 6] = [
    "made_negative",
    "made_positive",
    "filled",
    "emptied",
    "removed_negative",
    "removed_positive",
];
const MADE_NEGATIVE: usize = 0;
const MADE_POSITIVE: usize = 1;
const FILLED: usize = 2;
const EMPTIED: usize = 3;
const REMOVED_NEGATIVE: usize = 4;
const REMOVED_POSITIVE: usize = 5;

type Counts = [u64; CHANGES.len()];

/// On ext4, and on what needs no disk of its own.
pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    precondition::overlay()?;
    let detector = start()?;
    disk_like(checks, "ext4", &new_dir("coverage")?, Unlinked::Stays)?;
    let overlay = Overlay::mount("coverage-overlay", |_| Ok(()))?;
    disk_like(
        checks,
        "overlay",
        &overlay.merged.join("coverage"),
        Unlinked::Goes,
    )?;
    drop(overlay);
    let tmpfs = Mounted::tmpfs()?;
    in_memory(checks, &tmpfs.0.join("coverage"))?;
    drop(tmpfs);
    proc(checks)?;
    without_faults(checks)?;
    nothing_lost(checks, &detector.end(Signal::SIGTERM)?);
    Ok(())
}

/// A pipe's dentry is its own parent and gets its inode last: a program that looks there faults, which a kernel
/// without 0108a4e9f358 may not survive.
fn without_faults(checks: &mut Checks) -> anyhow::Result<()> {
    const PIPES_COUNT: usize = 100;
    let tracefs = Tracefs::new()?;
    tracefs.watch_faults()?;
    for _ in 0..PIPES_COUNT {
        nix::unistd::pipe()?;
    }
    // The kernel itself takes some, as it fills memory that nobody has touched; of this size it is never
    // memory that was given back (mallopt(3), M_MMAP_THRESHOLD).
    let mut fresh = vec![0; 64 << 20];
    fs::File::open("/dev/zero")?.read_exact(&mut fresh)?;
    let faults = tracefs.faults()?;
    let (of_programs, others): (Vec<_>, Vec<_>) = faults
        .into_iter()
        .partition(|line| line.contains("bpf_prog_"));
    checks.that(
        "page faults are seen",
        !others.is_empty(),
        others.len().to_string(),
    );
    checks.that(
        format!("no program faults while {PIPES_COUNT} pipes are made"),
        of_programs.is_empty(),
        format!("{} times: {:?}", of_programs.len(), of_programs.first()),
    );
    Ok(())
}

/// On a disk with xfs.
pub fn on_xfs(checks: &mut Checks) -> anyhow::Result<()> {
    on_disk(checks, "xfs")
}

/// On a disk with btrfs.
pub fn on_btrfs(checks: &mut Checks) -> anyhow::Result<()> {
    on_disk(checks, "btrfs")
}

/// Every directory counts, whatever its size: the steps are to be exact. Then there are many records,
/// and on a busy host a vCPU is taken away while it writes one: waits behind that are no matter here.
fn start() -> anyhow::Result<Detector> {
    Detector::start(&["--producer-children-min", "0", "--wait-threshold", "1h"])
}

fn on_disk(checks: &mut Checks, fs_name: &str) -> anyhow::Result<()> {
    let detector = start()?;
    disk_like(checks, fs_name, &new_dir("coverage")?, Unlinked::Stays)?;
    nothing_lost(checks, &detector.end(Signal::SIGTERM)?);
    Ok(())
}

/// What becomes of the dentry of a file that is deleted.
enum Unlinked {
    /// It stays as a negative one.
    Stays,
    /// The file system hides it, so it leaves the cache (`ovl_remove_upper` in fs/overlayfs/dir.c).
    Goes,
}

/// Negative dentries of names that were never there stay, and everything can be dropped.
fn disk_like(
    checks: &mut Checks,
    fs_name: &str,
    dir: &Path,
    unlinked: Unlinked,
) -> anyhow::Result<()> {
    fs::create_dir_all(dir)?;
    let mut steps = Steps::of(checks, fs_name, dir)?;
    steps.step("misses", &expected(&[MADE_NEGATIVE]), || {
        look_up(dir, "missing", false)
    })?;
    steps.step("the same again", &expected(&[]), || {
        look_up(dir, "missing", false)
    })?;
    steps.step("creations", &expected(&[MADE_NEGATIVE, FILLED]), || {
        create(dir)
    })?;
    steps.step(
        "drop_caches",
        &expected(&[REMOVED_NEGATIVE, REMOVED_POSITIVE]),
        drop_caches,
    )?;
    steps.step("lookups", &expected(&[MADE_POSITIVE]), || {
        look_up(dir, "file", true)
    })?;
    let (at_unlink, at_rmdir): (&[_], &[_]) = match unlinked {
        Unlinked::Stays => (&[EMPTIED], &[REMOVED_NEGATIVE]),
        Unlinked::Goes => (&[EMPTIED, REMOVED_NEGATIVE], &[]),
    };
    steps.step("unlinks", &expected(at_unlink), || unlink(dir))?;
    steps.step("rmdir", &expected(at_rmdir), || Ok(fs::remove_dir(dir)?))
}

/// Files stay in the cache as long as they exist, and nothing else does.
fn in_memory(checks: &mut Checks, dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(dir)?;
    let mut steps = Steps::of(checks, "tmpfs", dir)?;
    steps.step(
        "misses",
        &expected(&[MADE_NEGATIVE, REMOVED_NEGATIVE]),
        || look_up(dir, "missing", false),
    )?;
    steps.step("creations", &expected(&[MADE_NEGATIVE, FILLED]), || {
        create(dir)
    })?;
    steps.step("drop_caches", &expected(&[]), drop_caches)?;
    steps.step("unlinks", &expected(&[EMPTIED, REMOVED_NEGATIVE]), || {
        unlink(dir)
    })?;
    steps.step("rmdir", &expected(&[]), || Ok(fs::remove_dir(dir)?))
}

/// In a directory that nobody else looks into.
fn proc(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = Path::new("/proc")
        .join(std::process::id().to_string())
        .join("task");
    let mut steps = Steps::of(checks, "proc", &dir)?;
    // proc keeps no negative dentries: a miss ends in an error before there is one.
    steps.step("misses", &expected(&[]), || look_up(&dir, "missing", false))
}

/// A step in the directory changes this many dentries in each way.
fn expected(which: &[usize]) -> Counts {
    let mut counts = Counts::default();
    for change in which {
        counts[*change] = NAMES_COUNT;
    }
    counts
}

struct Steps<'a> {
    checks: &'a mut Checks,
    fs_name: &'a str,
    key: Key,
    before: Counts,
    /// Kept open: a directory of overlayfs that drop_caches took with it comes back under another inode
    /// number.
    _dir: fs::File,
}

impl<'a> Steps<'a> {
    fn of(checks: &'a mut Checks, fs_name: &'a str, dir: &Path) -> anyhow::Result<Self> {
        let meta = stat(dir)?;
        let mut steps = Self {
            checks,
            fs_name,
            key: Key {
                pid: std::process::id(),
                // A subvolume of btrfs has a device of its own, which its superblock doesn't know.
                dev: (fs_name != "btrfs").then(|| kernel_dev(meta.st_dev)),
                ino: meta.st_ino,
            },
            before: Counts::default(),
            _dir: fs::File::open(dir)?,
        };
        steps.before = steps.counts()?;
        Ok(steps)
    }

    /// What this process did in the directory so far.
    fn counts(&self) -> anyhow::Result<Counts> {
        let mut sums = Counts::default();
        for (key, counts) in producers()? {
            let is_of_dev = self.key.dev.is_none_or(|dev| key.dev == Some(dev));
            if (key.pid, key.ino) == (self.key.pid, self.key.ino) && is_of_dev {
                for (sum, count) in sums.iter_mut().zip(counts) {
                    *sum += count;
                }
            }
        }
        Ok(sums)
    }

    fn step(
        &mut self,
        name: &str,
        expected: &Counts,
        act: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        act().with_context(|| format!("{name} on {}", self.fs_name))?;
        let now = self.counts()?;
        let mut seen = now;
        for (seen, before) in seen.iter_mut().zip(self.before) {
            *seen -= before;
        }
        self.before = now;
        // 1 %: what others in the guest look up is not this process's, but the directory's own
        // dentry and those of a shell may be among what is dropped.
        let is_near =
            |(seen, expected): (&u64, &u64)| seen.abs_diff(*expected) <= NAMES_COUNT / 100;
        let texts: BTreeMap<_, _> = CHANGES
            .iter()
            .zip(seen)
            .filter(|(_, count)| *count > 0)
            .collect();
        self.checks.that(
            format!("{}: {name}", self.fs_name),
            seen.iter().zip(expected).all(is_near),
            format!("saw {texts:?}, expected {expected:?}"),
        );
        Ok(())
    }
}

/// Process and directory.
struct Key {
    pid: u32,
    dev: Option<u32>,
    ino: u64,
}

/// As the kernel packs it (`MKDEV`, linux/kdev_t.h).
fn kernel_dev(dev: u64) -> u32 {
    let packed = nix::sys::stat::major(dev) << 20 | nix::sys::stat::minor(dev);
    u32::try_from(packed).unwrap_or_default()
}

/// The kernel's maps as they are.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the two halves of eight bytes"
)]
fn producers() -> anyhow::Result<Vec<(Key, Counts)>> {
    let map = Map::HashMap(map_named("PRODUCERS")?);
    let map: HashMap<_, [u64; 2], Counts> = HashMap::try_from(map)?;
    let in_map = map.iter().filter_map(Result::ok);
    let slots: Array<_, [u64; 10]> = Array::try_from(Map::Array(map_named("SLOTS")?))?;
    // A slot: the dentry's address, key, claims, counts.
    let in_slots = slots.iter().filter_map(Result::ok).map(|slot| {
        let mut counts = Counts::default();
        counts.copy_from_slice(&slot[4..]);
        ([slot[1], slot[2]], counts)
    });
    let found = in_map.chain(in_slots).map(|([ino, dev_pid], counts)| {
        let key = Key {
            ino,
            dev: Some((dev_pid & u64::from(u32::MAX)) as u32),
            pid: (dev_pid >> 32) as u32,
        };
        (key, counts)
    });
    Ok(found.collect())
}

fn map_named(name: &str) -> anyhow::Result<MapData> {
    let info = loaded_maps()
        .filter_map(Result::ok)
        .find(|map| map.name_as_str() == Some(name))
        .with_context(|| format!("no map {name}"))?;
    Ok(MapData::from_id(info.id())?)
}

fn names(dir: &Path, prefix: &str) -> impl Iterator<Item = PathBuf> {
    (0..NAMES_COUNT).map(move |number| dir.join(format!("{prefix}{number}")))
}

fn look_up(dir: &Path, prefix: &str, is_there: bool) -> anyhow::Result<()> {
    for name in names(dir, prefix) {
        anyhow::ensure!(name.exists() == is_there, "{}", name.display());
    }
    Ok(())
}

fn create(dir: &Path) -> anyhow::Result<()> {
    for name in names(dir, "file") {
        fs::File::create(name)?;
    }
    Ok(())
}

fn unlink(dir: &Path) -> anyhow::Result<()> {
    for name in names(dir, "file") {
        fs::remove_file(name)?;
    }
    Ok(())
}

/// A file system that is taken away again.
struct Mounted(PathBuf);

impl Mounted {
    fn tmpfs() -> anyhow::Result<Self> {
        let path = PathBuf::from("/mnt/coverage-tmpfs");
        fs::create_dir_all(&path)?;
        mount(
            None::<&str>,
            &path,
            Some("tmpfs"),
            MsFlags::empty(),
            None::<&str>,
        )
        .context("mount a tmpfs")?;
        Ok(Self(path))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}
