//! Records kept for walks that have not ended yet, and the account of what became of each.

use std::collections::VecDeque;

use crate::{
    event::{Release, Stall, Syscall, Wait},
    model::Fates,
};

/// Most records kept of one kind.
pub const KEPT_MAX: usize = 4096;
/// How long a record is kept at least, unless too many come: the longest freeze heard of took ten
/// minutes, and the walker's own wait is at its beginning.
const KEPT_NS: u64 = 600_000_000_000;

/// A record with a time at which it was made.
pub trait Timed {
    /// CLOCK_MONOTONIC.
    fn made_ns(&self) -> u64;
}

impl Timed for Wait {
    fn made_ns(&self) -> u64 {
        self.end_ns
    }
}

impl Timed for Stall {
    fn made_ns(&self) -> u64 {
        self.running_ns
    }
}

impl Timed for Syscall {
    fn made_ns(&self) -> u64 {
        self.end_ns
    }
}

impl Timed for Release {
    fn made_ns(&self) -> u64 {
        self.at_ns
    }
}

/// What became of a record so far. A later one in this list wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// No walk has it.
    Unrelated,
    /// A walk that was no incident has it.
    BelowThreshold,
    /// An incident has it, or it was told by itself.
    Used,
}

/// Records of one kind in the order in which they came.
pub struct Buffer<T> {
    kept: VecDeque<(T, Fate)>,
    gone: Fates,
    evicted_until_ns: u64,
}

impl<T> Default for Buffer<T> {
    fn default() -> Self {
        Self {
            kept: VecDeque::new(),
            gone: Fates::default(),
            evicted_until_ns: 0,
        }
    }
}

impl<T: Timed> Buffer<T> {
    /// Adds a record; the oldest go when they are too old or too many.
    pub fn push(&mut self, record: T) {
        let now_ns = record.made_ns();
        while let Some((oldest, fate)) = self.kept.front() {
            let is_old = oldest.made_ns().saturating_add(KEPT_NS) < now_ns;
            let is_crowded = self.kept.len() >= KEPT_MAX;
            if !is_old && !is_crowded {
                break;
            }
            count(&mut self.gone, *fate);
            if !is_old && *fate == Fate::Unrelated {
                self.gone.evicted_count += 1;
                self.evicted_until_ns = self.evicted_until_ns.max(oldest.made_ns());
            }
            self.kept.pop_front();
        }
        self.kept.push_back((record, Fate::Unrelated));
    }

    /// The records kept, each with its place, which holds until the next [`Self::push`].
    pub fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.kept
            .iter()
            .enumerate()
            .map(|(place, (record, _))| (place, record))
    }

    /// Places of the records that nothing has used or claimed.
    pub fn unrelated(&self) -> impl Iterator<Item = (usize, &T)> {
        self.kept
            .iter()
            .enumerate()
            .filter(|(_, (_, fate))| *fate == Fate::Unrelated)
            .map(|(place, (record, _))| (place, record))
    }

    /// The record at a place.
    pub fn get(&self, place: usize) -> &T {
        &self.kept[place].0
    }

    /// Notes what became of a record; what is better already stays.
    pub fn mark(&mut self, place: usize, fate: Fate) {
        let kept = &mut self.kept[place].1;
        *kept = (*kept).max(fate);
    }

    /// Notes what became of the record that came last.
    pub fn mark_last(&mut self, fate: Fate) {
        if let Some(last) = self.kept.len().checked_sub(1) {
            self.mark(last, fate);
        }
    }

    /// Records from this time or later were evicted.
    pub fn has_evicted_since(&self, time_ns: u64) -> bool {
        self.gone.evicted_count > 0 && self.evicted_until_ns >= time_ns
    }

    /// The account of all records, those still kept as they stand.
    pub fn counts(&self) -> Fates {
        let mut counts = self.gone;
        for (_, fate) in &self.kept {
            count(&mut counts, *fate);
        }
        counts
    }
}

fn count(counts: &mut Fates, fate: Fate) {
    match fate {
        Fate::Unrelated => counts.unrelated_count += 1,
        Fate::BelowThreshold => counts.below_threshold_count += 1,
        Fate::Used => counts.used_count += 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(at_ns: u64) -> Release {
        Release {
            tid: 1,
            lock_addr: 2,
            at_ns,
        }
    }

    #[test]
    fn every_record_is_accounted_for_whatever_pushed_it_out() {
        let mut buffer = Buffer::default();
        for at_ns in 0..KEPT_MAX as u64 {
            buffer.push(release(at_ns));
        }
        buffer.mark(0, Fate::Used);
        buffer.mark(1, Fate::BelowThreshold);
        buffer.push(release(KEPT_MAX as u64));
        assert_eq!(buffer.counts().used_count, 1);
        assert_eq!(buffer.counts().evicted_count, 0);
        buffer.push(release(KEPT_MAX as u64 + 1));
        buffer.push(release(KEPT_MAX as u64 + 2));
        let counts = buffer.counts();
        assert_eq!(counts.total_count(), KEPT_MAX as u64 + 3);
        assert_eq!(counts.below_threshold_count, 1);
        assert_eq!(counts.evicted_count, 1);
        assert!(buffer.has_evicted_since(2));
        assert!(!buffer.has_evicted_since(3));
    }

    #[test]
    fn what_is_old_goes_and_is_not_called_evicted() {
        let mut buffer = Buffer::default();
        buffer.push(release(1));
        buffer.push(release(2 + KEPT_NS));
        assert_eq!(buffer.iter().count(), 1);
        assert_eq!(buffer.counts().total_count(), 2);
        assert_eq!(buffer.counts().evicted_count, 0);
    }

    #[test]
    fn a_used_record_stays_used() {
        let mut buffer = Buffer::default();
        buffer.push(release(1));
        buffer.mark_last(Fate::Used);
        buffer.mark_last(Fate::BelowThreshold);
        assert_eq!(buffer.counts().used_count, 1);
    }
}
