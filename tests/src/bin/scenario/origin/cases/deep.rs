//! A flood in a directory that no path reaches in one system call.

use std::{env::set_current_dir, fs, path::Path, process::Command};

use fslockup_tests::times::{Part, spent};

use crate::stage::{
    checks::Checks,
    detector::Detector,
    kernel,
    producers::{incident_of, is_near, named, run},
};

const LEVELS_COUNT: usize = 40;
/// 40 of them are twice `PATH_MAX`.
const NAME_BYTES: usize = 200;
const CHILDREN_COUNT: u64 = 5_000;

pub fn step(checks: &mut Checks, detector: &mut Detector) -> anyhow::Result<()> {
    let top = kernel::new_dir("deep-path")?;
    let outcome = flooded(&top, detector);
    set_current_dir("/")?;
    let incident = outcome?;
    let walk = &incident["walk"];
    checks.equal(
        "deep: path is cut",
        walk["path_is_cut"].as_bool(),
        Some(true),
    );
    let end = format!("/{}", level());
    checks.that(
        "deep: its lower end is there",
        walk["path"]
            .as_str()
            .is_some_and(|path| path.starts_with("...") && path.ends_with(&end)),
        walk["path"].to_string(),
    );
    is_near(
        checks,
        "deep: children",
        &walk["children_count"],
        CHILDREN_COUNT,
    );
    let producer = named(&incident, "workload")?;
    is_near(
        checks,
        "deep: made",
        &producer["created_count"],
        CHILDREN_COUNT,
    );
    checks.equal(
        "deep: template",
        producer["template"].as_str(),
        Some("null<16 hex>"),
    );
    Ok(())
}

fn level() -> String {
    "d".repeat(NAME_BYTES)
}

/// Leaves this process in the deepest directory.
fn flooded(top: &Path, detector: &mut Detector) -> anyhow::Result<serde_json::Value> {
    set_current_dir(top)?;
    for _ in 0..LEVELS_COUNT {
        fs::create_dir(level())?;
        set_current_dir(level())?;
    }
    let count = CHILDREN_COUNT.to_string();
    let args = ["flood", "--dir", ".", "--count", &count];
    spent(Part::Floods, || run(Command::new("workload").args(args)))?;
    incident_of(detector, Path::new("."))
}
