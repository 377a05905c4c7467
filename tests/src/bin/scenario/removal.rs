//! A watch goes away: walks on kernels without the lazy clearing of flags, and on no other. Which
//! kernel is which is what `fslockup check` says, so that the two can't disagree.

use std::fs::File;

use anyhow::Context as _;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    checks::Checks,
    detector::{self, Detector},
    kernel,
    negative_flood::nothing_lost,
    workload,
};

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let check = detector::call(&["check", "--format", "json"])?;
    let facts: Value = serde_json::from_slice(&check.stdout).context("fslockup check")?;
    checks.equal("check: verdict", facts["verdict"].as_str(), Some("full"));
    checks.equal("check: walk on first watch", facts["exposure"]["walk_on_first_watch"].as_str(), Some("yes"));
    let walks_on_removal = match facts["exposure"]["walk_on_removal"].as_str() {
        Some("yes") => true,
        Some("no") => false,
        other => anyhow::bail!("check can't tell whether a removal walks: {other:?}"),
    };

    let dir = kernel::new_dir("removal")?;
    File::create(dir.join("child"))?;
    workload::flood(&dir, 20_000, 5)?;
    // The other watch keeps the file system from being seen as unwatched.
    let other = kernel::new_dir("removal-other")?;
    let other = other.to_str().context("a path of ours")?;

    // inotify: the flag is taken off by the next access to a child.
    let triggers = |options: &[&str]| -> anyhow::Result<Vec<String>> {
        let detector = Detector::start(&["--walk-threshold", "100us"])?;
        workload::watch(&dir, options)?;
        let ended = detector.end(Signal::SIGTERM)?;
        let mut checks = Checks::default();
        nothing_lost(&mut checks, &ended);
        Ok(ended.walks().iter().filter_map(|found| Some(found["walk"]["trigger"].as_str()?.to_owned())).collect())
    };
    let on_removal = |trigger: &str| if walks_on_removal { vec![trigger.to_owned()] } else { Vec::new() };

    let inotify = triggers(&["--via", "inotify", "--other", other, "--remove", "--open-child", "child"])?;
    let expected = [vec!["inotify_add_watch".to_owned()], on_removal("openat")].concat();
    checks.equal("walks of an inotify watch that comes and goes, then a child is opened", inotify, expected);

    // fanotify and dnotify compute the mask anew when a mark goes.
    for (via, syscall) in [("fanotify", "fanotify_mark"), ("dnotify", "fcntl")] {
        let seen = triggers(&["--via", via, "--other", other, "--remove"])?;
        let expected = [vec![syscall.to_owned()], on_removal(syscall)].concat();
        checks.equal(format!("walks of a {via} mark that comes and goes"), seen, expected);
    }
    Ok(())
}
