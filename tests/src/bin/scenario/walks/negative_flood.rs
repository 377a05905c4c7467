//! The failure itself: names that don't exist fill a directory's cache, then somebody watches it.

use std::{fs, ops::RangeInclusive, path::Path};

use fslockup_tests::{TimedCall, workload};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::stage::{
    checks::{Checks, precise},
    detector::{self, Detector, nothing_lost},
    floods::{LARGE_COUNT, SMALL_COUNT},
    kernel, precondition, producers,
};

/// How much longer a walk is over four times as many: measured 3.989 to 4.001 on seven kernels.
const WALK_RATIO: RangeInclusive<f64> = 3.9..=4.1;

/// Watches put on each directory, one after another.
const WATCHES_COUNT: usize = 3;

/// In instruction time: lengths repeat, so that they can be asserted.
pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    fs::write(
        kernel::out_dir().join("facts.json"),
        serde_json::to_vec_pretty(&detector::check()?)?,
    )?;
    let small = walk_of(checks, "small", SMALL_COUNT, None)?;
    let large = walk_of(checks, "large", LARGE_COUNT, None)?;
    let ratio = large / small;
    checks.figure("walk_ratio_4n_to_n", ratio);
    checks.that(
        "a walk over 4 N children is 3.9 to 4.1 times as long as over N",
        WALK_RATIO.contains(&ratio),
        format!("{ratio:.3}"),
    );
    origin(checks)
}

/// Few enough to be counted while the incident waits.
const ORIGIN_COUNT: u64 = 5_000;

/// A flood that is seen from its start: the incident names who did it.
fn origin(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::new_dir("negative-flood")?;
    let mut detector = Detector::start(&producers::OPTIONS)?;
    workload::flood(&dir, ORIGIN_COUNT, 1)?;
    let incident = producers::incident_of(&mut detector, &dir)?;
    nothing_lost(checks, &detector.end(Signal::SIGTERM)?);
    let walk = &incident["walk"];
    checks.equal(
        "children, negative ones",
        (
            walk["children_count"].as_u64(),
            walk["negative_count"].as_u64(),
        ),
        (Some(ORIGIN_COUNT), Some(ORIGIN_COUNT)),
    );
    let producer = producers::named(&incident, "workload")?;
    producers::is_near(checks, "made", &producer["created_count"], ORIGIN_COUNT);
    checks.equal(
        "template",
        producer["template"].as_str(),
        Some("null<16 hex>"),
    );
    Ok(())
}

/// The same through breakpoints, on a kernel that would let us do better.
pub fn with_kprobes(checks: &mut Checks) -> anyhow::Result<()> {
    precondition::kprobes()?;
    walk_of(checks, "kprobe", SMALL_COUNT, Some("kprobe")).map(drop)
}

/// The shortest walk of several watches that come and go: under PREEMPT_RT a walk can be preempted,
/// which stretches it.
fn walk_of(
    checks: &mut Checks,
    name: &str,
    count: u64,
    forced: Option<&str>,
) -> anyhow::Result<f64> {
    let dir = kernel::flooded_dir(count)?;
    let mut options = vec!["--walk-threshold", "100us"];
    if let Some(kind) = forced {
        options.extend(["--force-target", kind]);
    }
    let detector = Detector::start(&options)?;
    let via = detector.facts["attached"]["probes"][0]["targets"][0]["via"].clone();
    checks.equal(
        "the walk is seen through",
        via.as_str().unwrap_or_default(),
        forced.unwrap_or("fentry"),
    );
    let mut calls = Vec::new();
    for _ in 0..WATCHES_COUNT {
        calls.extend(workload::watch(&dir, &["--in-thread"])?);
    }
    let ended = detector.end(Signal::SIGTERM)?;
    nothing_lost(checks, &ended);
    let walks = ended.walks();
    checks.equal("walks over the threshold", walks.len(), WATCHES_COUNT);
    let (mut walk_ns, mut share) = (f64::INFINITY, 0.0_f64);
    for call in &calls {
        let found = right_walk(checks, &walks, call, &dir)?;
        walk_ns = walk_ns.min(found);
        share = share.max(found / precise(call.call_ns()));
    }
    checks.figure(format!("walk_share_of_call_{name}"), share);
    // A duration: only asserted where time is instructions, not where a busy host stretches it.
    if kernel::is_instruction_time() {
        checks.that(
            "the walk is at least 80 % of the system call",
            share >= 0.8,
            format!("{:.1} %", share * 100.0),
        );
    }
    checks.figure(format!("walk_ns_{name}"), walk_ns);
    checks.figure(
        format!("walk_ns_per_child_{name}"),
        walk_ns / precise(count),
    );
    Ok(walk_ns)
}

/// One walk within one system call, and everything in it as the workload did it; its length.
fn right_walk(
    checks: &mut Checks,
    walks: &[&Value],
    call: &TimedCall,
    dir: &Path,
) -> anyhow::Result<f64> {
    let within = |found: &&&Value| {
        let start_ns = found["walk"]["start_ns"].as_u64();
        let end_ns = start_ns
            .zip(found["walk"]["walk_ns"].as_u64())
            .map(|(start, walk)| start + walk);
        start_ns >= Some(call.start_ns) && end_ns.is_some_and(|end| end <= call.end_ns)
    };
    let inside: Vec<_> = walks.iter().filter(within).collect();
    checks.equal("walks within the system call", inside.len(), 1);
    let Some(found) = inside.first() else {
        anyhow::bail!("none of {walks:?} is within {call:?}")
    };
    let walk = &found["walk"];
    checks.equal("pid", walk["pid"].as_u64(), Some(u64::from(call.pid)));
    checks.equal("tid", walk["tid"].as_u64(), Some(u64::from(call.tid)));
    checks.that(
        "process and thread are told apart",
        call.pid != call.tid,
        format!("{call:?}"),
    );
    checks.equal("comm", walk["comm"].as_str(), Some("workload"));
    checks.equal("path", walk["path"].as_str(), dir.to_str());
    checks.equal("path is whole", walk["path_is_cut"].as_bool(), Some(false));
    checks.equal("inode", walk["ino"].as_u64(), Some(call.ino));
    checks.equal("device", walk["dev"].as_str(), Some(call.dev.as_str()));
    checks.equal("file system", walk["fstype"].as_str(), Some("ext4"));
    checks.equal(
        "trigger",
        walk["trigger"].as_str(),
        Some(call.syscall.as_str()),
    );
    checks.equal(
        "nothing is unknown",
        &found["degraded"],
        &Value::Array(Vec::new()),
    );
    for lock in ["i_lock_addr", "d_lock_addr"] {
        let address = walk[lock].as_str().unwrap_or_default();
        let is_kernel = address.len() == 18 && address.starts_with("0xff");
        checks.that(format!("{lock} is a kernel address"), is_kernel, address);
    }
    walk["walk_ns"]
        .as_u64()
        .map(precise)
        .ok_or_else(|| anyhow::anyhow!("no length: {found}"))
}
