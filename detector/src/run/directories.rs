//! How many children the directories at hand have: looked at often, counted where that has changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::origins::Origins;
use crate::{
    census::{self, Census},
    directories::{
        danger::{Danger, DirectoryId, Sources, Watcher, dangers},
        predict::Rates,
    },
    mounts::{self, Mounts},
    producers,
};

/// Directories without a known producer that are remembered.
const QUIET_MAX: usize = 512;

/// How much of the thread's time a reading may take for counting.
#[derive(Clone, Copy, Debug)]
pub struct CountingTime {
    /// All of it.
    pub whole: Duration,
    /// One directory; what is left of it then is estimated.
    pub each: Duration,
}

/// Directories that may be full.
#[derive(Default)]
pub struct Directories {
    /// Roots of mounts and directories that were walked, with their paths: they may be full of what
    /// nobody was seen making.
    quiet: BTreeMap<DirectoryId, (census::Directory, Vec<u8>)>,
    censuses: BTreeMap<DirectoryId, Census>,
}

impl Directories {
    /// Looks at this one as well from now on.
    pub fn remember(&mut self, directory: census::Directory, path: Vec<u8>) {
        let id = (directory.dev, directory.ino);
        if self.quiet.len() < QUIET_MAX || self.quiet.contains_key(&id) {
            self.quiet.insert(id, (directory, path));
        }
    }

    /// How many children each directory has at most. One that is gone has none, and is forgotten.
    pub fn look(
        &mut self,
        origins: &mut Origins,
        produced: &[producers::Directory],
    ) -> BTreeMap<DirectoryId, u64> {
        let mut references = BTreeMap::new();
        for one in produced.iter().filter(|one| one.dentry_addr != 0) {
            let directory = census::Directory::at(one.dentry_addr, one.dev, one.ino);
            let children_count = origins.peek(&directory).unwrap_or_default();
            references.insert((one.dev, one.ino), children_count);
        }
        self.quiet.retain(|id, (directory, _)| {
            let children_count = origins.peek(directory);
            references.insert(*id, children_count.unwrap_or_default());
            children_count.is_some()
        });
        references
    }

    /// Counts those with so many children or more anew where they have changed by more than a tenth,
    /// the largest first, as long as there is time.
    pub fn count(
        &mut self,
        origins: &mut Origins,
        produced: &[producers::Directory],
        references: &BTreeMap<DirectoryId, u64>,
        children_min: u64,
        time: CountingTime,
    ) {
        let start = Instant::now();
        let mut largest: Vec<_> = references
            .iter()
            .filter(|(_, children_count)| **children_count >= children_min)
            .map(|(id, children_count)| (*children_count, *id))
            .collect();
        largest.sort_unstable_by(|a, b| b.cmp(a));
        let shown: BTreeSet<_> = largest.iter().map(|(_, id)| *id).collect();
        self.censuses.retain(|id, _| shown.contains(id));
        for (children_count, id) in largest {
            let before = self.censuses.get(&id).map_or(0, |one| one.children_count);
            if children_count.abs_diff(before) <= before / 10 {
                continue;
            }
            let left = time.whole.saturating_sub(start.elapsed());
            if left.is_zero() {
                break;
            }
            let Some(directory) = self.place(id, produced) else {
                continue;
            };
            if let Ok(census) = origins.count(&directory, left.min(time.each)) {
                self.censuses.insert(id, census);
            }
        }
    }

    /// The danger list.
    pub fn dangers(
        &self,
        produced: &[producers::Directory],
        references: &BTreeMap<DirectoryId, u64>,
        watchers: &[(u32, u64, Watcher)],
        mounts: &Mounts,
        rates: Rates,
    ) -> Vec<Danger> {
        let censuses: Vec<_> = self.censuses.values().cloned().collect();
        dangers(
            &Sources {
                directories: produced,
                censuses: &censuses,
                references,
                watchers,
            },
            |id, directory| self.path(mounts, id, directory),
            |children_count, negative_count| rates.predict_ns(children_count, negative_count),
        )
    }

    fn place(
        &self,
        id: DirectoryId,
        produced: &[producers::Directory],
    ) -> Option<census::Directory> {
        let quiet = self.quiet.get(&id).map(|(directory, _)| *directory);
        quiet.or_else(|| {
            let one = produced.iter().find(|one| (one.dev, one.ino) == id)?;
            Some(census::Directory::at(one.dentry_addr, one.dev, one.ino))
        })
    }

    fn path(
        &self,
        mounts: &Mounts,
        id: DirectoryId,
        directory: Option<&producers::Directory>,
    ) -> Option<Vec<u8>> {
        if let Some((_, path)) = self.quiet.get(&id) {
            return Some(path.clone());
        }
        let names = directory?.path.as_ref()?;
        let on_host = mounts.resolve(id.0, names);
        on_host.or_else(|| Some(mounts::join(b"", names)))
    }
}
