//! Whether the host is to blame for a guest's silence, judged by what QEMU's threads got of its CPUs.
//!
//! A guest that hangs by itself either runs (its CPUs spin) or sleeps (all of them halt). One that the host
//! keeps from running does neither: its threads are ready and wait for a CPU, or QEMU has been stopped.

use std::{
    fs,
    time::{Duration, Instant},
};

/// What QEMU's threads have had up to a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    at: Instant,
    /// Its state is "stopped" or "traced".
    is_stopped: bool,
    /// On a CPU, all threads together.
    run: Duration,
    /// Ready and not on a CPU: of each thread.
    waits: Vec<(u32, Duration)>,
    /// What the host's own hypervisor took from it, and all its time, in ticks of all CPUs.
    steal_ticks: u64,
    all_ticks: u64,
}

/// Less says nothing: any process waits for a CPU for most of some microseconds. A silence is tens of seconds.
const PASSED_MIN: Duration = Duration::from_secs(1);

impl Sample {
    /// One of now, or nothing where the process is gone or the kernel doesn't account.
    #[must_use]
    pub fn of(process: u32) -> Option<Self> {
        let (steal_ticks, all_ticks) = ticks(&fs::read_to_string("/proc/stat").ok()?)?;
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        let (mut run, mut waits) = (Duration::ZERO, Vec::new());
        for entry in fs::read_dir(format!("/proc/{process}/task"))
            .ok()?
            .flatten()
        {
            let Some(thread) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            // A thread may end meanwhile.
            let Ok(text) = fs::read_to_string(entry.path().join("schedstat")) else {
                continue;
            };
            let (ran, waited) = schedstat(&text)?;
            run += ran;
            waits.push((thread, waited));
        }
        Some(Self {
            at: Instant::now(),
            is_stopped: is_stopped(&stat)?,
            run,
            waits,
            steal_ticks,
            all_ticks,
        })
    }

    /// How long ago it was taken.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.at.elapsed()
    }

    /// Why the host is to blame for what did not happen from this sample to a later one, if it is.
    #[must_use]
    pub fn host_fault(&self, later: &Self) -> Option<String> {
        let passed = later.at.saturating_duration_since(self.at);
        if later.is_stopped {
            return Some("QEMU has been stopped".to_owned());
        }
        if passed < PASSED_MIN {
            return None;
        }
        let all_ticks = later.all_ticks.saturating_sub(self.all_ticks);
        let steal_ticks = later.steal_ticks.saturating_sub(self.steal_ticks);
        if steal_ticks > all_ticks / 2 {
            let percent = steal_ticks * 100 / all_ticks;
            return Some(format!(
                "{percent} % of its own CPU time was stolen from it"
            ));
        }
        let run = later.run.saturating_sub(self.run);
        let before = |thread: u32| {
            let found = self.waits.iter().find(|(one, _)| *one == thread);
            found.map_or(Duration::ZERO, |(_, waited)| *waited)
        };
        let waited = later
            .waits
            .iter()
            .map(|(thread, waited)| waited.saturating_sub(before(*thread)))
            .max()
            .unwrap_or_default();
        (run < passed / 10 && waited > passed / 2).then(|| {
            format!(
                "in {:.1} s QEMU ran for {:.1} s and waited {:.1} s for a CPU",
                passed.as_secs_f64(),
                run.as_secs_f64(),
                waited.as_secs_f64()
            )
        })
    }
}

/// `/proc/PID/task/TID/schedstat`: nanoseconds on a CPU, nanoseconds ready without one, turns.
fn schedstat(text: &str) -> Option<(Duration, Duration)> {
    let mut numbers = text.split_whitespace().map(str::parse);
    let mut next = || numbers.next()?.ok().map(Duration::from_nanos);
    Some((next()?, next()?))
}

/// `/proc/PID/stat`: `PID (NAME) STATE …`, and a name may have anything in it.
fn is_stopped(stat: &str) -> Option<bool> {
    let state = stat.rsplit_once(") ")?.1.chars().next()?;
    Some(matches!(state, 'T' | 't'))
}

/// The first line of `/proc/stat`: user nice system idle iowait irq softirq steal, and two that are parts of
/// the first two.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let numbers: Vec<u64> = stat
        .lines()
        .next()?
        .strip_prefix("cpu ")?
        .split_whitespace()
        .take(8)
        .filter_map(|word| word.parse().ok())
        .collect();
    Some((*numbers.get(7)?, numbers.iter().sum()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// After a second in which its two threads had this, of 200 ticks.
    fn after(run_ms: u64, waits_ms: [u64; 2], steal_ticks: u64) -> Option<String> {
        let before = Sample {
            at: Instant::now(),
            is_stopped: false,
            run: SECOND * 100,
            waits: vec![(1, SECOND * 7), (2, SECOND * 9)],
            steal_ticks: 50,
            all_ticks: 1_000,
        };
        let mut later = before.clone();
        later.at += SECOND;
        later.run += Duration::from_millis(run_ms);
        for ((_, waited), more) in later.waits.iter_mut().zip(waits_ms) {
            *waited += Duration::from_millis(more);
        }
        later.steal_ticks += steal_ticks;
        later.all_ticks += 200;
        before.host_fault(&later)
    }

    #[test]
    fn a_guest_that_spins_or_sleeps_hangs_by_itself() {
        assert_eq!(after(2_000, [0, 0], 0), None, "spins on two CPUs");
        assert_eq!(after(500, [900, 900], 0), None, "spins on a busy host");
        assert_eq!(after(5, [0, 1], 0), None, "halted");
    }

    #[test]
    fn a_guest_without_a_cpu_does_not() {
        let why = after(40, [10, 950], 0).expect("the host's fault");
        assert_eq!(
            why,
            "in 1.0 s QEMU ran for 0.0 s and waited 0.9 s for a CPU"
        );
        let why = after(900, [0, 0], 120).expect("the host's fault");
        assert_eq!(why, "60 % of its own CPU time was stolen from it");
    }

    #[test]
    fn this_process_can_be_sampled_and_a_stopped_one_is_seen() {
        let own = Sample::of(std::process::id()).expect("there");
        assert!(!own.is_stopped && own.run > Duration::ZERO && own.all_ticks > 0);
        let mut child = std::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .expect("sleep runs");
        let before = Sample::of(child.id()).expect("there");
        let stopped = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(child.id().cast_signed()),
            nix::sys::signal::Signal::SIGSTOP,
        );
        stopped.expect("sent");
        let deadline = Instant::now() + SECOND * 20;
        let mut fault = None;
        while fault.is_none() && Instant::now() < deadline {
            fault = before.host_fault(&Sample::of(child.id()).expect("there"));
        }
        child.kill().expect("ended");
        child.wait().expect("reaped");
        assert_eq!(fault.as_deref(), Some("QEMU has been stopped"));
        assert_eq!(Sample::of(child.id()), None, "gone");
    }
}
