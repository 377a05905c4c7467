//! After a watch went away, threads that touch children of its directory: on a kernel without the lazy
//! clearing of flags each of them walks, all at once and one after another; on any other none does.

use std::{cell::RefCell, collections::BTreeSet, fs, path::Path};

use anyhow::Context as _;
use fslockup_tests::{Account, TimedCall, background::Background, workload};
use nix::sys::{
    inotify::{AddWatchFlags, InitFlags, Inotify},
    signal::Signal,
};

use crate::stage::{
    checks::{Checks, precise},
    detector::{Detector, nothing_lost},
    exposure,
    incident::{Incident, Walk},
    kernel,
};

/// Enough for a walk of some milliseconds under emulation, so that all threads come to it.
const NEGATIVE_COUNT: u64 = 60_000;

/// One for each CPU, each with a file of its own.
const THREADS_COUNT: usize = 4;

/// A busy host can let one thread walk alone; then a watch is put and taken away again.
const ROUNDS_MAX: usize = 20;

/// Rounds on a kernel where nothing is to come of them.
const ROUNDS_WITHOUT: usize = 10;

/// What the threads note as slow: less than any walk takes.
const SLOW: &str = "500us";

const OPTIONS: &[&str] = &[
    "--walk-threshold",
    "500us",
    "--incident-threshold",
    "500us",
    "--wait-threshold",
    "100us",
    "--stall-threshold",
    "1h",
];

/// Walkers at once that make a herd.
const TOGETHER_MIN: usize = 3;

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let has_herd = exposure::of_this_kernel()?.herd;
    checks.figure("has_herd", f64::from(u8::from(has_herd)));
    let dir = kernel::new_dir("herd")?;
    // First, so that they are the last in the list: their flags stay until the first walk is through.
    workload::files(&dir, u64::try_from(THREADS_COUNT)?)?;
    fs::write(dir.join("0"), "x")?;
    workload::flood(&dir, NEGATIVE_COUNT, 5)?;
    // While a file system has no watch at all, an access to a child returns at once.
    let other = kernel::new_dir("herd-other")?;
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
    inotify.add_watch(&other, AddWatchFlags::IN_OPEN)?;

    let (accounts, incidents, rounds) = provoke(checks, &dir, has_herd)?;
    let is_toucher = |tid: u32| accounts.iter().any(|account| account.tid == tid);
    let (herd, watches): (Vec<_>, Vec<_>) = incidents
        .iter()
        .filter(|incident| incident.walk.path.as_deref() == dir.to_str())
        .partition(|incident| is_toucher(incident.walk.tid));
    checks.figure("rounds", precise(u64::try_from(rounds.len())?));
    checks.that(
        "each watch walked",
        watches.len() >= rounds.len(),
        format!("{} walks in {} rounds", watches.len(), rounds.len()),
    );
    let touches: Vec<_> = accounts.iter().map(|account| account.times_count).collect();
    let mean = touches.iter().sum::<u64>() / u64::try_from(THREADS_COUNT)?;
    // A share, and no number: a busy host gives one vCPU half of what it gives another, and all of them little.
    checks.that(
        "all threads were at work",
        touches.len() == THREADS_COUNT
            && touches.iter().all(|count| count * 4 > mean && *count > 10),
        format!("{touches:?}"),
    );
    if !has_herd {
        checks.figure("quickest_touch_to_watch", quickest_touch(&rounds)?);
        checks.equal("walks of the threads", herd.len(), 0);
        return Ok(());
    }
    for incident in &herd {
        is_right(checks, incident, &accounts);
    }
    checks.figure("herd_walks", precise(u64::try_from(herd.len())?));
    let together = together(&herd);
    let most = together.iter().map(Vec::len).max().unwrap_or(0);
    checks.figure("walkers_at_once", precise(u64::try_from(most)?));
    checks.that(
        "three threads or more walked at once, and waited for each other",
        together.iter().any(|group| is_herd(group)),
        together
            .iter()
            .map(|group| words(group))
            .collect::<Vec<_>>()
            .join("; "),
    );
    Ok(())
}

/// The calls of one watch that came and went.
type Round = Vec<TimedCall>;

