//! Reads the programs' maps while they are attached.

use std::{collections::BTreeMap, io, os::fd::AsFd as _, thread, time::Duration};

use fslockup_ebpf::{COMPARISONS, CpuState, Waiting, WalkRecord, count};

use super::reaper::Reaper;
use crate::{
    attach::{Attached, ProducerMaps, Thresholds},
    clock,
    facts::{Answer, Facts},
    host::proc::Proc,
    model::{Counts, Input, Runs, WaitingNow, budget::Group},
    probes::STALL,
};

/// The maps, and a way to the names of tasks that doesn't lead through a directory that a walk may
/// have locked.
pub struct Maps {
    attached: Attached,
    proc: Proc,
    /// Names of tasks can be had from `/proc`.
    sees_host_pids: bool,
    reaper: Reaper,
    reaped_count: u64,
}

/// What goes on inside of walks.
pub struct Running {
    /// The waits that go on and the walks that run, each with the time of the reading; nothing if there is no walk.
    pub inputs: Vec<Input>,
    /// Whether a walk runs that must not be disturbed. One that takes longer than this won't keep the rest waiting.
    pub is_recent: bool,
}

/// A minute: [`Running::is_recent`].
const RECENT_NS: u64 = 60_000_000_000;

impl Maps {
    /// Opens `/proc` once: `/` may be the directory of the next walk.
    pub fn new(attached: Attached, facts: &Facts) -> io::Result<Self> {
        Ok(Self {
            attached,
            proc: Proc::new()?,
            sees_host_pids: facts.sees_host_pids != Answer::No,
            reaper: Reaper::new(facts),
            reaped_count: 0,
        })
    }

    /// Has the scheduler's clock compared at the next context switches, which takes each of them a few
    /// hundred instructions. The two drift apart by what NTP slews.
    pub fn compare_clocks(&mut self) -> io::Result<()> {
        let clocks = &mut self.attached.compare_clocks;
        clocks.set(0, COMPARISONS, 0).map_err(io::Error::other)
    }

