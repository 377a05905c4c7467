//! Measures what the detector costs: one measurement for the budget and for the metrics, since the kernel times
//! the programs of the whole host or none.

use std::{collections::BTreeMap, io, os::fd::OwnedFd};

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::{TimeVal, TimeValLike as _},
};

use super::maps::Maps;
use crate::{
    attach::runs::time_programs,
    clock,
    daemon::privileges,
    model::{Runs, Sampled, budget::Group},
    pipeline::budget::Sample,
};

/// How long the programs are measured in each period: it costs every program of the host two looks at the
/// clock, so not always.
const MEASURED_NS: u64 = 100_000_000;

/// The time between measurements, and what goes on.
pub struct Timing {
    period_ns: u64,
    /// Never where nobody asks, or after the kernel has refused.
    next_ns: Option<u64>,
    own_ns: u64,
    own_read_ns: u64,
    measuring: Option<Measuring>,
    sampled: Sampled,
}

/// The kernel measures as long as the descriptor is open.
struct Measuring {
    _stats: OwnedFd,
    since_ns: u64,
    before: BTreeMap<String, Runs>,
}

impl Timing {
    /// Begins with a period of nothing.
    pub fn new(is_wanted: bool, period_ns: u64) -> Self {
        let now_ns = clock::monotonic_ns();
        Self {
            period_ns,
            next_ns: is_wanted.then(|| now_ns.saturating_add(period_ns)),
            own_ns: own_cpu_ns(),
            own_read_ns: now_ns,
            measuring: None,
            sampled: Sampled::default(),
        }
    }

    /// Time passed, and no walk runs: to switch the timing on and off, the kernel patches code on all CPUs.
    /// Tells what was measured when a measurement has ended. After an error it measures no more.
    pub fn step(&mut self, maps: &Maps) -> io::Result<Option<Sample>> {
        let now_ns = clock::monotonic_ns();
        if self.next_ns.is_none_or(|next_ns| now_ns < next_ns) {
            return Ok(None);
        }
        let measured = privileges::raised(|| self.measure(maps, now_ns));
        if measured.is_err() {
            self.measuring = None;
            self.next_ns = None;
        }
        measured
    }

    /// Begins a measurement, or ends one.
    fn measure(&mut self, maps: &Maps, now_ns: u64) -> io::Result<Option<Sample>> {
        let Some(measuring) = &self.measuring else {
            self.measuring = Some(Measuring {
                _stats: time_programs()?,
                since_ns: clock::monotonic_ns(),
                before: maps.runs()?,
            });
            self.next_ns = Some(now_ns.saturating_add(MEASURED_NS.min(self.period_ns)));
            return Ok(None);
        };
        let after = maps.runs()?;
        let own_ns = own_cpu_ns();
        let mut sample = Sample {
            at_ns: now_ns,
            measured_ns: clock::monotonic_ns().saturating_sub(measuring.since_ns),
            own_measured_ns: now_ns.saturating_sub(self.own_read_ns),
            own_ns: own_ns.saturating_sub(self.own_ns),
            ..Sample::default()
        };
        for (name, time) in &after {
            let before = measuring.before.get(name).copied().unwrap_or_default();
            let run_ns = time.run_ns.saturating_sub(before.run_ns);
            match Group::of_program(name) {
                Some(group) => sample.run_ns[group as usize] += run_ns,
                None => sample.others_ns += run_ns,
            }
        }
        self.sampled
            .add(&measuring.before, &after, sample.measured_ns);
        self.measuring = None;
        (self.own_ns, self.own_read_ns) = (own_ns, now_ns);
        self.next_ns = Some(now_ns.saturating_add(self.period_ns));
        Ok(Some(sample))
    }

    /// All measurements so far.
    pub fn sampled(&self) -> &Sampled {
        &self.sampled
    }
}

/// CPU time of this process so far, in the kernel and outside (getrusage(2)).
pub(crate) fn own_cpu_ns() -> u64 {
    let ns = |time: TimeVal| time.num_microseconds().unsigned_abs().saturating_mul(1_000);
    // It can't fail for the process itself.
    getrusage(UsageWho::RUSAGE_SELF)
        .map_or(0, |usage| ns(usage.user_time()) + ns(usage.system_time()))
}
