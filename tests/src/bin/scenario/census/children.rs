//! Children of a directory against what the workload put there.

use std::{
    fs::{self, File},
    os::{fd::AsRawFd as _, unix::process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use anyhow::Context as _;
use fslockup::directories::predict::{Measured, Rates};
use fslockup_tests::{Account, TimedCall, background::Background, workload};
use nix::{mount::umount, sys::signal::Signal};
use serde_json::Value;

use crate::stage::{
    checks::{Checks, precise},
    detector::{self, Detector, nothing_lost, one_line},
    floods::LARGE_COUNT,
    kernel::{self, bind_mount, flooded_dir},
    overlay::Overlay,
    precondition,
};

/// What `fslockup census` says of one directory.
struct Counted {
    line: Value,
    children_count: u64,
    negative_count: u64,
}

/// In one call: reading the kernel's type information is most of what a call takes under emulation.
fn count_all(dirs: &[&Path]) -> anyhow::Result<Vec<Counted>> {
    let mut command = Command::new("fslockup");
    let output = detector::output(command.args(["census", "--format", "json"]).args(dirs))?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "fslockup census {dirs:?}: {said}");
    Counted::all(&output.stdout, dirs.len())
}

fn count(dir: &Path) -> anyhow::Result<Counted> {
    count_all(&[dir])?.pop().context("a line")
}

impl Counted {
    fn all(output: &[u8], expected_count: usize) -> anyhow::Result<Vec<Self>> {
        let counted = std::str::from_utf8(output)?
            .lines()
            .map(Self::from_line)
            .collect::<anyhow::Result<Vec<_>>>()?;
        anyhow::ensure!(counted.len() == expected_count, "{} lines", counted.len());
        Ok(counted)
    }

    fn from_line(line: &str) -> anyhow::Result<Self> {
        let line: Value = serde_json::from_str(line)?;
        let number = |name: &str| {
            line[name]
                .as_u64()
                .with_context(|| format!("{name} in {line}"))
        };
        Ok(Self {
            children_count: number("children_count")?,
            negative_count: number("negative_count")?,
            line,
        })
    }

    /// Nothing happened in the directory meanwhile, so the numbers are those.
    fn is_exactly(
        &self,
        checks: &mut Checks,
        what: &str,
        children_count: u64,
        negative_count: u64,
    ) {
        checks.equal(
            format!("{what}: children, negative ones"),
            (self.children_count, self.negative_count),
            (children_count, negative_count),
        );
        checks.that(
            format!("{what}: complete and not approximate"),
            self.line["is_complete"] == true
                && self.line["is_approximate"] == false
                && self.line["restarts_count"] == 0,
            self.without_samples(),
        );
    }

    fn without_samples(&self) -> String {
        let mut line = self.line.clone();
        line["samples"] = Value::Null;
        line.to_string()
    }
}

/// Exact on quiet directories, however they are reached.
pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    precondition::overlay()?;
    let none = kernel::new_dir("census-none")?;
    let one = kernel::new_dir("census-one")?;
    File::create(one.join("child"))?;
    let positive = kernel::new_dir("census-positive")?;
    workload::files(&positive, 700)?;
    let negative = kernel::new_dir("census-negative")?;
    workload::flood(&negative, 1_000, 1)?;
    let both = kernel::new_dir("census-both")?;
    workload::flood(&both, 3_000, 1)?;
    workload::files(&both, 500)?;
    let bound = bind_mount(&both)?;
    let overlay = overlay()?;
    let (deleted, _file) = deleted()?;
    let cases = [
        ("no child", &none, 0, 0),
        ("one child", &one, 1, 0),
        ("names that exist", &positive, 700, 0),
        ("names that don't", &negative, 1_000, 1_000),
        ("both", &both, 3_500, 3_000),
        ("bind mount", &bound, 3_500, 3_000),
        ("overlay", &overlay.merged, 700, 700),
        ("deleted directory", &deleted, 0, 0),
    ];
    // A ramfs keeps a cursor among the children for everybody who reads the directory.
    let read = kernel::ramfs_dir(300)?;
    let mut reader = fs::read_dir(&read)?;
    let first = reader.next().context("an entry")??;

    let dirs: Vec<_> = cases
        .iter()
        .map(|(_, dir, ..)| dir.as_path())
        .chain([read.as_path()])
        .collect();
    let counted = with_some_refused(checks, &dirs)?;
    for ((what, _, children_count, negative_count), counted) in cases.iter().zip(&counted) {
        counted.is_exactly(checks, what, *children_count, *negative_count);
    }
    checks.equal(
        format!("a reader that has come to {:?}", first.file_name()),
        (counted[8].children_count, counted[8].negative_count),
        (300, 0),
    );
    drop(reader);
    let (both_counted, bound_counted) = (&counted[4].line, &counted[5].line);
    for name in ["dev", "ino", "fstype"] {
        checks.equal(
            format!("bind mount: {name}"),
            bound_counted[name].to_string(),
            both_counted[name].to_string(),
        );
    }
    checks.equal(
        "overlay: file system",
        counted[6].line["fstype"].as_str().unwrap_or_default(),
        "overlay",
    );
    samples(checks, &counted[4]);
    umount(&bound)?;
    deadline(checks, &both)?;
    not_root(checks)
}

