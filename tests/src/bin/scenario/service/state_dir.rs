//! Evidence that lasts: in the state directory after an orderly end, after a kill in the middle of a
//! walk, and with a disk that takes nothing.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Output,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use fslockup_tests::workload;
use nix::{
    mount::{MsFlags, mount},
    sys::{
        inotify::{AddWatchFlags, InitFlags, Inotify},
        signal::{Signal, kill},
    },
    unistd::Pid,
};
use serde_json::Value;

use crate::stage::{
    checks::Checks,
    detector::{self, Detector, nothing_lost, one_line},
    floods::LONG_WALK_COUNT,
    kernel::{self, PATIENCE},
};

/// A busy host may let the walk end before the one who kills gets a CPU; then it is tried again.
const KILLS_MAX: usize = 10;
/// The budget of the detector, with all that `--state-dir` adds.
const RSS_MAX_KIB: u64 = 16 << 10;

/// Lines of tiny incidents, more than wait in memory for the disk.
const TINY_COUNT: usize = 320;
const TINY_CHILDREN_COUNT: u64 = 64;
const TINY: [&str; 4] = ["--walk-threshold", "1us", "--incident-threshold", "1us"];

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::flooded_dir(LONG_WALK_COUNT)?;
    // On the file system of the walked directory, which is the harder place.
    let state = kernel::disk().join("state");
    orderly(checks, &dir, &state)?;
    killed(checks, &dir, &state)?;
    full(checks)?;
    mistakes(checks)
}

fn report(state: &Path, options: &[&str]) -> anyhow::Result<Output> {
    let state = state.to_str().context("a path of ours")?;
    let output = detector::call(&[&["report", "--state-dir", state], options].concat())?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "report {options:?}: {said}");
    Ok(output)
}

/// Stops it, and looks at once when the goodbye is there: the programs must not be gone by then, for that
/// takes the kernel seconds on a busy host, and a service manager has no patience for ever.
fn goodbye_first(checks: &mut Checks, detector: &Detector, state: &Path) -> anyhow::Result<()> {
    let evidence = state.join("evidence-00000001.jsonl");
    kill(
        Pid::from_raw(i32::try_from(detector.pid())?),
        Signal::SIGTERM,
    )?;
    kernel::poll("a goodbye", PATIENCE, Duration::from_millis(1), || {
        let text = fs::read_to_string(&evidence).context("the evidence")?;
        Ok(text.contains(r#""state":"ended""#))
    })?;
    let linked = kernel::linked_programs()?;
    checks.that(
        "the goodbye is written before the programs go",
        !linked.is_empty(),
        format!("{} links", linked.len()),
    );
    Ok(())
}

/// The incidents in a state directory, and the line about its runs.
fn history(state: &Path) -> anyhow::Result<(Vec<Value>, Value)> {
    let output = report(state, &["--format", "json"])?;
    let mut lines = Vec::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        lines.push(serde_json::from_str(line)?);
    }
    let last: Value = lines.pop().context("no line")?;
    anyhow::ensure!(last["type"] == "history", "{last}");
    Ok((lines, last))
}

fn text(state: &Path, options: &[&str]) -> anyhow::Result<String> {
    Ok(String::from_utf8(report(state, options)?.stdout)?)
}

fn orderly(checks: &mut Checks, dir: &Path, state: &Path) -> anyhow::Result<()> {
    let path = state.to_str().context("a path of ours")?;
    let mut detector = Detector::start(&["--state-dir", path, "--incident-threshold", "1ms"])?;
    workload::watch(dir, &["--cpu", "0"])?;
    let incident = detector.wait_for("incident", |line| line["type"] == "incident")?;
    let (_, runs) = history(state)?;
    checks.equal(
        "while it runs",
        &runs["runs"][0]["end"],
        &Value::from("running"),
    );
    let second = detector::call(&["run", "--state-dir", path])?;
    one_line(
        checks,
        "a second instance",
        &second,
        &[path, "another fslockup"],
    );
    memory(checks, detector.pid())?;
    goodbye_first(checks, &detector, state)?;
    nothing_lost(checks, &detector.end(Signal::SIGTERM)?);

    let (incidents, runs) = history(state)?;
    checks.equal("incidents kept", &incidents, &vec![incident.clone()]);
    checks.equal("runs", runs["runs"].as_array().map(Vec::len), Some(1));
    checks.equal("its end", &runs["runs"][0]["end"], &Value::from("ended"));
    let (id, walked) = (
        incident["id"].as_str().context("an id")?,
        dir.to_str().context("a path of ours")?,
    );
    for (what, said) in [
        ("the list", text(state, &[])?),
        ("the incident", text(state, &["--id", id])?),
        ("the page", text(state, &["--format", "html"])?),
        ("the trace", text(state, &["--format", "perfetto"])?),
    ] {
        let named = said.contains(walked);
        checks.that(format!("{what} names the directory"), named, said);
    }
    Ok(())
}

/// What locked memory and the room for lines take.
fn memory(checks: &mut Checks, pid: u32) -> anyhow::Result<()> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = |name: &str| -> anyhow::Result<u32> {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let line = line.with_context(|| format!("no {name}"))?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    };
    let (rss_kib, locked_kib) = (kib("VmRSS:")?, kib("VmLck:")?);
    checks.that(
        "its memory is locked",
        locked_kib >= rss_kib / 2,
        format!("{locked_kib} KiB of {rss_kib} resident"),
    );
    checks.that(
        "it is small",
        u64::from(rss_kib) <= RSS_MAX_KIB,
        format!("{rss_kib} KiB, at most {RSS_MAX_KIB}"),
    );
    checks.figure("rss_kib", rss_kib.into());
    checks.figure("locked_kib", locked_kib.into());
    Ok(())
}