    /// The same, and waits until it is done: this thread's own sleeps are context switches. Not for
    /// ever, and not at all where no program looks at them.
    pub fn compare_clocks_now(&mut self) -> io::Result<()> {
        let mut probes = self.attached.report.probes.iter();
        if !probes.any(|attached| attached.probe == STALL) {
            return Ok(());
        }
        self.compare_clocks()?;
        for _ in 0..COMPARISONS * 2 {
            let wanted = self.attached.compare_clocks.get(&0, 0);
            if wanted.map_err(io::Error::other)? == 0 {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// What goes on now. A walk whose end was not seen is taken out of the map.
    pub fn running(&mut self) -> Running {
        // An element can go while the map is read: its walk has ended, and its record comes.
        let elements: Vec<_> = self.attached.walks.iter().filter_map(Result::ok).collect();
        if elements.is_empty() {
            self.reaper.forget();
        }
        let mut walks = Vec::new();
        let mut is_recent = false;
        for (key, bytes) in elements {
            let now_ns = clock::monotonic_ns();
            // SAFETY: as many bytes as a `WalkRecord` has, which is made of integers only.
            let walk: WalkRecord = unsafe { bytes.as_ptr().cast::<WalkRecord>().read_unaligned() };
            if self.reaper.is_over(&self.proc, key, &walk, now_ns) {
                self.reap(key);
                continue;
            }
            is_recent |= walk.start_ns == 0 || now_ns.saturating_sub(walk.start_ns) < RECENT_NS;
            walks.push(Input::Running {
                now_ns,
                record: bytes.to_vec(),
            });
        }
        let waiting = (!walks.is_empty()).then(|| Input::Waiting {
            now_ns: clock::monotonic_ns(),
            waiters: self.waiters(),
        });
        Running {
            inputs: waiting.into_iter().chain(walks).collect(),
            is_recent,
        }
    }

    /// The programs count it as one that runs no more. A count that can't be written is tried again with the next one.
    fn reap(&mut self, key: u64) {
        if self.attached.walks.remove(&key).is_ok() {
            self.reaped_count += 1;
            let _ = self.attached.reaped_count.set(0, self.reaped_count, 0);
        }
    }

    fn waiters(&self) -> Vec<WaitingNow> {
        let mut found = Vec::new();
        let since_ns = self.attached.waits_since_ns.get(&0, 0).unwrap_or(0);
        for (cpu, bytes) in (0..self.attached.cpus.len()).zip(self.attached.cpus.iter()) {
            let Ok(bytes) = bytes else { continue };
            // SAFETY: as many bytes as a `CpuState` has, which is made of integers only.
            let state: CpuState = unsafe { bytes.as_ptr().cast::<CpuState>().read_unaligned() };
            found.extend(state.waiting.iter().map(|waiting| (Some(cpu), *waiting)));
        }
        for (_, bytes) in self.attached.sleepers.iter().filter_map(Result::ok) {
            // SAFETY: as many bytes as a `Waiting` has, which is made of integers only.
            let waiting: Waiting = unsafe { bytes.as_ptr().cast::<Waiting>().read_unaligned() };
            found.push((None, waiting));
        }
        found
            .into_iter()
            .filter(|(_, waiting)| waiting.lock_addr != 0 && waiting.start_ns >= since_ns)
            .map(|(cpu, waiting)| WaitingNow {
                cpu,
                lock_addr: waiting.lock_addr,
                start_ns: waiting.start_ns,
                pid: waiting.pid,
                tid: waiting.tid,
                comm: self.comm(&waiting),
            })
            .collect()
    }

    fn comm(&self, waiting: &Waiting) -> Option<Vec<u8>> {
        let task = format!("{}/task/{}", waiting.pid, waiting.tid);
        self.sees_host_pids.then(|| self.proc.comm(&task)).flatten()
    }

    /// From now on the programs compare with these. A walk or wait that goes on is compared when it ends.
    pub fn set_thresholds(&mut self, thresholds: &Thresholds) -> io::Result<()> {
        let map = &mut self.attached.thresholds;
        map.set(0, thresholds.words(), 0).map_err(io::Error::other)
    }

    /// The groups of probes that could be detached.
    pub fn groups(&self) -> Vec<Group> {
        self.attached.groups()
    }

    /// Takes a group of probes away.
    pub fn detach_group(&mut self, group: Group) {
        self.attached.detach_group(group);
    }

    /// Puts it back, or says why that can't be.
    pub fn attach_group(&mut self, group: Group) -> Result<(), String> {
        self.attached.attach_group(group)?;
        if group == Group::Stalls {
            // The two clocks have drifted apart meanwhile.
            self.compare_clocks().map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// What each process did in each directory.
    pub fn producers(&mut self) -> &mut ProducerMaps {
        &mut self.attached.producers
    }

    /// The counters, summed over CPUs.
    pub fn counts(&self) -> io::Result<Counts> {
        let skipped = self.attached.skipped(self.proc.as_fd())?;
        Ok(Counts {
            skipped_count: skipped.others_count,
            waits_skipped_count: skipped.waits_count,
            ..self.counters()?
        })
    }

    /// What the kernel counted for each program while somebody had it time them.
    pub fn runs(&self) -> io::Result<BTreeMap<String, Runs>> {
        self.attached.runs(self.proc.as_fd())
    }

    /// [`Counts::lost_count`] without what only the end of a run asks the kernel for.
    pub fn lost_count(&self) -> io::Result<u64> {
        Ok(self.counters()?.lost_count())
    }

    /// Records about producers that were left out to keep half of the ring buffer for the others.
    pub fn producers_untold_count(&self) -> io::Result<u64> {
        self.counter(count::PRODUCERS_UNTOLD)
    }

    /// One of [`count`], summed over CPUs.
    fn counter(&self, index: u32) -> io::Result<u64> {
        let per_cpu = self
            .attached
            .counters
            .get(&index, 0)
            .map_err(io::Error::other)?;
        Ok(per_cpu.iter().sum())
    }

    fn counters(&self) -> io::Result<Counts> {
        let sum = |index| self.counter(index);
        Ok(Counts {
            end_ns: clock::monotonic_ns(),
            walks_count: sum(count::WALKS)?,
            below_threshold_count: sum(count::WALKS_BELOW_THRESHOLD)?,
            ring_full_count: sum(count::RING_FULL)?,
            walks_full_count: sum(count::WALKS_FULL)?,
            unmatched_exits_count: sum(count::UNMATCHED_EXITS)?,
            missed_exits_count: sum(count::MISSED_EXITS)? + self.reaped_count,
            skipped_count: 0,
            waits_skipped_count: 0,
            waits_untold_count: sum(count::WAITS_UNTOLD)?,
            waiters_full_count: sum(count::WAITERS_FULL)?,
            stalls_untimed_count: sum(count::STALLS_UNTIMED)?,
            calls_full_count: sum(count::CALLS_FULL)?,
        })
    }
}
