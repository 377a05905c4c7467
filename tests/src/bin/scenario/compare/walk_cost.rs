//! What a watch and its removal cost by the number of children, in instructions: for comparing kernels.
//!
//! The system calls are timed by their caller and nothing is attached: a kernel that can't be watched can
//! still be measured.

use std::{
    fs::{self, File},
    ops::Range,
    path::Path,
};

use anyhow::Context as _;
use fslockup_tests::{TimedCall, workload};
use serde_json::{Value, json};

use crate::stage::{
    checks::{Checks, precise},
    exposure,
    kernel::{self, INSTRUCTION_NS},
    worse,
};

/// Children of the directory, one size after the other: names are added, never taken away.
const SIZES: [u64; 4] = [5_000, 10_000, 20_000, 40_000];

/// Watches at each size. The walk over the most children takes half the time from one timer interrupt to the next:
/// of three, all had one now and then.
const REPEATS_COUNT: usize = 7;

/// A child that exists: the first of those that the workload makes.
const CHILD: &str = "0";

/// A walk looks at each child once, so a child costs the same among few and among many, but for an interrupt that is
/// in all repetitions of one size: one of 4,500 instructions between the halves of [`SIZES`] made it 7.30 and 6.77
/// for a negative child of 6.12, 19.26 and 18.81 for a positive one of 5.10. Without, they differ by 0.08 at most.
const INTERRUPT_INSTRUCTIONS_MAX: f64 = 6_000.0;

/// What costs more than this share of a watch walks too. Measured: 1.00 and 1.04 where it
/// does (5.10.223), 0.005 at most elsewhere.
const WALKS_SHARE_MIN: f64 = 0.05;

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let slow = worse::slow_walk()?;
    let negative = kernel::new_dir("walk-cost")?;
    let other = kernel::new_dir("walk-cost-other")?;
    File::create(negative.join(CHILD))?;
    let negative = curves("negative", &negative, &other, |done_count, count| {
        workload::flood(&negative, count, done_count).map(drop)
    })?;
    let ramfs = Path::new("/mnt/walk-cost");
    kernel::ramfs(ramfs)?;
    let (positive, other) = (ramfs.join("files"), ramfs.join("other"));
    fs::create_dir(&other)?;
    let files = positive;
    let positive = curves("positive", &files, &other, |done_count, count| {
        workload::more_files(&files, done_count, count).map(drop)
    })?;
    entries_only(checks, &files, &positive[0])?;
    drop(slow);
    for [watch, removal] in [&negative, &positive] {
        is_a_line(checks, watch)?;
        exposure_agrees(checks, watch, removal)?;
        let children = watch.children;
        for curve in [watch, removal] {
            let name = format!("{}_{children}_instructions_per_child", curve.action);
            checks.figure(name, curve.per_child(0..SIZES.len())?);
        }
    }
    let all: Vec<Value> = [negative, positive]
        .concat()
        .iter()
        .map(Curve::json)
        .collect();
    checks.data(json!({ "curves": all }));
    Ok(())
}

/// What one system call cost at each size.
#[derive(Clone)]
struct Curve {
    action: &'static str,
    children: &'static str,
    /// Children, and the instructions of each repetition.
    points: Vec<(u64, Vec<u64>)>,
}

impl Curve {
    fn json(&self) -> Value {
        let points = self.points.iter().map(|(children_count, instructions)| {
            json!({ "children_count": children_count, "instructions": instructions })
        });
        json!({ "action": self.action, "children": self.children, "points": points.collect::<Vec<_>>() })
    }

    /// Instructions for each child between the first of these sizes and the last, each at its best: an
    /// interrupt only adds.
    fn per_child(&self, sizes: Range<usize>) -> anyhow::Result<f64> {
        let best = |point: Option<&(u64, Vec<u64>)>| {
            let (count, instructions) = point?;
            Some((precise(*count), precise(*instructions.iter().min()?)))
        };
        let points = self.points.get(sizes).context("points")?;
        let (from, to) = best(points.first())
            .zip(best(points.last()))
            .context("points")?;
        Ok((to.1 - from.1) / (to.0 - from.0))
    }
}

