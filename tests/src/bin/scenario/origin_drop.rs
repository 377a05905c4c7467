//! What was made and then dropped: the counts say both, the census finds nothing.

use std::{fs, io};

use anyhow::Context as _;
use fslockup_tests::workload;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    checks::Checks,
    detector::{self, Detector, nothing_lost},
    kernel,
    producers::{OPTIONS, incident_of, is_near, named},
};

const CHILDREN_COUNT: u64 = 20_000;

/// Whoever looks at the directory may leave one behind.
const LEFT_MAX: u64 = 2;

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::new_dir("drop-caches")?;
    let name = dir.to_str().context("a path of ours")?;
    let mut detector = Detector::start(&OPTIONS)?;
    workload::flood(&dir, CHILDREN_COUNT, 63)?;
    checks.equal("before: children", children(name)?, CHILDREN_COUNT);
    drop_caches()?;
    let left_count = children(name)?;
    checks.that(
        "afterwards: no children",
        left_count <= LEFT_MAX,
        left_count.to_string(),
    );
    let incident = incident_of(&mut detector, &dir)?;
    nothing_lost(checks, &detector.end(Signal::SIGTERM)?);
    let walked = &incident["walk"]["children_count"];
    checks.that(
        "the walk had none either",
        walked.as_u64().is_some_and(|count| count <= LEFT_MAX),
        walked.to_string(),
    );
    let made = named(&incident, "workload")?;
    is_near(checks, "made", &made["created_count"], CHILDREN_COUNT);
    is_near(
        checks,
        "made negative",
        &made["negative_count"],
        CHILDREN_COUNT,
    );
    let dropped = named(&incident, "scenario")?;
    is_near(checks, "removed", &dropped["removed_count"], CHILDREN_COUNT);
    is_near(checks, "made by who removed", &dropped["created_count"], 0);
    Ok(())
}

fn children(dir: &str) -> anyhow::Result<u64> {
    let output = detector::call(&["census", "--format", "json", dir])?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "fslockup census: {said}");
    let line: Value = serde_json::from_slice(&output.stdout)?;
    line["children_count"].as_u64().context("no count")
}

fn drop_caches() -> io::Result<()> {
    nix::unistd::sync();
    fs::write("/proc/sys/vm/drop_caches", "2")
}
