//! Directories whose path is too deep, too long, or made to harm the one who reads it.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use fslockup_tests::workload;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::stage::{
    checks::Checks,
    detector::{Detector, nothing_lost},
    kernel,
};

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let mut detector = Detector::start(&["--walk-threshold", "0s"])?;
    let mut walk_of = |dir: &Path| walk_of(&mut detector, dir);
    let top = kernel::new_dir("paths")?;
    let top_text = top.to_string_lossy().into_owned();

    // One component more than is read, counted from the file system's root: `paths` is the first.
    let deep = below(&top, std::iter::repeat_n("d".to_owned(), 24))?;
    let found = walk_of(&deep)?;
    checks.equal("deep: cut", found["path_is_cut"].as_bool(), Some(true));
    let expected = format!("...{}", "/d".repeat(24));
    checks.equal(
        "deep: the lower part is there",
        found["path"].as_str(),
        Some(expected.as_str()),
    );

    let just_fits = below(&top, std::iter::repeat_n("f".to_owned(), 23))?;
    let found = walk_of(&just_fits)?;
    checks.equal(
        "24 components: whole",
        found["path_is_cut"].as_bool(),
        Some(false),
    );
    checks.equal(
        "24 components: path",
        found["path"].as_str(),
        just_fits.to_str(),
    );

    let long_name = "l".repeat(255);
    let long = below(&top, std::iter::repeat_n(long_name.clone(), 6))?;
    let found = walk_of(&long)?;
    checks.equal("long: cut", found["path_is_cut"].as_bool(), Some(true));
    let kept = found["path"]
        .as_str()
        .map_or(0, |path| path.matches(&long_name).count());
    checks.that(
        "long: at least four whole names of 255 bytes are kept",
        kept >= 4,
        kept.to_string(),
    );

    // Cursor movement, a line break, a turn of the writing direction, bytes that are no UTF-8.
    let hostile = top.join(OsStr::from_bytes(b"x\x1b[2J\n\\\xe2\x80\xaey\xff"));
    fs::create_dir(&hostile)?;
    let found = walk_of(&hostile)?;
    let expected = format!("{top_text}/x\\x1b[2J\\x0a\\\\\\u{{202e}}y\\xff");
    checks.equal(
        "hostile: escaped, nothing left out",
        found["path"].as_str(),
        Some(expected.as_str()),
    );
    let ended = detector.end(Signal::SIGTERM)?;
    nothing_lost(checks, &ended);
    checks.equal("walks", ended.walks().len(), 4);
    Ok(())
}

fn below(top: &Path, names: impl Iterator<Item = String>) -> anyhow::Result<PathBuf> {
    let path: PathBuf = std::iter::once(top.to_path_buf())
        .chain(names.map(PathBuf::from))
        .collect();
    fs::create_dir_all(&path)?;
    Ok(path)
}

/// The walk that a watch on this directory makes.
fn walk_of(detector: &mut Detector, dir: &Path) -> anyhow::Result<Value> {
    let calls = workload::watch(dir, &[])?;
    let call = calls.first().context("no call")?;
    let found = detector.wait_for("walk", |line| {
        line["state"] == "finished" && line["walk"]["tid"] == call.pid
    })?;
    Ok(found["walk"].clone())
}
