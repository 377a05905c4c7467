//! Which directories would freeze this host if somebody watched them now.

use std::collections::{BTreeMap, BTreeSet};

use fslockup_ebpf::change;
use serde::{Deserialize, Serialize};

use crate::{
    census::Census,
    event::Call,
    incident::events_on_children,
    producers::{Directory, Producer},
};

/// Somebody who already watches a directory: a first watch on it does not walk again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watcher {
    /// Process id.
    pub pid: u32,
    /// The process's name, escaped by nobody yet.
    pub comm: Vec<u8>,
    /// Through which of the two.
    pub through: WatchKind,
    /// The mask of the mark, with the names of the same interface.
    pub mask: u64,
}

impl Watcher {
    /// Its mark has events on children: another such watch on the directory doesn't walk, at least
    /// not on a kernel with 172e422ffea2.
    #[must_use]
    pub fn is_on_children(&self) -> bool {
        let call = match self.through {
            WatchKind::Inotify => Call::InotifyAddWatch,
            WatchKind::Fanotify => Call::FanotifyMark,
        };
        events_on_children(call, self.mask) != 0
    }
}

/// The interfaces whose marks `/proc/PID/fdinfo` shows (proc_pid_fdinfo(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WatchKind {
    /// inotify(7).
    Inotify,
    /// fanotify(7).
    Fanotify,
}

/// A directory in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Danger {
    /// Device, as the kernel packs it.
    pub dev: u32,
    /// Inode number.
    pub ino: u64,
    /// File system type.
    pub fstype: Vec<u8>,
    /// Path as the host sees it, escaped by nobody yet; none where no mount shows it.
    pub path: Option<Vec<u8>>,
    /// Cached children now.
    pub children_count: u64,
    /// Those without an inode; none where nobody has counted them.
    pub negative_count: Option<u64>,
    /// How long a walk over them would take.
    pub predicted_ns: u64,
    /// Who watches it already.
    pub watchers: Vec<Watcher>,
    /// Who made them, the largest first.
    pub producers: Vec<Producer>,
}

impl Danger {
    /// Dentries made by the producers listed.
    #[must_use]
    pub fn created_count(&self) -> u64 {
        self.producers.iter().fold(0, |sum, producer| {
            sum.saturating_add(producer.changes.created_count())
        })
    }
}

/// Device, as the kernel packs it, and inode number.
pub type DirectoryId = (u32, u64);

/// What the list is made from.
pub struct Sources<'a> {
    /// Directories with their producers.
    pub directories: &'a [Directory],
    /// Directories whose children were counted; also those without a known producer.
    pub censuses: &'a [Census],
    /// References on a directory's dentry, of which each child holds one: newer than a census, and
    /// silent about who is negative.
    pub references: &'a BTreeMap<DirectoryId, u64>,
    /// Marks of the host.
    pub watchers: &'a [(u32, u64, Watcher)],
}

/// The list, in no order yet. `path` gives the path of a directory as the host sees it; `predict_ns`
/// the length of a walk over so many children, so many of them negative.
///
/// Children are those of the references; else those of the census; else those that the producers made
/// and nobody was seen to remove, which leaves out what was there before and can be off. The negative
/// ones are the census's share of them. Where there was none, the producers' own account serves the
/// prediction, and no count is given.
pub fn dangers(
    sources: &Sources,
    path: impl Fn(DirectoryId, Option<&Directory>) -> Option<Vec<u8>>,
    predict_ns: impl Fn(u64, u64) -> u64,
) -> Vec<Danger> {
    let directories: BTreeMap<DirectoryId, &Directory> = sources
        .directories
        .iter()
        .map(|directory| ((directory.dev, directory.ino), directory))
        .collect();
    let censuses: BTreeMap<DirectoryId, &Census> = sources
        .censuses
        .iter()
        .map(|census| ((census.dev, census.ino), census))
        .collect();
    let mut watchers: BTreeMap<DirectoryId, Vec<Watcher>> = BTreeMap::new();
    for (dev, ino, watcher) in sources.watchers {
        let of_directory = watchers.entry((*dev, *ino)).or_default();
        // A process with several instances is one watcher for people.
        if !of_directory.contains(watcher) {
            of_directory.push(watcher.clone());
        }
    }
    let ids: BTreeSet<DirectoryId> = directories.keys().chain(censuses.keys()).copied().collect();
    ids.into_iter()
        .map(|id| {
            let directory = directories.get(&id).copied();
            let census = censuses.get(&id).copied();
            let estimate = directory.map(made_and_left).unwrap_or_default();
            let children_count = sources
                .references
                .get(&id)
                .copied()
                .or(census.map(|census| census.children_count))
                .unwrap_or(estimate.children_count);
            let negative_count = census
                .map(|census| share(census.negative_count, census.children_count, children_count));
            let guess = share(
                estimate.negative_count,
                estimate.children_count,
                children_count,
            );
            Danger {
                dev: id.0,
                ino: id.1,
                fstype: directory
                    .map(|directory| directory.fstype.clone())
                    .unwrap_or_default(),
                path: path(id, directory),
                children_count,
                negative_count,
                predicted_ns: predict_ns(children_count, negative_count.unwrap_or(guess)),
                watchers: watchers.remove(&id).unwrap_or_default(),
                producers: directory
                    .map(|directory| directory.producers.clone())
                    .unwrap_or_default(),
            }
        })
        .collect()
}

/// Dentries that should be there still.
#[derive(Default)]
struct Estimate {
    children_count: u64,
    negative_count: u64,
}

/// From the changes that were seen, those of forgotten producers included.
fn made_and_left(directory: &Directory) -> Estimate {
    let mut changes = directory.dropped;
    for producer in &directory.producers {
        changes.add(&producer.changes);
    }
    let children_count = changes
        .created_count()
        .saturating_sub(changes.removed_count());
    Estimate {
        children_count,
        negative_count: changes
            .negative_count()
            .saturating_sub(changes.of(change::REMOVED_NEGATIVE))
            .min(children_count),
    }
}

/// The same share of another whole.
fn share(part: u64, whole: u64, of: u64) -> u64 {
    if whole == 0 {
        return 0;
    }
    let scaled = u128::from(part.min(whole)) * u128::from(of) / u128::from(whole);
    u64::try_from(scaled).unwrap_or(of)
}

#[cfg(test)]
mod tests;
