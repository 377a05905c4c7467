//! The table of producers: what the kernel's map says from time to time, summed up and kept bounded.
//!
//! The kernel counts for each key from the moment the key is in its map. Keys are taken out of that map
//! to make room and when their process has exited; what they counted stays here, and a key that comes
//! back counts from 0 again. [`Table::removed`] is told of each key that was taken out, with its last
//! counts: from the kernel's point of view nothing is lost in between. Here, too, the smallest make
//! room, and their sums are kept, by directory as long as that is known, else in one sum for all.

mod group;
mod row;

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use fslockup_ebpf::{ProducerCounts, ProducerKey, change};

use super::{Changes, Directory, Identity};
use group::{Group, GroupKey};
use row::{Row, Samples};

/// A process seen for the first time to change the children of a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Address of the directory's dentry.
    pub dentry_addr: u64,
    /// Names from the root of its file system to the directory; none where it could not be read.
    pub path: Option<Vec<Vec<u8>>>,
    /// Its file system type.
    pub fstype: Vec<u8>,
    /// What the process is.
    pub identity: Identity,
    /// When, CLOCK_MONOTONIC.
    pub at_ns: u64,
}

/// How much is kept. Whatever is beyond it goes into sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Elements that the kernel's map has room for.
    pub kernel_keys: usize,
    /// Processes in directories.
    pub rows: usize,
    /// Groups of exited processes in directories.
    pub groups: usize,
    /// Directories.
    pub directories: usize,
}

impl Limits {
    /// For a kernel map with room for so many keys. A row takes half a kilobyte, with sixteen long names five.
    #[must_use]
    pub fn new(kernel_keys: usize) -> Self {
        Self {
            kernel_keys,
            rows: 4096,
            groups: 1024,
            directories: 1024,
        }
    }
}

/// Process id, device and inode number: so that the rows of a process stand together.
type RowKey = (u32, u32, u64);
type DirectoryKey = (u32, u64);

fn row_key(key: &ProducerKey) -> RowKey {
    (key.pid, key.dev, key.ino)
}

fn kernel_key((pid, dev, ino): RowKey) -> ProducerKey {
    ProducerKey { ino, dev, pid }
}

/// What is known of a directory besides its producers.
#[derive(Clone, Debug, Default)]
struct Known {
    fstype: Vec<u8>,
    path: Option<Vec<Vec<u8>>>,
    dentry_addr: u64,
    /// Of the record that told it.
    at_ns: u64,
    dropped: Changes,
}

/// The table.
#[derive(Debug)]
pub struct Table {
    limits: Limits,
    rows: BTreeMap<RowKey, Row>,
    groups: BTreeMap<GroupKey, Group>,
    directories: BTreeMap<DirectoryKey, Known>,
    dropped: Changes,
    uncounted: Changes,
}