fn samples(checks: &mut Checks, counted: &Counted) {
    let samples: Vec<_> = counted.line["samples"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    checks.that(
        "32 to 64 names, most of them of the flood",
        (32..=64).contains(&samples.len())
            && samples
                .iter()
                .filter(|name| name.starts_with("null"))
                .count()
                > samples.len() / 2,
        format!("{samples:?}"),
    );
}

/// The children of an overlay's directory are its own, not those of the layers.
fn overlay() -> anyhow::Result<Overlay> {
    let overlay = Overlay::mount("census-overlay", |layers| {
        workload::flood(&layers.lower, 10, 1).map(drop)
    })?;
    workload::flood(&overlay.merged, 700, 2)?;
    Ok(overlay)
}

/// Only an open file leads to it.
fn deleted() -> anyhow::Result<(PathBuf, File)> {
    let dir = kernel::new_dir("census-deleted")?;
    workload::flood(&dir, 100, 1)?;
    let file = File::open(&dir)?;
    fs::remove_dir(&dir)?;
    let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    Ok((path.into(), file))
}

/// With no time at all the reference count is the answer.
fn deadline(checks: &mut Checks, dir: &Path) -> anyhow::Result<()> {
    let name = dir.to_str().context("a path of ours")?;
    let output = detector::call(&["census", "--format", "json", "--deadline", "0s", name])?;
    let line: Value = serde_json::from_slice(&output.stdout)?;
    checks.that(
        "a deadline of nothing: incomplete, as many children as references",
        line["is_complete"] == false
            && line["is_approximate"] == true
            && line["children_count"] == 3_500,
        line.to_string(),
    );
    Ok(())
}

/// Counts these, asked for two more that can't be counted.
fn with_some_refused(checks: &mut Checks, dirs: &[&Path]) -> anyhow::Result<Vec<Counted>> {
    let file = kernel::disk().join("census-file");
    File::create(&file)?;
    let mut command = Command::new("fslockup");
    command
        .args(["census", "--format", "json", "/nowhere"])
        .args(dirs)
        .arg(&file);
    let output = detector::output(&mut command)?;
    let file = file.display();
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = said.lines().collect();
    checks.equal(
        "two that can't be counted: exit code",
        output.status.code(),
        Some(2),
    );
    checks.that(
        "one line for each of them",
        lines.len() == 2
            && lines[0].starts_with("fslockup: /nowhere: No such file")
            && lines[1].starts_with(&format!("fslockup: {file}: Not a directory")),
        said.as_ref(),
    );
    // That the others are counted all the same is what the caller looks at.
    Counted::all(&output.stdout, dirs.len())
}

fn not_root(checks: &mut Checks) -> anyhow::Result<()> {
    let mut command = Command::new("fslockup");
    let output = detector::output(command.args(["census", "/"]).uid(65_534).gid(65_534))?;
    one_line(
        checks,
        "not root",
        &output,
        &["fslockup: missing CAP_BPF and CAP_PERFMON"],
    );
    checks.equal("left in the kernel", kernel::leftovers()?, Vec::new());
    Ok(())
}

/// Children that stay.
const CHURN_COUNT: u64 = 20_000;
/// Censuses in one call.
const CHURN_CENSUSES: usize = 10;
/// Calls at most, until a census was disturbed: on a busy host a vCPU can be away for a whole one.
const CHURN_CALLS_MAX: usize = 50;
/// Names that the two threads have at most, and a few that are on their way.
const CHURN_NAMES_MAX: u64 = 2 * 64 + 2;

/// Within 1 % while two threads add and remove at full speed; and where nothing stays, it ends.
pub fn churn(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::ramfs_dir(CHURN_COUNT)?;
    let lines = during_churn(checks, &dir, CHURN_COUNT, |line| {
        line["is_approximate"] == true
    })?;
    let counts: Vec<_> = lines.iter().map(|line| line.children_count).collect();
    checks.that(
        "every count within 1 %",
        counts
            .iter()
            .all(|count| count.abs_diff(CHURN_COUNT) <= CHURN_COUNT / 100),
        format!("{counts:?} of {CHURN_COUNT}"),
    );
    checks.that(
        "all are complete",
        lines.iter().all(|line| line.line["is_complete"] == true),
        format!("{} censuses", lines.len()),
    );

    // Here hardly any place stays for as long as a run takes.
    let few = dir.with_file_name("few");
    workload::files(&few, 1)?;
    let lines = during_churn(checks, &few, 1, |line| {
        line["restarts_count"].as_u64() > Some(0)
    })?;
    let counts: Vec<_> = lines.iter().map(|line| line.children_count).collect();
    checks.that(
        "no child is counted twice where places are lost",
        counts.iter().all(|count| *count <= CHURN_NAMES_MAX + 1),
        format!("{counts:?}"),
    );
    let afterwards = count_all(&[&dir, &few])?;
    afterwards[0].is_exactly(checks, "afterwards", CHURN_COUNT, 0);
    afterwards[1].is_exactly(checks, "few afterwards", 1, 0);
    Ok(())
}

/// Censuses while two threads add and remove, until one of them is as wanted.
fn during_churn(
    checks: &mut Checks,
    dir: &Path,
    stay_count: u64,
    is_wanted: impl Fn(&Value) -> bool,
) -> anyhow::Result<Vec<Counted>> {
    let name = dir.to_str().context("a path of ours")?;
    let stay = stay_count.to_string();
    let churn = Background::start(&["churn", "--dir", name, "--count", &stay, "--cpus", "1,2"])?;
    let mut lines = Vec::new();
    for _ in 0..CHURN_CALLS_MAX {
        lines.extend(count_all(&[dir; CHURN_CENSUSES])?);
        if lines.iter().any(|counted| is_wanted(&counted.line)) {
            break;
        }
    }
    let accounts: Vec<Account> = churn.stop()?;
    checks.that(
        format!("{stay_count} stay: two threads added and removed names"),
        accounts.len() == 2 && accounts.iter().all(|account| account.times_count > 500),
        format!("{accounts:?}")
            .chars()
            .take(200)
            .collect::<String>(),
    );
    let restarts: Vec<_> = lines
        .iter()
        .map(|counted| counted.line["restarts_count"].as_u64().unwrap_or(0))
        .collect();
    checks.that(
        format!("{stay_count} stay: a census was disturbed, and says so"),
        lines.iter().any(|counted| is_wanted(&counted.line)),
        format!("places lost: {restarts:?}"),
    );
    checks.figure(
        format!("restarts_{stay_count}"),
        precise(restarts.iter().sum()),
    );
    Ok(lines)
}

const MILLION: u64 = 1_000_000;

/// A million, exactly.
pub fn million(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::new_dir("million")?;
    // One for each of the guest's vCPUs: four on two busy CPUs wait for each other's locks (66 s, with two 25).
    let floods = 2;
    thread::scope(|scope| {
        let handles: Vec<_> = (0..floods)
            .map(|seed| {
                let dir = &dir;
                scope.spawn(move || workload::flood(dir, MILLION / floods, seed))
            })
            .collect();
        for handle in handles {
            handle
                .join()
                .map_err(|_| anyhow::anyhow!("a flood panicked"))??;
        }
        anyhow::Ok(())
    })?;
    let counted = count(&dir)?;
    counted.is_exactly(checks, "a million", MILLION, MILLION);
    for name in ["duration_ns", "longest_run_ns"] {
        checks.figure(name, precise(counted.line[name].as_u64().unwrap_or(0)));
    }
    Ok(())
}

/// Children of the smaller directory; the larger one has four times as many.
const SMALL_COUNT: u64 = LARGE_COUNT / 4;
/// A prediction is right if it is off by at most this factor.
const FACTOR_MAX: f64 = 1.5;
/// A run of the census program takes less than this.
const RUN_LIMIT_NS: u64 = 2_000_000;
/// Counts of the larger directory. The clock around a run also sees the kernel's own threads where one
/// takes the CPU meanwhile (5.8 ms seen once, on 7.3), which doesn't happen in each count; a run that
/// is too long is in all of them.
const COUNTS: usize = 3;

/// A walk of this host predicts the next one, in instruction time.
pub fn prediction(checks: &mut Checks) -> anyhow::Result<()> {
    let (small, large) = (flooded_dir(SMALL_COUNT)?, flooded_dir(LARGE_COUNT)?);
    let mut dirs = vec![large.as_path(); COUNTS];
    dirs.push(&small);
    let mut lines = count_all(&dirs)?;
    let counted = lines.pop().context("a count")?;
    counted.is_exactly(checks, "small", SMALL_COUNT, SMALL_COUNT);
    let [small_walk_ns, walk_ns] = shortest_walks(checks, [&small, &large])?;
    let measured = Measured {
        walk_ns: small_walk_ns,
        children_count: counted.children_count,
        negative_count: counted.negative_count,
    };
    for counted in &lines {
        counted.is_exactly(checks, "large", LARGE_COUNT, LARGE_COUNT);
    }
    let longest: Vec<_> = lines
        .iter()
        .map(|counted| counted.line["longest_run_ns"].as_u64().unwrap_or(u64::MAX))
        .collect();
    let longest_run_ns = longest.iter().copied().min().unwrap_or(u64::MAX);
    checks.that(
        "no run of the program takes 2 ms",
        longest_run_ns < RUN_LIMIT_NS,
        format!("the longest of each count: {longest:?} ns"),
    );
    let counted = lines.first().context("a count")?;
    checks.figure("longest_run_ns", precise(longest_run_ns));
    checks.figure(
        "census_ns_per_child",
        precise(counted.line["duration_ns"].as_u64().unwrap_or(0)) / precise(LARGE_COUNT),
    );
    let rates = Rates::from_walks(&[measured]);
    checks.equal("walks behind the rates", rates.walks_count, 1);
    let predicted_ns = rates.predict_ns(counted.children_count, counted.negative_count);
    let factor = precise(predicted_ns) / precise(walk_ns);
    checks.figure("predicted_to_walk", factor);
    checks.that(
        "the walk is as long as predicted, within a factor 1.5",
        (1.0 / FACTOR_MAX..=FACTOR_MAX).contains(&factor),
        format!("predicted {predicted_ns} ns, took {walk_ns} ns"),
    );
    Ok(())
}

/// Of several of each directory: under PREEMPT_RT a walk can be preempted, which stretches it.
fn shortest_walks(checks: &mut Checks, dirs: [&Path; 2]) -> anyhow::Result<[u64; 2]> {
    let detector = Detector::start(&["--walk-threshold", "100us"])?;
    let mut calls: Vec<TimedCall> = Vec::new();
    for dir in dirs {
        for _ in 0..3 {
            calls.extend(workload::watch(dir, &[])?);
        }
    }
    let ended = detector.end(Signal::SIGTERM)?;
    nothing_lost(checks, &ended);
    let walks = ended.walks();
    checks.equal("walks", walks.len(), calls.len());
    let shortest = |dir: &Path| {
        let of_dir = walks
            .iter()
            .filter(|line| line["walk"]["path"].as_str() == dir.to_str());
        let lengths_ns = of_dir.filter_map(|line| line["walk"]["walk_ns"].as_u64());
        lengths_ns
            .min()
            .with_context(|| format!("no walk of {}", dir.display()))
    };
    Ok([shortest(dirs[0])?, shortest(dirs[1])?])
}
