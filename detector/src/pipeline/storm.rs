//! How much of a storm is told: so many lines in a minute, the worst of it in any case, and the sums of
//! what was left out of them.
//!
//! Minutes are counted from the start of the session, by the time of what is told. So a recording is
//! suppressed where the live host was.

use std::collections::HashMap;

use crate::model::{
    Finding, Incident, Limits, Suppressed, SuppressedCounts, SuppressedFinding, SyscallFinding,
    WalkFinding,
};

/// The time in which lines are counted.
pub const WINDOW_NS: u64 = 60_000_000_000;
/// A walk has a line when it runs and one when it has ended.
const LINES_PER_INCIDENT: u32 = 2;

/// Device and inode number; for system calls the process, on no device.
type Key = (u32, u64);

/// The lines of one kind in the minute.
#[derive(Default)]
struct Gate {
    per_key_max: u32,
    count_max: u32,
    told_count: u32,
    /// As many at most as were told.
    told_of: HashMap<Key, u32>,
    longest_ns: u64,
    suppressed: Suppressed,
}

impl Gate {
    fn new(limits: Limits, factor: u32) -> Self {
        Self {
            per_key_max: limits.per_directory.saturating_mul(factor),
            count_max: limits.per_host.saturating_mul(factor),
            ..Self::default()
        }
    }

    /// There is room, or it is worse by far than all that was told. That comes to less than 64 lines: a
    /// length of 64 bits can't be doubled more often.
    fn would_admit(&self, key: Key, ns: u64) -> bool {
        let of_key = self.told_of.get(&key).copied().unwrap_or(0);
        let has_room = self.told_count < self.count_max && of_key < self.per_key_max;
        has_room || ns > 0 && ns / 2 >= self.longest_ns
    }

    fn admit(&mut self, key: Key, ns: u64) {
        self.told_count = self.told_count.saturating_add(1);
        *self.told_of.entry(key).or_default() += 1;
        self.longest_ns = self.longest_ns.max(ns);
    }

    fn suppress(&mut self, ns: u64, walk: Option<&WalkFinding>) {
        let suppressed = &mut self.suppressed;
        suppressed.count += 1;
        suppressed.ns_total = suppressed.ns_total.saturating_add(ns);
        if suppressed.count == 1 || ns > suppressed.ns_max {
            suppressed.ns_max = ns;
            suppressed.worst = walk.cloned().map(Box::new);
        }
    }

    fn pass(&mut self, key: Key, ns: u64, walk: Option<&WalkFinding>) -> bool {
        let is_told = self.would_admit(key, ns);
        if is_told {
            self.admit(key, ns);
        } else {
            self.suppress(ns, walk);
        }
        is_told
    }

    /// A new minute; what was suppressed in the one that ended.
    fn next(&mut self) -> Suppressed {
        self.told_count = 0;
        self.told_of.clear();
        self.longest_ns = 0;
        std::mem::take(&mut self.suppressed)
    }
}

/// The gates of all kinds.
pub struct Storm {
    /// Everything is told where there are none.
    is_limited: bool,
    start_ns: u64,
    /// The minute, counted from the start.
    window: u64,
    incidents: Gate,
    walks: Gate,
    syscalls: Gate,
    counts: SuppressedCounts,
}

impl Storm {
    /// Nothing told so far.
    pub fn new(limits: Option<Limits>, start_ns: u64) -> Self {
        let some = limits.unwrap_or(Limits {
            per_directory: 0,
            per_host: 0,
        });
        Self {
            is_limited: limits.is_some(),
            start_ns,
            window: 0,
            incidents: Gate::new(some, 1),
            walks: Gate::new(some, LINES_PER_INCIDENT),
            syscalls: Gate::new(some, LINES_PER_INCIDENT),
            counts: SuppressedCounts::default(),
        }
    }

    /// Totals so far.
    pub fn counts(&self) -> SuppressedCounts {
        self.counts
    }

