//! The guest: its directories, and what is left in its kernel.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use fslockup_tests::workload;
use nix::mount::{MsFlags, mount};

/// How long anything is waited for. Generous: a guest under emulation can be very slow.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// Where results go.
pub fn out_dir() -> PathBuf {
    std::env::var_os("VMTEST_OUT").map_or_else(std::env::temp_dir, PathBuf::from)
}

/// A disk file system: tmpfs keeps no negative dentries.
pub fn disk() -> PathBuf {
    std::env::var_os("VMTEST_DISK").map_or_else(|| PathBuf::from("/mnt/disk"), PathBuf::from)
}

/// A new directory on the disk.
pub fn new_dir(name: &str) -> anyhow::Result<PathBuf> {
    let path = disk().join(name);
    fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
    Ok(path)
}

/// A directory on the disk of which this many names were looked up that don't exist; the scenarios
/// of one boot share it, because a flood is most of what they take.
pub fn flooded_dir(count: u64) -> anyhow::Result<PathBuf> {
    let path = disk().join(format!("flooded-{count}"));
    if !path.exists() {
        new_dir(&format!("flooded-{count}"))?;
        workload::flood(&path, count, 1)?;
    }
    Ok(path)
}

/// Empties the kernel's caches of names and inodes, those of [`flooded_dir`] too: the next scenario that wants
/// one floods it anew.
pub fn drop_caches() -> anyhow::Result<()> {
    for name in entries(&disk())? {
        if name.starts_with("flooded-") {
            let path = disk().join(name);
            fs::remove_dir(&path).with_context(|| path.display().to_string())?;
        }
    }
    // A file that is not written yet keeps its inode and with it its dentry.
    nix::unistd::sync();
    fs::write("/proc/sys/vm/drop_caches", "2").context("drop_caches")
}

/// A directory with this many files in a ramfs, which keeps them all in the dentry cache.
pub fn ramfs_dir(count: u64) -> anyhow::Result<PathBuf> {
    let path = PathBuf::from(format!("/mnt/ramfs-{count}"));
    if !path.exists() {
        ramfs(&path)?;
        workload::files(&path.join("files"), count)?;
    }
    Ok(path.join("files"))
}

/// A new ramfs.
pub fn ramfs(path: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(path)?;
    mount(
        None::<&str>,
        path,
        Some("ramfs"),
        MsFlags::empty(),
        None::<&str>,
    )
    .context("mount a ramfs")
}

/// The device of the file system that a path is on, as the mount table names it.
pub fn mounted_dev(path: &Path) -> anyhow::Result<String> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    // proc_pid_mountinfo(5): id, parent, device, root, mount point. The later one is the one on top.
    let mounts = table.lines().map(|line| line.split(' ').skip(2));
    let around = mounts.filter_map(|mut fields| {
        let (dev, point) = (fields.next()?, fields.nth(1)?);
        path.starts_with(point).then_some((point.len(), dev))
    });
    let (_, dev) = around
        .max_by_key(|(len, _)| *len)
        .with_context(|| format!("no mount above {}", path.display()))?;
    Ok(dev.to_owned())
}

/// Polls until something is so.
pub fn wait_until(what: &str, is_so: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    poll(what, PATIENCE, Duration::from_millis(10), is_so)
}

/// The same for so long, with this time between two looks.
pub fn poll(
    what: &str,
    patience: Duration,
    pause: Duration,
    mut is_so: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let start = Instant::now();
    while !is_so()? {
        anyhow::ensure!(
            start.elapsed() < patience,
            "{what}: not within {} s",
            patience.as_secs()
        );
        thread::sleep(pause);
    }
    Ok(())
}

/// Names of all eBPF programs in the kernel that are `fslockup`'s.
pub fn programs() -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for program in aya::programs::loaded_programs() {
        // One that goes away between the listing and the look at it is gone.
        let Ok(program) = program else { continue };
        let name = program.name_as_str().unwrap_or_default().to_owned();
        if [
            "walk_", "wait_", "stall_", "call_", "release_", "produce_", "trace_", "census",
        ]
        .iter()
        .any(|start| name.starts_with(start))
        {
            names.push(name);
        }
    }
    Ok(names)
}

/// What the verifier went through for each of `fslockup`'s programs in the kernel, by its name, of several of
/// one name the most; empty before 5.16 (aba64c7da983).
pub fn verified_instructions() -> anyhow::Result<BTreeMap<String, u32>> {
    let names = programs()?;
    let mut all = BTreeMap::new();
    for program in aya::programs::loaded_programs() {
        let Ok(program) = program else { continue };
        let name = program.name_as_str().unwrap_or_default().to_owned();
        let Some(count) = program.verified_instruction_count() else {
            continue;
        };
        if names.contains(&name) {
            let most = all.entry(name).or_insert(count);
            *most = count.max(*most);
        }
    }
    Ok(all)
}

/// Names of all eBPF programs that a link connects to something, each as often as it has links.
pub fn linked_programs() -> anyhow::Result<Vec<String>> {
    let mut names = std::collections::HashMap::new();
    for program in aya::programs::loaded_programs() {
        let Ok(program) = program else { continue };
        let name = program.name_as_str().unwrap_or_default().to_owned();
        names.insert(program.id(), name);
    }
    Ok(aya::programs::loaded_links()
        .filter_map(Result::ok)
        .filter_map(|link| names.get(&link.program_id()).cloned())
        .collect())
}

/// Everything that could stay behind after a detector's end, named.
pub fn leftovers() -> anyhow::Result<Vec<String>> {
    let mut found: Vec<_> = programs()?
        .into_iter()
        .map(|name| format!("program {name}"))
        .collect();
    let kprobes =
        fs::read_to_string("/sys/kernel/debug/kprobes/list").context("list of kprobes")?;
    found.extend(
        kprobes
            .lines()
            .filter(|line| line.contains("fsnotify"))
            .map(|line| format!("kprobe {line}")),
    );
    found.extend(
        entries(Path::new("/sys/fs/bpf"))?
            .into_iter()
            .map(|name| format!("pin {name}")),
    );
    Ok(found)
}

fn entries(dir: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

/// Time is instructions executed: lengths repeat, and can be asserted.
pub fn is_instruction_time() -> bool {
    std::env::var("VMTEST_MODE").is_ok_and(|mode| mode == "icount")
}

/// The directory once more, as the root of a mount.
pub fn bind_mount(dir: &Path) -> anyhow::Result<PathBuf> {
    let bound = PathBuf::from("/mnt/bound");
    fs::create_dir_all(&bound)?;
    mount(
        Some(dir),
        &bound,
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    )
    .context("bind mount")?;
    Ok(bound)
}

/// An instruction takes this long in instruction time.
pub const INSTRUCTION_NS: u64 = 2;
