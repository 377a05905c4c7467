//! A watch goes away: walks on kernels without the lazy clearing of flags, and on no other. Which
//! kernel is which is what `fslockup check` says, so that the two can't disagree.

use std::{fs::File, path::Path};

use anyhow::Context as _;
use fslockup_tests::{TimedCall, workload};
use nix::sys::signal::Signal;

use crate::{
    checks::Checks,
    detector::{self, Detector, nothing_lost},
    kernel, precondition,
};

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let facts = detector::check()?;
    precondition::full(facts["verdict"].as_str(), &facts["missing_fields"])?;
    checks.equal("check: verdict", facts["verdict"].as_str(), Some("full"));
    checks.equal(
        "check: walk on first watch",
        detector::exposure(&facts, "walk_on_first_watch")?,
        true,
    );
    let walks_on_removal = detector::exposure(&facts, "walk_on_removal")?;

    let dir = kernel::new_dir("removal")?;
    File::create(dir.join("child"))?;
    workload::flood(&dir, 20_000, 5)?;
    // The other watch keeps the file system from being seen as unwatched.
    let other = kernel::new_dir("removal-other")?;
    let other = other.to_str().context("a path of ours")?;

    for (via, last_step) in [
        ("inotify", "open-child"),
        ("fanotify", "unwatch"),
        ("dnotify", "unwatch"),
    ] {
        let mut options = vec!["--via", via, "--other", other, "--remove"];
        // An inotify watch that goes leaves the flags to the next access to a child; the other two
        // compute the directory's mask anew.
        if last_step == "open-child" {
            options.extend(["--open-child", "child"]);
        }
        let walks = walks_of_steps(checks, &dir, &options)?;
        let of = |step: &str| walks.iter().filter(|(of, _)| of == step).count();
        let seen = format!("{walks:?}");
        // 5.10.223 walks twice for a new fanotify mark: once as it is added, once for its mask.
        checks.that(
            format!("{via}: the first watch walks"),
            of("watch") >= 1,
            &seen,
        );
        checks.equal(
            format!("{via}: walks when it went ({last_step})"),
            of(last_step),
            usize::from(walks_on_removal),
        );
        checks.equal(
            format!("{via}: no other walk"),
            of("watch") + of(last_step),
            walks.len(),
        );
    }
    Ok(())
}

/// The walks of the directory, each with the step of the workload it fell into, and its trigger.
fn walks_of_steps(
    checks: &mut Checks,
    dir: &Path,
    options: &[&str],
) -> anyhow::Result<Vec<(String, String)>> {
    // Each walk is an incident.
    let thresholds = ["--walk-threshold", "100us", "--incident-threshold", "0s"];
    let detector = Detector::start(&thresholds)?;
    let calls = workload::watch(dir, options)?;
    let ended = detector.end(Signal::SIGTERM)?;
    nothing_lost(checks, &ended);
    let mut walks = Vec::new();
    for incident in ended.incidents()? {
        let walk = &incident.walk;
        if walk.path.as_deref() != dir.to_str() {
            continue;
        }
        let trigger = walk.trigger.clone().context("trigger")?;
        let call = calls.iter().find(
            |TimedCall {
                 start_ns: from,
                 end_ns: to,
                 ..
             }| (*from..=*to).contains(&walk.start_ns),
        );
        let call = call.with_context(|| format!("walk outside of every call: {incident:?}"))?;
        checks.equal("trigger", &trigger, &call.syscall);
        checks.equal("mask", &walk.mask, &call.mask);
        let reason = format!("system call: {trigger} is none of those that are timed");
        checks.equal(
            "that there is no mask is said where there is none",
            incident.degraded.contains(&reason),
            call.mask.is_none(),
        );
        walks.push((call.step.clone(), trigger));
    }
    Ok(walks)
}