    fn window_at(&self, at_ns: u64) -> u64 {
        at_ns.saturating_sub(self.start_ns) / WINDOW_NS
    }

    /// The minute is over, and something was suppressed in it.
    pub fn is_due(&self, now_ns: u64) -> bool {
        self.window_at(now_ns) > self.window && self.has_suppressed()
    }

    fn has_suppressed(&self) -> bool {
        let of = |gate: &Gate| gate.suppressed.count > 0;
        of(&self.incidents) || of(&self.walks) || of(&self.syscalls)
    }

    /// Moves on to the minute of something that happened; what was suppressed before. Records come a
    /// little out of order: one of the minute before counts in this one.
    pub fn roll(&mut self, at_ns: u64, realtime_offset_ns: i64) -> Option<Finding> {
        let window = self.window_at(at_ns);
        if window <= self.window {
            return None;
        }
        let found = self.take(None, realtime_offset_ns);
        self.window = window;
        found
    }

    /// The end of the run.
    pub fn end(&mut self, end_ns: u64, realtime_offset_ns: i64) -> Option<Finding> {
        self.take(Some(end_ns), realtime_offset_ns)
    }

    fn take(&mut self, end_ns: Option<u64>, realtime_offset_ns: i64) -> Option<Finding> {
        let has_suppressed = self.has_suppressed();
        let start_ns = self
            .window
            .saturating_mul(WINDOW_NS)
            .saturating_add(self.start_ns);
        let minute_ns = start_ns.saturating_add(WINDOW_NS);
        let found = SuppressedFinding {
            realtime_ns: i64::try_from(start_ns)
                .unwrap_or(i64::MAX)
                .saturating_add(realtime_offset_ns),
            start_ns,
            end_ns: end_ns.map_or(minute_ns, |end_ns| end_ns.clamp(start_ns, minute_ns)),
            incidents: self.incidents.next(),
            walks: self.walks.next(),
            syscalls: self.syscalls.next(),
        };
        has_suppressed.then(|| Finding::Suppressed(Box::new(found)))
    }

    /// Whether a walk that runs would be told now. Changes nothing: such a reading is in no recording.
    pub fn would_tell_running(&self, now_ns: u64, found: &WalkFinding) -> bool {
        !self.is_limited
            || self.window_at(now_ns) > self.window
            || self.walks.would_admit(key(found), found.walk_ns)
    }

    /// Whether an incident of this walk would be told now.
    pub fn would_tell_incident(&self, found: &WalkFinding) -> bool {
        !self.is_limited
            || self.window_at(found.walk.end_ns.unwrap_or(0)) > self.window
            || self.incidents.would_admit(key(found), found.walk_ns)
    }

    /// A walk that runs is told.
    pub fn tell_running(&mut self, found: &WalkFinding) {
        if self.is_limited {
            self.walks.admit(key(found), found.walk_ns);
        }
    }

    /// Whether a walk that ended is told. One that was told while it ran is not asked about.
    pub fn tells_walk(&mut self, found: &WalkFinding) -> bool {
        let is_told = !self.is_limited || self.walks.pass(key(found), found.walk_ns, Some(found));
        self.counts.walks_count += u64::from(!is_told);
        is_told
    }

    /// Whether an incident is told.
    pub fn tells_incident(&mut self, incident: &Incident) -> bool {
        let found = &incident.walk;
        let is_told =
            !self.is_limited || self.incidents.pass(key(found), found.walk_ns, Some(found));
        self.counts.incidents_count += u64::from(!is_told);
        is_told
    }

    /// Whether a slow system call is told.
    pub fn tells_syscall(&mut self, found: &SyscallFinding) -> bool {
        let key = (u32::MAX, u64::from(found.syscall.pid));
        let is_told = !self.is_limited || self.syscalls.pass(key, found.syscall.syscall_ns(), None);
        self.counts.syscalls_count += u64::from(!is_told);
        is_told
    }
}

fn key(found: &WalkFinding) -> Key {
    (found.walk.dev, found.walk.ino)
}

#[cfg(test)]
mod tests;
