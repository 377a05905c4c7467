//! A watch goes away: walks on kernels without the lazy clearing of flags, and on no other.

use std::fs::File;

use anyhow::Context as _;
use fslockup_tests::{TimedCall, workload};
use nix::sys::signal::Signal;

use crate::stage::{
    checks::Checks,
    detector::{Detector, nothing_lost},
    exposure::{self, Times},
    incident::Incident,
    kernel,
};

/// Each way to watch, and the step of the workload that walks when a watch has gone: an inotify watch leaves
/// the flags to the next access to a child, the other two compute the directory's mask anew.
const WAYS: [(&str, &str); 3] = [
    ("inotify", "open-child"),
    ("fanotify", "unwatch"),
    ("dnotify", "unwatch"),
];

/// The call of fanotify that removes a mark took a seventh of a walk over half as many, without a walk (6.1).
const CHILDREN_COUNT: u64 = 40_000;

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::new_dir("removal")?;
    File::create(dir.join("child"))?;
    workload::flood(&dir, CHILDREN_COUNT, 5)?;
    // The other watch keeps the file system from being seen as unwatched.
    let other = kernel::new_dir("removal-other")?;
    let other = other.to_str().context("a path of ours")?;
    // Each walk is an incident.
    let detector = Detector::start(&["--walk-threshold", "100us", "--incident-threshold", "0s"])?;
    exposure::is_right(checks, &detector.facts)?;
    let mut watched: Vec<_> = WAYS
        .map(|(via, last_step)| (via, last_step, Vec::new()))
        .into();
    // The ways by turns: their times are held against each other, and a host may be busy for a second.
    for _ in 0..Times::CALLS_COUNT {
        for (via, last_step, rounds) in &mut watched {
            let mut options = vec!["--via", via, "--other", other, "--remove"];
            if *last_step == "open-child" {
                options.extend(["--open-child", "child"]);
            }
            rounds.push(workload::watch(&dir, &options)?);
        }
    }
    let ended = detector.end(Signal::SIGTERM)?;
    nothing_lost(checks, &ended);
    let walks_on_removal = exposure::of_this_kernel()?.removal;
    let mut of_dir = ended.incidents()?;
    of_dir.retain(|incident| incident.walk.path.as_deref() == dir.to_str());
    let mut all_count = 0;
    // One walk each; 5.10.223 walks twice for a new fanotify mark: once as it is added, once for its mask.
    let (_, _, by_inotify) = &watched[0];
    let one_walk_each: Vec<_> = of_step(by_inotify.iter().flatten(), "watch");
    for (via, last_step, rounds) in &watched {
        let mut times = Times::default();
        times.note(&one_walk_each);
        times.note(&of_step(rounds.iter().flatten(), last_step));
        for calls in rounds {
            let walks = walks_of_steps(checks, &of_dir, calls)?;
            all_count += walks.len();
            let of = |step: &str| walks.iter().filter(|of| *of == step).count();
            checks.that(
                format!("{via}: the first watch walks"),
                of("watch") >= 1,
                format!("{walks:?}"),
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
        checks.equal(
            format!("{via}: {last_step} takes as long as a walk"),
            times.walks(last_step)?,
            walks_on_removal,
        );
        checks.figure(
            format!("{via}_{last_step}_to_watch"),
            times.share(last_step)?,
        );
    }
    checks.equal(
        "every walk is of one of these calls",
        of_dir.len(),
        all_count,
    );
    Ok(())
}

fn of_step<'a>(calls: impl Iterator<Item = &'a TimedCall>, step: &str) -> Vec<TimedCall> {
    calls.filter(|call| call.step == step).cloned().collect()
}

/// The steps of a workload's calls in which walks happened.
fn walks_of_steps(
    checks: &mut Checks,
    incidents: &[Incident],
    calls: &[TimedCall],
) -> anyhow::Result<Vec<String>> {
    let mut walks = Vec::new();
    for incident in incidents {
        let walk = &incident.walk;
        let is_of_it = |call: &&TimedCall| {
            call.pid == walk.tid && (call.start_ns..=call.end_ns).contains(&walk.start_ns)
        };
        let Some(call) = calls.iter().find(is_of_it) else {
            continue;
        };
        let trigger = walk.trigger.as_deref().context("trigger")?;
        checks.equal("trigger", trigger, &call.syscall);
        checks.equal("mask", &walk.mask, &call.mask);
        let reason = format!("system call: {trigger} is none of those that are timed");
        checks.equal(
            "that there is no mask is said where there is none",
            incident.degraded.contains(&reason),
            call.mask.is_none(),
        );
        walks.push(call.step.clone());
    }
    Ok(walks)
}
