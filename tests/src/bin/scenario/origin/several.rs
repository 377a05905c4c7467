//! Who made the children of a directory: several at once, by what each did.

use std::{collections::HashSet, ffi::OsStr, fs, path::Path};

use anyhow::Context as _;
use fslockup_tests::{
    names::flood_names,
    times::{Part, spent},
};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::stage::{
    checks::Checks,
    detector::{Detector, nothing_lost},
    kernel,
    producers::{OPTIONS, Program, incident_of, is_near, named, origin},
};

const LARGE_COUNT: u64 = 20_000;
const SMALL_COUNT: u64 = LARGE_COUNT / 10;
const FILES_COUNT: u64 = 4_000;
const UNLINKED_COUNT: u64 = 1_000;

const LARGE_SEED: u64 = 61;
const SMALL_SEED: u64 = 62;

/// Two floods of ten to one, one that makes files, one that deletes some of them.
pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::new_dir("origin")?;
    let mut detector = Detector::start(&OPTIONS)?;
    let large = Program::named("flood-large")?;
    let small = Program::named("flood-small")?;
    let maker = Program::named("maker")?;
    let large_pid = flood(&large, &dir, LARGE_COUNT, LARGE_SEED)?;
    let small_pid = flood(&small, &dir, SMALL_COUNT, SMALL_SEED)?;
    let dir_text = dir.to_str().context("a path of ours")?;
    let maker_pid = maker.run(&[
        "files",
        "--dir",
        dir_text,
        "--count",
        &FILES_COUNT.to_string(),
    ])?;
    for number in 1..=UNLINKED_COUNT {
        fs::remove_file(dir.join(number.to_string()))?;
    }
    let incident = incident_of(&mut detector, &dir)?;
    nothing_lost(checks, &detector.end(Signal::SIGTERM)?);

    let walk = &incident["walk"];
    checks.equal("path", walk["path"].as_str(), dir.to_str());
    children(checks, &incident);
    let ranked: Vec<_> = origin(&incident)
        .iter()
        .map(|producer| producer["comm"].as_str().unwrap_or_default())
        .collect();
    checks.equal(
        "ranked by what they made",
        ranked,
        vec!["flood-large", "maker", "flood-small", "scenario"],
    );

    let producer = named(&incident, "flood-large")?;
    made(checks, producer, LARGE_COUNT, LARGE_COUNT);
    is_whole(checks, producer, &large, large_pid);
    names(checks, producer, LARGE_COUNT, LARGE_SEED);
    let producer = named(&incident, "flood-small")?;
    made(checks, producer, SMALL_COUNT, SMALL_COUNT);
    is_whole(checks, producer, &small, small_pid);
    names(checks, producer, SMALL_COUNT, SMALL_SEED);
    // A file that is made is a miss first: it doesn't count as a negative one.
    let producer = named(&incident, "maker")?;
    made(checks, producer, FILES_COUNT, 0);
    is_whole(checks, producer, &maker, maker_pid);
    // A deleted file leaves a negative dentry.
    let producer = named(&incident, "scenario")?;
    made(checks, producer, 0, UNLINKED_COUNT);
    checks.equal(
        "scenario: lives",
        (producer["pid"].as_u64(), producer["has_exited"].as_bool()),
        (Some(u64::from(std::process::id())), Some(false)),
    );
    Ok(())
}

fn flood(program: &Program, dir: &Path, count: u64, seed: u64) -> anyhow::Result<u32> {
    let dir = dir.to_str().context("a path of ours")?;
    let (count, seed) = (count.to_string(), seed.to_string());
    let args = ["flood", "--dir", dir, "--count", &count, "--seed", &seed];
    spent(Part::Floods, || program.run(&args))
}

/// Where there was no time to count all, the incident says so; the sum is right even then.
fn children(checks: &mut Checks, incident: &Value) {
    let walk = &incident["walk"];
    let made_count = LARGE_COUNT + SMALL_COUNT;
    is_near(
        checks,
        "children",
        &walk["children_count"],
        made_count + FILES_COUNT,
    );
    let is_cut = incident["degraded"].as_array().is_some_and(|degraded| {
        degraded
            .iter()
            .filter_map(Value::as_str)
            .any(|text| text.contains("no time to count"))
    });
    if is_cut {
        checks.that(
            "negative children: said to be estimated",
            walk["negative_count"].as_u64() <= walk["children_count"].as_u64(),
            walk["negative_count"].to_string(),
        );
    } else {
        is_near(
            checks,
            "negative children",
            &walk["negative_count"],
            made_count + UNLINKED_COUNT,
        );
    }
}

fn made(checks: &mut Checks, producer: &Value, created_count: u64, negative_count: u64) {
    let comm = producer["comm"].as_str().unwrap_or_default();
    is_near(
        checks,
        &format!("{comm}, created"),
        &producer["created_count"],
        created_count,
    );
    is_near(
        checks,
        &format!("{comm}, negative"),
        &producer["negative_count"],
        negative_count,
    );
    is_near(
        checks,
        &format!("{comm}, removed"),
        &producer["removed_count"],
        0,
    );
}

/// It has exited, and all is known of it.
fn is_whole(checks: &mut Checks, producer: &Value, program: &Program, pid: u32) {
    let comm = producer["comm"].as_str().unwrap_or_default();
    checks.equal(
        format!("{comm}: pid, processes, has exited"),
        (
            producer["pid"].as_u64(),
            producer["processes_count"].as_u64(),
            producer["has_exited"].as_bool(),
        ),
        (Some(u64::from(pid)), Some(1), Some(true)),
    );
    checks.equal(
        format!("{comm}: program"),
        producer["exe"].as_str(),
        program.path.to_str(),
    );
}

/// Its names are those of a flood, and made by this one.
fn names(checks: &mut Checks, producer: &Value, count: u64, seed: u64) {
    let comm = producer["comm"].as_str().unwrap_or_default();
    checks.equal(
        format!("{comm}: template"),
        producer["template"].as_str(),
        Some("null<16 hex>"),
    );
    let made: HashSet<_> = flood_names(OsStr::new("null"), seed)
        .take(usize::try_from(count).unwrap_or(usize::MAX))
        .collect();
    let samples = producer["samples"].as_array();
    checks.that(
        format!("{comm}: its samples are names that it made"),
        samples.is_some_and(|samples| {
            samples.len() >= 3
                && samples
                    .iter()
                    .filter_map(Value::as_str)
                    .all(|name| made.contains(OsStr::new(name)))
        }),
        producer["samples"].to_string(),
    );
}
