//! Two directories watched at once on two CPUs: nobody who waits for one is charged to the other.

use anyhow::Context as _;
use fslockup_tests::{Account, TimedCall, background::Background, task, workload};
use nix::sys::signal::Signal;

use crate::stage::{
    checks::{Checks, precise},
    detector::{Detector, nothing_lost},
    floods::{SHORT_WALK_COUNT, SHORT_WALK_OPTIONS},
    incident::{self, Incident},
    kernel,
};

/// A busy host can run the two one after the other; then they are watched again.
const ROUNDS_MAX: usize = 20;

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let other = kernel::new_dir("two-walks")?;
    workload::flood(&other, SHORT_WALK_COUNT, 7)?;
    let sides = [
        Side {
            dir: kernel::flooded_dir(SHORT_WALK_COUNT)?,
            watch_cpu: 0,
            lookup_cpu: 2,
        },
        Side {
            dir: other,
            watch_cpu: 1,
            lookup_cpu: 3,
        },
    ];
    let mut detector = Detector::start(SHORT_WALK_OPTIONS)?;
    let lookers = [sides[0].look_up()?, sides[1].look_up()?];
    let mut rounds: Vec<[TimedCall; 2]> = Vec::new();
    let mut is_done = false;
    while !is_done && rounds.len() < ROUNDS_MAX {
        let calls = watch_both(&sides)?;
        let mut incidents = Vec::new();
        for _ in &calls {
            let line = detector.wait_for("incident", |line| line["type"] == "incident")?;
            incidents.push(serde_json::from_value::<Incident>(line)?);
        }
        is_done = incidents[0].walk.span().overlaps(&incidents[1].walk.span())
            && incidents.iter().all(|found| !found.waiters.is_empty());
        rounds.push(calls);
    }
    checks.figure("rounds", precise(rounds.len() as u64));
    checks.that(
        "both walks ran at once, with waiters",
        is_done,
        format!("{} rounds", rounds.len()),
    );
    let [one, two] = lookers;
    let lookers: [Vec<Account>; 2] = [one.stop()?, two.stop()?];
    let ended = detector.end(Signal::SIGTERM)?;
    nothing_lost(checks, &ended);
    let incidents = ended.incidents()?;
    checks.equal("incidents", incidents.len(), 2 * rounds.len());
    for (side, of_side) in sides.iter().enumerate() {
        for calls in &rounds {
            let (call, other) = (&calls[side], &calls[1 - side]);
            let mut others: Vec<_> = lookers[1 - side].iter().map(|looker| looker.tid).collect();
            others.push(other.pid);
            let incident = incident::of_call(checks, &incidents, call)?;
            checks.equal("path", incident.walk.path.as_deref(), Some(of_side.path()?));
            no_cross_talk(checks, incident, &others);
        }
    }
    Ok(())
}

/// A directory, who watches it, who looks up names in it.
struct Side {
    dir: std::path::PathBuf,
    watch_cpu: usize,
    lookup_cpu: usize,
}

impl Side {
    fn path(&self) -> anyhow::Result<&str> {
        self.dir.to_str().context("a path of ours")
    }

    fn look_up(&self) -> anyhow::Result<Background> {
        let cpu = self.lookup_cpu.to_string();
        Background::start(&["lookup", "--dir", self.path()?, "--cpus", &cpu])
    }
}

fn watch_both(sides: &[Side; 2]) -> anyhow::Result<[TimedCall; 2]> {
    // Time to start two processes.
    let at_ns = (task::monotonic_ns()? + 200_000_000).to_string();
    let watch = |side: &Side| -> anyhow::Result<TimedCall> {
        let cpu = side.watch_cpu.to_string();
        let calls = workload::watch(&side.dir, &["--cpu", &cpu, "--at-ns", &at_ns])?;
        calls.into_iter().next().context("no call")
    };
    std::thread::scope(|scope| {
        let one = scope.spawn(|| watch(&sides[0]));
        let two = watch(&sides[1])?;
        let one = one.join().ok().context("a thread panicked")??;
        Ok([one, two])
    })
}

/// The kernel's own threads need an inode's lock now and then: they may wait for either.
fn no_cross_talk(checks: &mut Checks, incident: &Incident, others: &[u32]) {
    for waiter in &incident.waiters {
        checks.that(
            "no waiter belongs to the other directory",
            !others.contains(&waiter.tid),
            format!("{waiter:?}"),
        );
    }
    for stall in &incident.stalls {
        checks.that(
            "no stall is behind somebody of the other directory",
            !others.contains(&stall.behind_tid),
            format!("{stall:?}"),
        );
    }
}
