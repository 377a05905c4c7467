//! What was made and then dropped: the counts say both, the census finds nothing.

use std::path::Path;

use anyhow::Context as _;
use fslockup_tests::workload;
use serde_json::Value;

use crate::stage::{
    checks::Checks,
    detector::{self, Detector},
    kernel,
    producers::{incident_of, is_near, named},
};

const CHILDREN_COUNT: u64 = 20_000;
/// Of another directory, after the caches were dropped.
const AGAIN_COUNT: u64 = 100;

/// Whoever looks at the directory may leave one behind.
const LEFT_MAX: u64 = 2;

pub fn step(checks: &mut Checks, detector: &mut Detector) -> anyhow::Result<()> {
    let (dir, again) = (
        kernel::new_dir("drop-caches")?,
        kernel::new_dir("drop-caches-again")?,
    );
    workload::flood(&dir, CHILDREN_COUNT, 63)?;
    kernel::drop_caches()?;
    // What a census that sees nothing at all would not find.
    workload::flood(&again, AGAIN_COUNT, 64)?;
    let counts = children([&dir, &again])?;
    checks.that(
        "dropped: no children",
        counts[0] <= LEFT_MAX,
        counts[0].to_string(),
    );
    checks.equal("looked up afterwards: children", counts[1], AGAIN_COUNT);
    let incident = incident_of(detector, &dir)?;
    let walked = &incident["walk"]["children_count"];
    checks.that(
        "dropped: the walk had none either",
        walked.as_u64().is_some_and(|count| count <= LEFT_MAX),
        walked.to_string(),
    );
    let made = named(&incident, "workload")?;
    is_near(
        checks,
        "dropped: made",
        &made["created_count"],
        CHILDREN_COUNT,
    );
    is_near(
        checks,
        "dropped: made negative",
        &made["negative_count"],
        CHILDREN_COUNT,
    );
    let dropped = named(&incident, "scenario")?;
    is_near(
        checks,
        "dropped: removed",
        &dropped["removed_count"],
        CHILDREN_COUNT,
    );
    is_near(
        checks,
        "dropped: made by who removed",
        &dropped["created_count"],
        0,
    );
    Ok(())
}

fn children(dirs: [&Path; 2]) -> anyhow::Result<[u64; 2]> {
    let [one, other] = dirs.map(|dir| dir.to_str().context("a path of ours"));
    let output = detector::call(&["census", "--format", "json", one?, other?])?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "fslockup census: {said}");
    let lines = std::str::from_utf8(&output.stdout)?.lines();
    let counts = lines
        .map(|line| {
            let line: Value = serde_json::from_str(line)?;
            line["children_count"].as_u64().context("no count")
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    counts
        .try_into()
        .map_err(|counts| anyhow::anyhow!("not two lines: {counts:?}"))
}
