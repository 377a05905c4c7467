//! Which walks each kernel does, without asking `fslockup`: from the kernel's sources where it is one of the
//! list, by how long system calls take on any other.

use std::path::Path;

use anyhow::Context as _;
use fslockup_tests::{TimedCall, workload};
use serde_json::Value;

use super::{
    checks::{Checks, precise},
    kernel,
};

/// Which walks a kernel does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// For the first watch on a directory.
    pub first_watch: bool,
    /// For every watch, also one without events on children.
    pub every_watch: bool,
    /// When a child is touched after the watch went.
    pub removal: bool,
    /// On every CPU that touches one then.
    pub herd: bool,
}

/// Before 172e422ffea2 ("fsnotify: clear PARENT_WATCHED flags lazily").
const ALL: Exposure = Exposure {
    first_watch: true,
    every_watch: true,
    removal: true,
    herd: true,
};

/// Since then.
const FIRST: Exposure = Exposure {
    first_watch: true,
    every_watch: false,
    removal: false,
    herd: false,
};

/// Each kernel of images/kernels.toml that is not optional, and the source that its walks are known from.
const KERNELS: &[(&str, Exposure, &str)] = &[
    ("5.10.223", ALL, "5.10.y has the fix since 5.10.226"),
    ("5.10", FIRST, "3f3ef1d9f66b, in 5.10.226"),
    ("6.1", FIRST, "d8c42405fc35, in 6.1.109"),
    ("6.12", FIRST, "172e422ffea2, in 6.11"),
    ("6.12-generic", FIRST, "172e422ffea2, in 6.11"),
    ("6.12-rt", FIRST, "172e422ffea2, in 6.11"),
    ("7.2", FIRST, "172e422ffea2, in 6.11"),
    ("7.3", FIRST, "172e422ffea2, in 6.11"),
    ("7.3-rt", FIRST, "172e422ffea2, in 6.11"),
];

/// This kernel's, and where it is known from.
pub fn listed() -> Option<(Exposure, &'static str)> {
    let name = std::env::var("VMTEST_KERNEL").ok()?;
    of_name(&name)
}

fn of_name(name: &str) -> Option<(Exposure, &'static str)> {
    let row = KERNELS.iter().find(|(listed, ..)| *listed == name)?;
    Some((row.1, row.2))
}

/// This kernel's: from the list, or measured.
pub fn of_this_kernel() -> anyhow::Result<Exposure> {
    listed().map_or_else(measured, |(exposure, _)| Ok(exposure))
}

/// Enough for a walk of some hundred microseconds.
const CHILDREN_COUNT: u64 = 20_000;

fn measured() -> anyhow::Result<Exposure> {
    let (dir, other) = (kernel::disk().join("exposure"), "exposure-other");
    if !dir.exists() {
        kernel::new_dir("exposure")?;
        workload::files(&dir, 1)?;
        workload::flood(&dir, CHILDREN_COUNT, 11)?;
        kernel::new_dir(other)?;
    }
    let mut times = Times::default();
    for _ in 0..Times::CALLS_COUNT {
        times.add(&dir, &kernel::disk().join(other))?;
    }
    let removal = times.walks("open-child")?;
    Ok(Exposure {
        first_watch: true,
        every_watch: times.walks("entries-only")?,
        removal,
        // It is the same call of the same function, by whoever touches a child.
        herd: removal,
    })
}

/// How long system calls took by their callers' own clock, for telling whether they walk.
#[derive(Default)]
pub struct Times(Vec<TimedCall>);

impl Times {
    /// Of each kind. The shortest counts: a busy host makes calls longer, never shorter.
    pub const CALLS_COUNT: usize = 12;

    /// A call that takes this share of a watch walks as the watch does. Measured over 20,000 children, four vCPUs
    /// on two busy CPUs: 0.31 to 2.2 where it does (5.10.223; the children are in the caches when the watch
    /// goes), 0.014 to 0.14 where it doesn't (7.3, 6.12-rt; 6.1, where fanotify's removal takes longest).
    const WALK_SHARE_MIN: f64 = 0.2;

