//! The directories to be afraid of: `check` and `top`, before anybody has watched one.

use std::path::Path;

use anyhow::Context as _;
use nix::{
    mount::umount,
    sys::{
        inotify::{AddWatchFlags, InitFlags, Inotify},
        signal::Signal,
    },
};
use serde_json::Value;

use crate::stage::{
    checks::Checks,
    detector::{self, Detector},
    kernel::{self, bind_mount},
    producers::{Program, is_near},
};

/// Made before anybody looks, at the root of a mount.
const BEFORE_COUNT: u64 = 20_000;
/// Made while `top` runs.
const DURING_COUNT: u64 = 5_000;
/// What a child costs where no walk was measured, in nanoseconds (docs/benchmarks.md).
const CHILD_NS: u64 = 90;

/// One directory is full before, the other one is filled meanwhile; one of them is watched.
pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let before = kernel::new_dir("danger-before")?;
    let bound = bind_mount(&before)?;
    let flooder = Program::named("flooder")?;
    flood(&flooder, &bound, BEFORE_COUNT)?;
    // For entries alone: on this directory another watch would still walk.
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
    inotify.add_watch(&bound, AddWatchFlags::IN_CREATE)?;

    let line = detector::check()?;
    checks.equal(
        "check: why there is no list",
        &line["dangers_unknown"],
        &Value::Null,
    );
    let dangers = line["dangers"].as_array().context("no list in check")?;
    let found = dangers.iter().find(|danger| path_is(danger, &bound));
    full_before(checks, "check", found.context("not in check")?);

    let during = kernel::new_dir("danger-during")?;
    let mut top = Detector::top(&["--period", "500ms"])?;
    flood(&flooder, &during, DURING_COUNT)?;
    // The counts of a reading are a little older than the look at the directory.
    let near = DURING_COUNT - DURING_COUNT / 100;
    let filled = top.wait_for("a directory that was just filled", |line| {
        path_is(line, &during)
            && line["children_count"].as_u64() >= Some(DURING_COUNT)
            && line["producers"][0]["created_count"].as_u64() >= Some(near)
    })?;
    let quiet = top.wait_for("a directory that was full before", |line| {
        path_is(line, &bound)
    })?;
    let ended = top.end(Signal::SIGTERM)?;
    checks.equal("top: exit code", ended.code, Some(0));
    checks.equal("top: stderr", ended.stderr.as_str(), "");
    let summary = ended.summary().context("top: no summary")?;
    checks.equal(
        "top: nothing is lost",
        &summary["lost_count"],
        &Value::from(0),
    );
    full_before(checks, "top", &quiet);
    checks.equal(
        "top: who filled the one is not known",
        quiet["producers"].as_array().map(Vec::len),
        Some(0),
    );
    is_near(
        checks,
        "filled: children",
        &filled["children_count"],
        DURING_COUNT,
    );
    let producer = &filled["producers"][0];
    checks.equal("filled: by", &producer["comm"], &Value::from("flooder"));
    is_near(
        checks,
        "filled: made",
        &producer["created_count"],
        DURING_COUNT,
    );
    checks.equal(
        "filled: nobody watches it",
        filled["watchers"].as_array().map(Vec::len),
        Some(0),
    );
    let order: Vec<_> = ended
        .lines
        .iter()
        .filter_map(|line| line["predicted_ns"].as_u64())
        .collect();
    checks.that(
        "top: lists of several directories",
        order.len() > 2,
        format!("{order:?}"),
    );
    printed_once(checks, &bound)?;
    drop(inotify);
    umount(&bound)?;
    Ok(())
}

fn flood(flooder: &Program, dir: &Path, count: u64) -> anyhow::Result<u32> {
    let dir = dir.to_str().context("a path of ours")?;
    flooder.run(&[
        "flood",
        "--dir",
        dir,
        "--count",
        &count.to_string(),
        "--seed",
        "5",
    ])
}

fn path_is(line: &Value, dir: &Path) -> bool {
    line["path"].as_str() == dir.to_str()
}

fn full_before(checks: &mut Checks, by: &str, danger: &Value) {
    is_near(
        checks,
        &format!("{by}: children"),
        &danger["children_count"],
        BEFORE_COUNT,
    );
    is_near(
        checks,
        &format!("{by}: negative"),
        &danger["negative_count"],
        BEFORE_COUNT,
    );
    let predicted = &danger["predicted_ns"];
    is_near(
        checks,
        &format!("{by}: predicted"),
        predicted,
        BEFORE_COUNT * CHILD_NS,
    );
    let watcher = &danger["watchers"][0];
    checks.equal(
        format!("{by}: watched by"),
        (
            watcher["pid"].as_u64(),
            watcher["through"].as_str(),
            watcher["mask"].as_str(),
            watcher["is_on_children"].as_bool(),
        ),
        (
            Some(u64::from(std::process::id())),
            Some("inotify"),
            Some("IN_CREATE"),
            Some(false),
        ),
    );
}

/// A list for people where there is no terminal: sorted, plain, and then the end.
fn printed_once(checks: &mut Checks, full: &Path) -> anyhow::Result<()> {
    let output = detector::call(&["top", "--once", "--period", "100ms", "--sort", "children"])?;
    let text = String::from_utf8(output.stdout)?;
    checks.equal("once: exit code", output.status.code(), Some(0));
    checks.that("once: plain", !text.contains('\x1b'), &text);
    let mut rows = text.lines().skip_while(|line| !line.contains("CHILDREN"));
    let first = rows.nth(1).unwrap_or_default();
    checks.that(
        "once: the fullest directory is the first",
        first.ends_with(full.to_str().context("a path of ours")?),
        &text,
    );
    checks.equal("once: one list", text.matches("DIRECTORY").count(), 1);
    Ok(())
}