impl Table {
    /// An empty one.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            rows: BTreeMap::new(),
            groups: BTreeMap::new(),
            directories: BTreeMap::new(),
            dropped: Changes::default(),
            uncounted: Changes::default(),
        }
    }

    /// A key was put into the kernel's map, for the first time or once more. What a process was when it was
    /// first seen stays; of a directory the latest is kept.
    pub fn seen(&mut self, key: &ProducerKey, seen: Seen) {
        let known = self.directories.entry((key.dev, key.ino)).or_default();
        if seen.at_ns >= known.at_ns {
            known.at_ns = seen.at_ns;
            known.fstype = seen.fstype;
            known.dentry_addr = seen.dentry_addr;
            known.path = seen.path.or_else(|| known.path.take());
        }
        if let Some(row) = self.row(key, seen.at_ns) {
            row.is_in_kernel = true;
            row.identify(seen.identity, seen.at_ns);
        }
        // Records may come faster than updates.
        if self.directories.len() > 2 * self.limits.directories {
            self.shrink_directories();
        }
    }

    /// A name of one of its changes; `which` is a [`change`].
    pub fn name(&mut self, key: &ProducerKey, which: u32, name: &[u8]) {
        if let Some(row) = self.rows.get_mut(&row_key(key)) {
            let is_removal = which >= change::REMOVED_NEGATIVE;
            row.samples.offer(is_removal, name);
        }
    }

    /// The row of a key, made if there is room: for twice as many as are kept after the next update.
    fn row(&mut self, key: &ProducerKey, at_ns: u64) -> Option<&mut Row> {
        let has_room = self.rows.len() < 2 * self.limits.rows.max(self.limits.kernel_keys);
        match self.rows.entry(row_key(key)) {
            Entry::Occupied(entry) => Some(entry.into_mut()),
            Entry::Vacant(entry) => has_room.then(|| entry.insert(Row::new(at_ns))),
        }
    }

    /// Merges a reading of the kernel's map and of its sums of what found the map full. Returns the keys to
    /// be taken out of the map; [`Table::removed`] has to be called for each.
    ///
    /// These are the keys of processes that had exited before the reading; where the map is filled to more
    /// than three quarters, the smallest of those that did not grow, until it is half full; and where
    /// there are more rows than are kept, the smallest.
    pub fn update(
        &mut self,
        now_ns: u64,
        snapshot: &[(ProducerKey, ProducerCounts)],
        uncounted: &ProducerCounts,
    ) -> Vec<ProducerKey> {
        self.uncounted = Changes {
            counts: uncounted.counts,
        };
        for row in self.rows.values_mut() {
            row.has_grown = false;
        }
        for (key, counts) in snapshot {
            self.directories.entry((key.dev, key.ino)).or_default();
            let Some(row) = self.row(key, now_ns) else {
                // Not even room for what it counted before: its counts stay in the kernel.
                continue;
            };
            row.is_in_kernel = true;
            row.merge(counts, now_ns);
        }
        self.fold_exited();
        let mut leaving: BTreeSet<RowKey> = self.crowded();
        leaving.extend(self.shrink_rows());
        self.shrink_directories();
        let rows = self.rows.iter();
        leaving.extend(
            rows.filter(|(_, row)| row.is_in_kernel && (row.has_exited || row.is_dropped))
                .map(|(key, _)| *key),
        );
        self.shrink_groups();
        leaving.into_iter().map(kernel_key).collect()
    }

    /// A key was taken out of the kernel's map; these were its counts, none if it was not in the map.
    pub fn removed(&mut self, key: &ProducerKey, last: Option<&ProducerCounts>) {
        let row_key = row_key(key);
        let Some(row) = self.rows.get_mut(&row_key) else {
            if let Some(last) = last {
                let changes = Changes {
                    counts: last.counts,
                };
                self.drop_changes((key.dev, key.ino), &changes);
            }
            return;
        };
        if let Some(last) = last {
            // When, is only known to the next update.
            row.merge(last, row.last_ns);
        }
        row.forget_kernel();
        if row.has_exited || row.is_dropped {
            self.settle(row_key);
        }
    }

    /// The process has exited. The next update asks for its keys; what it did is then complete, and goes to the
    /// group of those that were like it. Should its id be given to another process before that, the two
    /// are one.
    pub fn exited(&mut self, pid: u32) {
        let of_process = (pid, 0, 0)..=(pid, u32::MAX, u64::MAX);
        for (_, row) in self.rows.range_mut(of_process) {
            row.has_exited = true;
        }
    }

    /// The processes that are not known to have exited, each with the time when it was first seen.
    #[must_use]
    pub fn living(&self) -> Vec<(u32, u64)> {
        let mut living: BTreeMap<u32, u64> = BTreeMap::new();
        for ((pid, ..), row) in self.rows.iter().filter(|(_, row)| !row.has_exited) {
            let first_ns = living.entry(*pid).or_insert(row.first_ns);
            *first_ns = (*first_ns).min(row.first_ns);
        }
        living.into_iter().collect()
    }

    /// A directory with its producers; none where nothing is known of it.
    #[must_use]
    pub fn directory(&self, dev: u32, ino: u64) -> Option<Directory> {
        let known = self.directories.get(&(dev, ino))?;
        let rows = self.rows.iter();
        let rows = rows.filter(|((_, row_dev, row_ino), _)| (*row_dev, *row_ino) == (dev, ino));
        let groups = self.groups.iter();
        let groups = groups.filter(|(key, _)| key.directory == (dev, ino));
        let mut producers: Vec<_> = rows
            .map(|((pid, ..), row)| row.producer(*pid))
            .chain(groups.map(|(key, group)| group.producer(&key.identity)))
            .filter(|producer| producer.changes.total_count() > 0)
            .collect();
        producers.sort_by(|a, b| {
            let rank = |changes: &Changes| (changes.created_count(), changes.total_count());
            let larger_first = rank(&b.changes).cmp(&rank(&a.changes));
            larger_first.then_with(|| (a.first_ns, a.pid).cmp(&(b.first_ns, b.pid)))
        });
        Some(Directory {
            dev,
            ino,
            fstype: known.fstype.clone(),
            path: known.path.clone(),
            dentry_addr: known.dentry_addr,
            producers,
            dropped: known.dropped,
        })
    }

    /// The directories in which the most is left of what was made, at most so many, the largest first.
    #[must_use]
    pub fn directories(&self, limit: usize) -> Vec<Directory> {
        let ranked = self.ranked();
        let largest = ranked.iter().rev().take(limit);
        largest
            .filter_map(|(_, (dev, ino))| self.directory(*dev, *ino))
            .collect()
    }

    /// Sums of those that had to make room and whose directory had to, too.
    #[must_use]
    pub fn dropped(&self) -> &Changes {
        &self.dropped
    }

    /// What the kernel could give to nobody because its map was full.
    #[must_use]
    pub fn uncounted(&self) -> &Changes {
        &self.uncounted
    }

    /// Everything that was told, whoever did it.
    #[must_use]
    pub fn total(&self) -> Changes {
        let mut total = self.dropped;
        total.add(&self.uncounted);
        for changes in self.sums().values() {
            total.add(changes);
        }
        total
    }

    /// What was done in each directory.
    fn sums(&self) -> BTreeMap<DirectoryKey, Changes> {
        let mut sums: BTreeMap<DirectoryKey, Changes> = BTreeMap::new();
        for ((_, dev, ino), row) in &self.rows {
            sums.entry((*dev, *ino)).or_default().add(&row.changes);
        }
        for (key, group) in &self.groups {
            sums.entry(key.directory).or_default().add(&group.changes);
        }
        for (directory, known) in &self.directories {
            sums.entry(*directory).or_default().add(&known.dropped);
        }
        sums
    }

    /// The directories by what is left of what was made in them, the smallest first.
    fn ranked(&self) -> Vec<(u64, DirectoryKey)> {
        let sums = self.sums();
        let known = self.directories.keys();
        let mut ranked: Vec<_> = known
            .map(|directory| {
                let sum = sums.get(directory).copied().unwrap_or_default();
                let left = sum.created_count().saturating_sub(sum.removed_count());
                (left, *directory)
            })
            .collect();
        ranked.sort_unstable();
        ranked
    }

    /// Rows of exited processes that the kernel no longer counts for become groups.
    fn fold_exited(&mut self) {
        let rows = self.rows.iter();
        let done: Vec<_> = rows
            .filter(|(_, row)| row.has_exited && !row.is_in_kernel)
            .map(|(key, _)| *key)
            .collect();
        for key in done {
            self.settle(key);
        }
    }

    /// Which keys make room in the kernel's map.
    fn crowded(&self) -> BTreeSet<RowKey> {
        let in_kernel = || self.rows.iter().filter(|(_, row)| row.is_in_kernel);
        let count = in_kernel().count();
        if count * 4 <= self.limits.kernel_keys * 3 {
            return BTreeSet::new();
        }
        // Those of exited processes leave anyway.
        let exited = in_kernel().filter(|(_, row)| row.has_exited).count();
        let excess = (count - exited).saturating_sub(self.limits.kernel_keys / 2);
        let still = in_kernel().filter(|(_, row)| !row.has_grown && !row.has_exited);
        smallest(still, excess)
    }

    /// Drops the smallest rows that the kernel no longer counts for, and returns the keys of others that have
    /// to leave the kernel first.
    fn shrink_rows(&mut self) -> BTreeSet<RowKey> {
        let excess = |table: &Self| {
            let stay = table.rows.values().filter(|row| !row.has_exited);
            stay.count().saturating_sub(table.limits.rows)
        };
        let outside = self.rows.iter().filter(|(_, row)| !row.is_in_kernel);
        for key in smallest(outside, excess(self)) {
            self.settle_dropped(key);
        }
        let inside = self.rows.iter().filter(|(_, row)| !row.has_exited);
        let leaving = smallest(inside, excess(self));
        for key in &leaving {
            if let Some(row) = self.rows.get_mut(key) {
                row.is_dropped = true;
            }
        }
        leaving
    }

    fn shrink_groups(&mut self) {
        let excess = self.groups.len().saturating_sub(self.limits.groups);
        if excess == 0 {
            return;
        }
        let mut ranked: Vec<_> = self.groups.iter().collect();
        ranked.sort_by_key(|(_, group)| group.changes.total_count());
        let smallest = ranked.into_iter().take(excess);
        let smallest: Vec<_> = smallest.map(|(key, _)| key.clone()).collect();
        for key in smallest {
            if let Some(group) = self.groups.remove(&key) {
                self.drop_changes(key.directory, &group.changes);
            }
        }
    }

    /// The smallest directories make room, with all their groups and rows. Rows that the kernel counts for
    /// leave with the next keys to be taken out.
    fn shrink_directories(&mut self) {
        let excess = self
            .directories
            .len()
            .saturating_sub(self.limits.directories);
        if excess == 0 {
            return;
        }
        let leaving = self.ranked().into_iter().take(excess);
        let leaving: BTreeSet<_> = leaving.map(|(_, directory)| directory).collect();
        for directory in &leaving {
            if let Some(known) = self.directories.remove(directory) {
                self.dropped.add(&known.dropped);
            }
        }
        let dropped = &mut self.dropped;
        self.groups.retain(|key, group| {
            let stays = !leaving.contains(&key.directory);
            if !stays {
                dropped.add(&group.changes);
            }
            stays
        });
        self.rows.retain(|(_, dev, ino), row| {
            if !leaving.contains(&(*dev, *ino)) {
                return true;
            }
            // What it did so far goes to the sum, which leaves the row to what comes until it is out.
            dropped.add(&std::mem::take(&mut row.changes));
            row.is_dropped = true;
            row.is_in_kernel
        });
    }

    /// Takes a row that the kernel no longer counts for to where it belongs.
    fn settle(&mut self, key: RowKey) {
        if self.rows.get(&key).is_some_and(|row| row.is_dropped) {
            self.settle_dropped(key);
        } else if let Some(row) = self.rows.remove(&key)
            // A record that came after its counts had left is no process more.
            && row.changes.total_count() > 0
        {
            let (pid, dev, ino) = key;
            let group = GroupKey {
                directory: (dev, ino),
                identity: row.identity.clone(),
            };
            self.groups.entry(group).or_default().fold(pid, row);
        }
    }

    fn settle_dropped(&mut self, key: RowKey) {
        if let Some(row) = self.rows.remove(&key) {
            self.drop_changes((key.1, key.2), &row.changes);
        }
    }

    fn drop_changes(&mut self, directory: DirectoryKey, changes: &Changes) {
        match self.directories.get_mut(&directory) {
            Some(known) => known.dropped.add(changes),
            None => self.dropped.add(changes),
        }
    }
}

/// The keys of the rows that did the least; of those that did as much, the ones that grew longest ago.
fn smallest<'a>(
    rows: impl Iterator<Item = (&'a RowKey, &'a Row)>,
    count: usize,
) -> BTreeSet<RowKey> {
    if count == 0 {
        return BTreeSet::new();
    }
    let mut ranked: Vec<_> = rows
        .map(|(key, row)| (row.changes.total_count(), row.last_ns, *key))
        .collect();
    ranked.sort_unstable();
    ranked
        .into_iter()
        .take(count)
        .map(|(.., key)| key)
        .collect()
}

#[cfg(test)]
mod tests;