/// Watches come and go while threads touch files; what the threads and the detector say, and how often.
fn provoke(
    checks: &mut Checks,
    dir: &Path,
    has_herd: bool,
) -> anyhow::Result<(Vec<Account>, Vec<Incident>, Vec<Round>)> {
    let mut detector = Detector::start(OPTIONS)?;
    exposure::is_right(checks, &detector.facts)?;
    let path = dir.to_str().context("a path of ours")?;
    let cpus = "0,1,2,3";
    let touch = ["touch", "--dir", path, "--cpus", cpus, "--threshold", SLOW];
    let threads = Background::start(&touch)?;
    let of_threads = RefCell::new(Vec::new());
    // Where each touch walks, one more would walk before the threads do.
    let options: &[&str] = if has_herd {
        &["--remove"]
    } else {
        &["--remove", "--open-child", "0"]
    };
    let mut rounds = Vec::new();
    let mut is_done = false;
    while !is_done && rounds.len() < ROUNDS_MAX {
        let calls = workload::watch(dir, options)?;
        let pid = calls.first().context("no call")?.pid;
        // What the threads did after the watch of the round before has come by then.
        detector.wait_for("the watch's incident", |line| {
            let Some(found) = Incident::of_line(line) else {
                return false;
            };
            let is_watch = found.walk.tid == pid;
            if found.walk.trigger.as_deref().is_some_and(is_touch) {
                of_threads.borrow_mut().push(found);
            }
            is_watch
        })?;
        rounds.push(calls);
        is_done = if has_herd {
            let of_threads = of_threads.borrow();
            let walks: Vec<_> = of_threads.iter().collect();
            together(&walks).iter().any(|group| is_herd(group))
        } else {
            rounds.len() >= ROUNDS_WITHOUT
        };
    }
    let accounts: Vec<Account> = threads.stop()?;
    let ended = detector.end(Signal::SIGTERM)?;
    nothing_lost(checks, &ended);
    Ok((accounts, ended.incidents()?, rounds))
}

/// How long it took to touch a file right after the watch went, in watches. A figure and no claim: the one who touches
/// shares four CPUs with the threads, and waited for one as long as a walk takes (12 of 14 ms in the quickest of ten
/// rounds, seen on the fixed 5.10). That a removal doesn't walk there by its caller's clock is in `removal`.
fn quickest_touch(rounds: &[Round]) -> anyhow::Result<f64> {
    let shortest_ns = |step: &str| {
        let calls = rounds.iter().flatten();
        let of_step = calls.filter(|call| call.step == step);
        let shortest = of_step.map(TimedCall::call_ns).min();
        shortest.map(precise).with_context(|| format!("no {step}"))
    };
    Ok(shortest_ns("open-child")? / shortest_ns("watch")?)
}

/// Whether a thread that touches its file makes this system call.
fn is_touch(trigger: &str) -> bool {
    ["openat", "read", "close"].contains(&trigger)
}

/// Walks of different threads that have a moment in common with the first of them.
fn together<'a>(walks: &[&'a Incident]) -> Vec<Vec<&'a Incident>> {
    let mut sorted = walks.to_vec();
    sorted.sort_by_key(|incident| incident.walk.start_ns);
    let mut groups: Vec<Vec<&Incident>> = Vec::new();
    for incident in sorted {
        match groups.last_mut() {
            Some(group) if group[0].walk.span().overlaps(&incident.walk.span()) => {
                group.push(incident);
            }
            _ => groups.push(vec![incident]),
        }
    }
    groups
}

/// A thread's walk is in something that the thread itself found slow, and is told as what it is.
fn is_right(checks: &mut Checks, incident: &Incident, accounts: &[Account]) {
    let walk = &incident.walk;
    let account = accounts.iter().find(|account| account.tid == walk.tid);
    let is_known = account.is_some_and(|account| {
        let mut slow = account.slow.iter();
        slow.any(|touch| touch.contains(&walk.span()))
    });
    checks.that("the thread was slow then", is_known, format!("{walk:?}"));
    let trigger = walk.trigger.as_deref().unwrap_or_default();
    checks.that("its trigger", is_touch(trigger), trigger);
    checks.equal("its mask", walk.mask.as_deref(), None);
    let reason = format!("system call: {trigger} is none of those that are timed");
    checks.that(
        "why there is none",
        incident.degraded.contains(&reason),
        format!("{:?}", incident.degraded),
    );
    let cpu = account.and_then(|account| account.cpu);
    checks.equal("its CPU", usize::try_from(walk.cpu).ok(), cpu);
    incident.is_sound(checks);
}

/// Whether who came later waited inside its own walk, for the lock that the first of them had. A busy host can
/// let one come between the first one's unlock and its exit.
fn is_herd(group: &[&Incident]) -> bool {
    let Some((first, others)) = group.split_first() else {
        return false;
    };
    let waiters = waiters_for_i_lock(first);
    let waited = |other: &&Incident| {
        (1..other.walk.walk_ns).contains(&other.walk.wait_ns) && waiters.contains(&other.walk.tid)
    };
    group.len() >= TOGETHER_MIN && others.iter().all(waited)
}

fn waiters_for_i_lock(incident: &Incident) -> BTreeSet<u32> {
    let waiters = incident.waiters.iter();
    let of_lock = waiters.filter(|waiter| waiter.lock == "i_lock");
    of_lock.map(|waiter| waiter.tid).collect()
}

fn words(group: &[&Incident]) -> String {
    let walks = group.iter().map(|incident| {
        let Walk {
            tid,
            walk_ns,
            wait_ns,
            ..
        } = incident.walk;
        let waiters = waiters_for_i_lock(incident);
        format!("{tid}: {walk_ns} ns, waited {wait_ns} ns, waiters {waiters:?}")
    });
    walks.collect::<Vec<_>>().join(", ")
}
