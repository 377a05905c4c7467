//! A producer and a watcher with their own view of the host: they are shown as the host sees them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use anyhow::Context as _;
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

use crate::stage::{
    checks::Checks,
    detector::Detector,
    kernel,
    producers::{in_cgroup, incident_by, is_near, named, run},
};

const CHILDREN_COUNT: u64 = 5_000;

/// Where the directory is inside.
const INSIDE: &str = "/mnt/inside";

pub fn step(checks: &mut Checks, detector: &mut Detector) -> anyhow::Result<()> {
    let dir = kernel::new_dir("container")?;
    fs::create_dir_all(INSIDE)?;
    let id = "0123456789abcdef".repeat(4);
    let scope = format!("docker-{id}.scope");
    let count = CHILDREN_COUNT.to_string();
    let (producer_pid, watcher_pid) = in_cgroup(&scope, || {
        let producer_pid = contained(&dir, &["flood", "--dir", INSIDE, "--count", &count])?;
        let watcher_pid = contained(&dir, &["watch", "--dir", INSIDE])?;
        Ok((producer_pid, watcher_pid))
    })?;
    let incident = incident_by(detector, watcher_pid)?;
    let walk = &incident["walk"];
    checks.equal("container: path", walk["path"].as_str(), dir.to_str());
    checks.equal(
        "container: path is whole",
        walk["path_is_cut"].as_bool(),
        Some(false),
    );
    let producer = named(&incident, "workload")?;
    is_near(
        checks,
        "container: made",
        &producer["created_count"],
        CHILDREN_COUNT,
    );
    checks.equal(
        "container: the producer's pid on the host",
        producer["pid"].as_u64(),
        Some(u64::from(producer_pid)),
    );
    let cgroup = format!("/system.slice/{scope}");
    for (who, shown) in [("walker", walk), ("producer", producer)] {
        checks.equal(
            format!("container: {who}'s cgroup, unit, container"),
            (
                shown["cgroup"].as_str(),
                shown["unit"].as_str(),
                shown["container"].as_str(),
            ),
            (
                Some(cgroup.as_str()),
                Some(scope.as_str()),
                Some(id.as_str()),
            ),
        );
    }
    Ok(())
}

/// Runs the workload as the first process of namespaces of its own, in which the directory is elsewhere;
/// its process id on the host.
fn contained(dir: &Path, args: &[&str]) -> anyhow::Result<u32> {
    let dir = PathBuf::from(dir);
    let args: Vec<_> = args.iter().map(ToString::to_string).collect();
    // Namespaces belong to a task: this thread ends with them.
    let handle = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWCGROUP)
            .context("unshare")?;
        bind(None, Path::new("/"), MsFlags::MS_REC | MsFlags::MS_PRIVATE)?;
        bind(Some(&dir), Path::new(INSIDE), MsFlags::MS_BIND)?;
        run(Command::new("workload").args(args))
    });
    handle
        .join()
        .map_err(|_| anyhow::anyhow!("a thread panicked"))?
}

fn bind(source: Option<&Path>, target: &Path, flags: MsFlags) -> anyhow::Result<()> {
    mount(source, target, None::<&str>, flags, None::<&str>)
        .with_context(|| format!("mount {}", target.display()))
}