/// Watches and removals at all sizes; `fill` adds names to those that are there.
///
/// The flags of children are cleared when the watch goes or when a child is accessed next, all of them or that
/// child's: both calls are the cost of a removal. The other directory's watch keeps the file system from being
/// seen as unwatched, where an access returns before it looks.
fn curves(
    children: &'static str,
    dir: &Path,
    other: &Path,
    fill: impl Fn(u64, u64) -> anyhow::Result<()>,
) -> anyhow::Result<[Curve; 2]> {
    let [mut watch, mut removal] = ["watch", "removal"].map(|action| Curve {
        action,
        children,
        points: Vec::new(),
    });
    let other = other.to_str().context("a path of ours")?;
    let mut done_count = 0;
    for size in SIZES {
        fill(done_count, size - done_count)?;
        done_count = size;
        let (mut watches, mut removals) = (Vec::new(), Vec::new());
        for _ in 0..REPEATS_COUNT {
            let calls =
                workload::watch(dir, &["--remove", "--open-child", CHILD, "--other", other])?;
            watches.push(instructions(&calls, "watch")?);
            removals.push(instructions(&calls, "unwatch")? + instructions(&calls, "open-child")?);
        }
        watch.points.push((size, watches));
        removal.points.push((size, removals));
    }
    Ok([watch, removal])
}

/// The removal costs something for each child where the kernel walks on removal, and nowhere else.
fn exposure_agrees(checks: &mut Checks, watch: &Curve, removal: &Curve) -> anyhow::Result<()> {
    let sizes = 0..SIZES.len();
    let share = removal.per_child(sizes.clone())? / watch.per_child(sizes)?;
    let children = watch.children;
    checks.figure(format!("removal_{children}_to_watch"), share);
    // On a kernel that is not in the list the figure is all there is to say.
    if let Some((exposure, source)) = exposure::listed() {
        checks.that(
            format!(
                "a removal walks over {children} children as the kernel's source has it ({source})"
            ),
            (share > WALKS_SHARE_MIN) == exposure.removal,
            format!("{share:.4} of a watch's instructions for each child"),
        );
    }
    Ok(())
}

/// A watch for entries made or removed alone costs what a watch costs where the kernel walks for every watch.
fn entries_only(checks: &mut Checks, dir: &Path, watch: &Curve) -> anyhow::Result<()> {
    let mut repeats = Vec::new();
    for _ in 0..REPEATS_COUNT {
        repeats.push(instructions(
            &workload::watch(dir, &["--entries-only"])?,
            "watch",
        )?);
    }
    let shortest = |repeats: &[u64]| repeats.iter().copied().min().map(precise).context("none");
    let (_, largest) = watch.points.last().context("points")?;
    let share = shortest(&repeats)? / shortest(largest)?;
    checks.figure("entries_only_to_watch", share);
    if let Some((exposure, source)) = exposure::listed() {
        checks.that(
            format!("a watch for entries alone walks as the kernel's source has it ({source})"),
            (share > WALKS_SHARE_MIN) == exposure.every_watch,
            format!("{share:.4} of a watch's instructions"),
        );
    }
    Ok(())
}

fn instructions(calls: &[TimedCall], step: &str) -> anyhow::Result<u64> {
    let call = calls.iter().find(|call| call.step == step);
    Ok(call.with_context(|| step.to_owned())?.call_ns() / INSTRUCTION_NS)
}

fn is_a_line(checks: &mut Checks, watch: &Curve) -> anyhow::Result<()> {
    let half = SIZES.len() / 2;
    let (few, many) = (
        watch.per_child(0..half + 1)?,
        watch.per_child(half..SIZES.len())?,
    );
    let [first, middle, last] = [SIZES[0], SIZES[half], SIZES[SIZES.len() - 1]].map(precise);
    let bend_max = INTERRUPT_INSTRUCTIONS_MAX * (1.0 / (middle - first) + 1.0 / (last - middle));
    checks.that(
        format!(
            "a watch costs as much for each {} child, few or many",
            watch.children
        ),
        few >= 1.0 && (many - few).abs() <= bend_max,
        format!("{few:.2} instructions a child, then {many:.2}"),
    );
    Ok(())
}
