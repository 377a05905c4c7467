//! The failure itself: names that don't exist fill a directory's cache, then somebody watches it.

use std::{fs, path::Path};

use fslockup_tests::TimedCall;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    checks::Checks,
    detector::{self, Detector, Ended},
    kernel, workload,
};

/// Children of the smaller directory; the larger one has four times as many.
const CHILDREN_COUNT: u64 = 20_000;

/// In instruction time: lengths repeat, so that they can be asserted.
pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    fs::write(
        kernel::out_dir().join("facts.json"),
        serde_json::to_vec_pretty(&detector::check()?)?,
    )?;
    let small = walk_of(
        checks,
        "small",
        CHILDREN_COUNT,
        &["--walk-threshold", "100us"],
    )?;
    let large = walk_of(
        checks,
        "large",
        4 * CHILDREN_COUNT,
        &["--walk-threshold", "100us"],
    )?;
    let ratio = large / small;
    checks.figure("walk_ratio_4n_to_n", ratio);
    checks.that(
        "a walk over 4 N children is 3 to 5.5 times as long as over N",
        (3.0..=5.5).contains(&ratio),
        format!("{ratio:.2}"),
    );
    Ok(())
}

/// The same through breakpoints, on a kernel that would let us do better.
pub fn with_kprobes(checks: &mut Checks) -> anyhow::Result<()> {
    walk_of(
        checks,
        "kprobe",
        CHILDREN_COUNT,
        &["--walk-threshold", "100us", "--force-target", "kprobe"],
    )
    .map(drop)
}

fn walk_of(checks: &mut Checks, name: &str, count: u64, options: &[&str]) -> anyhow::Result<f64> {
    let dir = kernel::new_dir(&format!("flood-{name}"))?;
    workload::flood(&dir, count, 1)?;
    let detector = Detector::start(options)?;
    let via = detector.facts["attached"]["probes"][0]["targets"][0]["via"].clone();
    let expected_via = if options.contains(&"kprobe") {
        "kprobe"
    } else {
        "fentry"
    };
    checks.equal(
        "the walk is seen through",
        via.as_str().unwrap_or_default(),
        expected_via,
    );
    let calls = workload::watch(&dir, &[])?;
    let call = calls
        .first()
        .ok_or_else(|| anyhow::anyhow!("the workload timed nothing"))?;
    let ended = detector.end(Signal::SIGTERM)?;
    let walk_ns = one_walk(checks, &ended, call, &dir)?;
    checks.figure(format!("walk_ns_{name}"), walk_ns);
    checks.figure(
        format!("walk_ns_per_child_{name}"),
        walk_ns / precise(count),
    );
    Ok(walk_ns)
}

/// Exactly one walk over the threshold, and everything in it as the workload did it.
pub fn one_walk(
    checks: &mut Checks,
    ended: &Ended,
    call: &TimedCall,
    dir: &Path,
) -> anyhow::Result<f64> {
    let walks = ended.walks();
    checks.equal("walks over the threshold", walks.len(), 1);
    let Some(found) = walks.first() else {
        anyhow::bail!("no walk: {:?}", ended.lines)
    };
    let walk = &found["walk"];
    checks.equal("pid", walk["pid"].as_u64(), Some(u64::from(call.pid)));
    checks.equal("tid", walk["tid"].as_u64(), Some(u64::from(call.pid)));
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
        checks.that(
            format!("{lock} is a kernel address"),
            address.len() == 18 && address.starts_with("0xff"),
            address,
        );
    }
    let (start_ns, walk_ns) = (unsigned(&walk["start_ns"])?, unsigned(&walk["walk_ns"])?);
    checks.that(
        "the walk lies within the system call",
        call.start_ns <= start_ns && start_ns + walk_ns <= call.end_ns,
        format!(
            "call {}..{}, walk {start_ns}..{}",
            call.start_ns,
            call.end_ns,
            start_ns + walk_ns
        ),
    );
    let share = precise(walk_ns) / precise(call.call_ns());
    checks.figure("walk_share_of_call", share);
    // A duration: only asserted where time is instructions, not where a busy host stretches it.
    if is_instruction_time() {
        checks.that(
            "the walk is at least 80 % of the system call",
            share >= 0.8,
            format!("{:.1} %", share * 100.0),
        );
    }
    nothing_lost(checks, ended);
    Ok(precise(walk_ns))
}

/// The summary is there and counts no loss.
pub fn nothing_lost(checks: &mut Checks, ended: &Ended) {
    checks.equal("exit code", ended.code, Some(0));
    checks.equal("stderr", ended.stderr.as_str(), "");
    let lost = ended.summary().map(|summary| summary["lost_count"].clone());
    checks.equal("records lost", lost, Some(Value::from(0)));
}

fn is_instruction_time() -> bool {
    std::env::var("VMTEST_MODE").is_ok_and(|mode| mode == "icount")
}

fn unsigned(value: &Value) -> anyhow::Result<u64> {
    value
        .as_u64()
        .ok_or_else(|| anyhow::anyhow!("not a number: {value}"))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "nanoseconds and counts far below 2^53"
)]
fn precise(number: u64) -> f64 {
    number as f64
}
