//! The danger list as `top` shows it: readings compared, sorted, cut. Pure; time comes from the readings.

use std::{cmp::Reverse, collections::BTreeMap};

use serde::Serialize;

use super::danger::{Danger, DirectoryId};
use crate::{facts::DentryState, producers::Changes};

/// What the list is sorted by, the largest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum SortKey {
    /// Predicted length of a walk
    #[default]
    Predicted,
    /// Cached children
    Children,
    /// Those of them that are known to be negative
    Negative,
    /// Entries made a second
    Created,
}

impl SortKey {
    /// The words on the screen.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Predicted => "predicted freeze",
            Self::Children => "children",
            Self::Negative => "negative children",
            Self::Created => "entries made a second",
        }
    }
}

/// Sums over everything, also over what is not in the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Changes of producers and directories that had to make room.
    pub dropped: Changes,
    /// Changes that the kernel had no room to count by process and directory.
    pub uncounted: Changes,
    /// Records that the kernel side could not emit.
    pub lost_count: u64,
    /// The host's dentry cache.
    pub dentry_state: Option<DentryState>,
}

/// One reading of everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// The same moment, in nanoseconds since 1970.
    pub realtime_ns: i64,
    /// Directories in any order.
    pub dangers: Vec<Danger>,
    /// Sums.
    pub totals: Totals,
}

/// A directory with what two readings tell of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The directory.
    pub danger: Danger,
    /// Entries made a second since the reading before; none at the first one.
    pub created_per_s: Option<u64>,
}

/// What is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View<'a> {
    /// When it was read, in nanoseconds since 1970.
    pub realtime_ns: i64,
    /// Since the first reading.
    pub duration_ns: u64,
    /// What it is sorted by.
    pub sort: SortKey,
    /// The first of the list.
    pub rows: Vec<&'a Row>,
    /// How many directories there are.
    pub directories_count: usize,
    /// Sums.
    pub totals: Totals,
}

/// The latest reading, compared with the one before it.
#[derive(Debug, Default)]
pub struct Top {
    rows: Vec<Row>,
    totals: Totals,
    realtime_ns: i64,
    at_ns: Option<u64>,
    start_ns: u64,
}

impl Top {
    /// Takes a reading.
    pub fn update(&mut self, snapshot: Snapshot) {
        let before: BTreeMap<DirectoryId, u64> = self
            .rows
            .iter()
            .map(|row| (id(&row.danger), row.danger.created_count()))
            .collect();
        let elapsed_ns = self
            .at_ns
            .map(|before_ns| snapshot.at_ns.saturating_sub(before_ns))
            .filter(|elapsed_ns| *elapsed_ns > 0);
        self.rows = snapshot
            .dangers
            .into_iter()
            .map(|danger| {
                let made = danger
                    .created_count()
                    .saturating_sub(before.get(&id(&danger)).copied().unwrap_or_default());
                let created_per_s = elapsed_ns.map(|elapsed_ns| per_second(made, elapsed_ns));
                Row {
                    danger,
                    created_per_s,
                }
            })
            .collect();
        if self.at_ns.is_none() {
            self.start_ns = snapshot.at_ns;
        }
        self.at_ns = Some(snapshot.at_ns);
        self.realtime_ns = snapshot.realtime_ns;
        self.totals = snapshot.totals;
    }

    /// The first `limit` of the list. Equals stand by device and inode number, so that lines don't
    /// change places for nothing.
    #[must_use]
    pub fn view(&self, sort: SortKey, limit: usize) -> View<'_> {
        let mut rows: Vec<&Row> = self.rows.iter().collect();
        rows.sort_by_cached_key(|row| {
            let danger = &row.danger;
            let key = match sort {
                SortKey::Predicted => Some(danger.predicted_ns),
                SortKey::Children => Some(danger.children_count),
                SortKey::Negative => danger.negative_count,
                SortKey::Created => row.created_per_s,
            };
            (Reverse(key), id(danger))
        });
        rows.truncate(limit);
        View {
            realtime_ns: self.realtime_ns,
            duration_ns: self
                .at_ns
                .map_or(0, |at_ns| at_ns.saturating_sub(self.start_ns)),
            sort,
            rows,
            directories_count: self.rows.len(),
            totals: self.totals,
        }
    }
}

fn id(danger: &Danger) -> DirectoryId {
    (danger.dev, danger.ino)
}

fn per_second(count: u64, elapsed_ns: u64) -> u64 {
    let rate = u128::from(count) * 1_000_000_000 / u128::from(elapsed_ns);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(crate) mod tests;