/// SIGKILL once the running walk is in the file: the walk outlives its witness.
fn killed(checks: &mut Checks, dir: &Path, state: &Path) -> anyhow::Result<()> {
    let mut found = Value::Null;
    let mut tries_count = 0;
    while found.is_null() && tries_count < KILLS_MAX {
        tries_count += 1;
        kill_in_walk(dir, state)?;
        let (_, runs) = history(state)?;
        let last = runs["runs"].as_array().and_then(|runs| runs.last());
        let last = last.context("no run")?;
        checks.equal("a killed run", &last["end"], &Value::from("process_died"));
        found = last["running"][0].clone();
    }
    checks.that(
        "the walk that was running is known",
        found["state"] == "running" && found["walk"]["path"].as_str() == dir.to_str(),
        format!("after {tries_count} kills: {found}"),
    );
    let said = text(state, &[])?;
    for words in [
        "The last run",
        "without a goodbye",
        "Running then:",
        "RUNNING for",
    ] {
        checks.that(
            format!("the list says '{words}'"),
            said.contains(words),
            &said,
        );
    }
    let walked = dir.to_str().context("a path of ours")?;
    checks.that("and which directory", said.contains(walked), &said);
    Ok(())
}

fn kill_in_walk(dir: &Path, state: &Path) -> anyhow::Result<()> {
    let path = state.to_str().context("a path of ours")?;
    let options = ["--walk-threshold", "1ms", "--poll-period", "1ms"];
    let before = told_running(state)?;
    let runs_count = lines_with(state, r#""state":"started""#)?;
    let detector = Detector::start(&[&["--state-dir", path][..], &options].concat())?;
    // A thread of its own writes it, which may come later than the first line on a busy host.
    kernel::poll(
        "the run's own line",
        PATIENCE,
        Duration::from_millis(1),
        || Ok(lines_with(state, r#""state":"started""#)? > runs_count),
    )?;
    thread::scope(|scope| {
        let watch = scope.spawn(|| workload::watch(dir, &["--cpu", "0"]));
        let start = Instant::now();
        // On a busy host the walk may end before the detector gets a CPU to look at it.
        while told_running(state)? == before && !watch.is_finished() {
            anyhow::ensure!(start.elapsed() < PATIENCE, "no running walk in {path}");
        }
        detector.end(Signal::SIGKILL)?;
        watch
            .join()
            .map_err(|_| anyhow::anyhow!("the watch panicked"))??;
        Ok(())
    })
}

/// How many walks were told while they ran, by the files themselves.
fn told_running(state: &Path) -> anyhow::Result<usize> {
    lines_with(state, r#""state":"running""#)
}

fn lines_with(state: &Path, words: &str) -> anyhow::Result<usize> {
    let mut count = 0;
    for file in fs::read_dir(state)? {
        count += fs::read_to_string(file?.path())?.matches(words).count();
    }
    Ok(count)
}

/// A disk that is filled by somebody else, and emptied again.
fn full(checks: &mut Checks) -> anyhow::Result<()> {
    let place = PathBuf::from("/mnt/tiny");
    fs::create_dir_all(&place)?;
    mount(
        Some("tmpfs"),
        &place,
        Some("tmpfs"),
        MsFlags::empty(),
        Some("size=2m"),
    )
    .context("mount a tmpfs")?;
    let state = place.join("state");
    let dir = kernel::new_dir("tiny")?;
    workload::flood(&dir, TINY_CHILDREN_COUNT, 3)?;
    let path = state.to_str().context("a path of ours")?;
    let mut detector = Detector::start(&[&["--state-dir", path][..], &TINY].concat())?;
    let ballast = fill(&place)?;
    let mut printed_count = 0;
    for _ in 0..TINY_COUNT {
        watch_once(&dir)?;
    }
    for _ in 0..TINY_COUNT {
        detector.wait_for("incident on a full disk", |line| line["type"] == "incident")?;
        printed_count += 1;
    }
    let (kept, runs) = history(&state)?;
    checks.that(
        "events go on where the disk takes nothing",
        kept.len() < printed_count,
        format!("{printed_count} printed, {} kept", kept.len()),
    );
    checks.equal(
        "lost by then, as the files say",
        &runs["lost_count"],
        &Value::from(0),
    );
    fs::remove_file(ballast)?;
    let lost = || -> anyhow::Result<u64> {
        let (_, runs) = history(&state)?;
        Ok(runs["lost_count"].as_u64().unwrap_or(0))
    };
    kernel::wait_until("recovery", || Ok(lost()? > 0))?;
    watch_once(&dir)?;
    detector.wait_for("incident after it", |line| line["type"] == "incident")?;
    printed_count += 1;
    let ended = detector.end(Signal::SIGTERM)?;
    let (kept, runs) = history(&state)?;
    let lost_count = runs["lost_count"].as_u64().unwrap_or(0);
    checks.equal("exit code", ended.code, Some(0));
    checks.equal(
        "its end is there",
        &runs["runs"][0]["end"],
        &Value::from("ended"),
    );
    checks.equal(
        "nothing is torn",
        &runs["unreadable"],
        &Value::Array(Vec::new()),
    );
    // A walk that was seen running is a line of its own.
    let lines_count = kept.len() as u64 + lost_count;
    checks.that(
        "what is not there is counted",
        lost_count > 0 && lines_count >= printed_count as u64,
        format!(
            "{printed_count} printed, {} kept, {lost_count} lost",
            kept.len()
        ),
    );
    let said: Vec<_> = ended.stderr.lines().collect();
    let of = |words: &str| said.iter().filter(|line| line.contains(words)).count();
    checks.that(
        "the full disk is said at once, then once a minute",
        of("No space left on device") >= 1 && of("No space left on device") <= 4,
        &ended.stderr,
    );
    checks.that(
        "and that it is over, with what was lost",
        of("evidence is written again") == 1 && of(&format!("lines lost: {lost_count}")) == 1,
        &ended.stderr,
    );
    Ok(())
}

/// Takes all that is left; the file that did it.
fn fill(place: &Path) -> anyhow::Result<PathBuf> {
    let path = place.join("ballast");
    let mut file = File::create(&path)?;
    while file.write_all(&[0; 4096]).is_ok() {}
    Ok(path)
}

fn watch_once(dir: &Path) -> anyhow::Result<()> {
    let watcher = Inotify::init(InitFlags::IN_CLOEXEC)?;
    watcher.add_watch(dir, AddWatchFlags::IN_MODIFY)?;
    // Without this the next watch could come before the kernel has freed this one: no first watch.
    drop(watcher);
    thread::sleep(Duration::from_millis(1));
    Ok(())
}

fn mistakes(checks: &mut Checks) -> anyhow::Result<()> {
    let output = detector::call(&["run", "--state-dir", "/nowhere/state"])?;
    one_line(
        checks,
        "no place for it",
        &output,
        &["--state-dir /nowhere/state: "],
    );
    fs::write("/tmp/file", "")?;
    let output = detector::call(&["run", "--state-dir", "/tmp/file"])?;
    one_line(
        checks,
        "a file in its place",
        &output,
        &["--state-dir /tmp/file: "],
    );
    let sealed = PathBuf::from("/mnt/sealed");
    fs::create_dir_all(&sealed)?;
    let flags = MsFlags::MS_RDONLY;
    mount(Some("tmpfs"), &sealed, Some("tmpfs"), flags, None::<&str>)
        .context("a read-only place")?;
    for path in ["/mnt/sealed", "/mnt/sealed/state"] {
        let output = detector::call(&["run", "--state-dir", path])?;
        one_line(
            checks,
            "read-only",
            &output,
            &[path, "Read-only file system"],
        );
    }
    let output = detector::call(&["report", "--state-dir", "/nowhere/state"])?;
    one_line(
        checks,
        "nothing to report",
        &output,
        &["--state-dir /nowhere/state: "],
    );
    Ok(())
}