    /// Takes these into account.
    pub fn note(&mut self, calls: &[TimedCall]) {
        self.0.extend_from_slice(calls);
    }

    /// A watch without events on children; a watch that goes, and a child touched after it: that is when
    /// the flags of a watch which has gone are looked at, while the other directory's watch lasts.
    fn add(&mut self, dir: &Path, other: &Path) -> anyhow::Result<()> {
        let other = other.to_str().context("a path of ours")?;
        let mut entries_only = workload::watch(dir, &["--entries-only"])?;
        for call in &mut entries_only {
            "entries-only".clone_into(&mut call.step);
        }
        self.note(&entries_only);
        let options = ["--remove", "--open-child", "0", "--other", other];
        self.note(&workload::watch(dir, &options)?);
        Ok(())
    }

    /// Whether this step of the workload walks, held against `watch` over the same children.
    pub fn walks(&self, step: &str) -> anyhow::Result<bool> {
        Ok(self.share(step)? >= Self::WALK_SHARE_MIN)
    }

    /// Its length in watches.
    pub fn share(&self, step: &str) -> anyhow::Result<f64> {
        Ok(self.shortest_ns(step)? / self.shortest_ns("watch")?)
    }

    fn shortest_ns(&self, step: &str) -> anyhow::Result<f64> {
        let of_step = self.0.iter().filter(|call| call.step == step);
        let shortest = of_step.map(TimedCall::call_ns).min();
        let shortest = shortest.with_context(|| format!("no call {step}"))?;
        Ok(precise(shortest))
    }
}

/// One of the exposures as `fslockup` prints them: yes or no, everything else is an error.
pub fn printed(line: &Value, which: &str) -> anyhow::Result<bool> {
    match line["exposure"][which].as_str() {
        Some("yes") => Ok(true),
        Some("no") => Ok(false),
        _ => anyhow::bail!("no answer to {which}: {}", line["exposure"]),
    }
}

/// What `check` or the first line of `run` prints is what this kernel does.
pub fn is_right(checks: &mut Checks, line: &Value) -> anyhow::Result<()> {
    let printed = Exposure {
        first_watch: printed(line, "walk_on_first_watch")?,
        every_watch: printed(line, "walk_on_every_watch")?,
        removal: printed(line, "walk_on_removal")?,
        herd: printed(line, "herd")?,
    };
    let source = listed().map_or("measured", |(_, source)| source);
    checks.equal(format!("exposure ({source})"), printed, of_this_kernel()?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_of_the_list_has_a_row() {
        let kernels = vmtest::manifest::kernels::Kernels::load(None).expect("built in");
        let names = |of: &mut dyn Iterator<Item = String>| {
            let mut names: Vec<_> = of.collect();
            names.sort();
            names
        };
        // What an optional entry means changes with the archive: there the calls decide.
        let pinned = kernels.entries.iter().filter(|entry| !entry.is_optional);
        assert_eq!(
            names(&mut pinned.map(|entry| entry.name.clone())),
            names(&mut KERNELS.iter().map(|(name, ..)| (*name).to_owned()))
        );
    }

    #[test]
    fn the_shortest_call_decides_whether_a_step_walks() {
        let call = |step: &str, length_ns: u64| TimedCall {
            step: step.to_owned(),
            syscall: String::new(),
            start_ns: 1,
            end_ns: 1 + length_ns,
            pid: 1,
            tid: 1,
            ino: 1,
            dev: String::new(),
            mask: None,
        };
        let mut times = Times::default();
        times.note(&[call("watch", 900), call("watch", 5_000)]);
        // A host that took the CPU away in the middle of a call does not make it a walk.
        times.note(&[call("open-child", 8_000), call("open-child", 80)]);
        times.note(&[call("unwatch", 8_000), call("unwatch", 400)]);
        assert!(!times.walks("open-child").expect("seen"));
        assert!(times.walks("unwatch").expect("seen"));
        assert!(times.walks("entries-only").is_err());
    }
}
