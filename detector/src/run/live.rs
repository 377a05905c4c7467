//! The readings of `fslockup top` and of `check` on a live host: producers, counts, marks, and what its own walks cost.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

use aya::maps::{MapData, RingBuf};
use nix::{
    fcntl::{OFlag, open},
    sys::stat::Mode,
};

use super::{
    directories::{CountingTime, Directories},
    maps::Maps,
    origins::Origins,
};
use crate::{
    attach::Started,
    clock,
    directories::{
        danger::{DirectoryId, Watcher},
        list::{Snapshot, Totals},
        predict::{Measured, Rates},
    },
    error::CommandError,
    event::{self, Event, Walk},
    facts::{self, Facts},
    host::{mountinfo::MountTable, watchers},
    mounts::{self, Mounts},
    producers::Directory,
};

/// Walks remembered.
const WALKS_MAX: usize = 64;
/// Directories looked at.
const DIRECTORIES_MAX: usize = 256;
/// Fewer children are shown only where somebody was seen making them, and are never counted.
const CHILDREN_MIN: u64 = 1_000;
/// How long counting may take in one reading: no key is heard meanwhile.
const COUNTING_TIME: CountingTime = CountingTime {
    whole: Duration::from_millis(200),
    each: Duration::from_millis(200),
};
/// How often all of `/proc` is searched for marks.
const MARKS_PERIOD: Duration = Duration::from_secs(10);

/// Where readings come from.
pub trait Source {
    /// Takes what has come since.
    ///
    /// # Errors
    /// When the kernel can't be asked.
    fn drain(&mut self) -> Result<(), CommandError>;

    /// Reads everything. How long it takes is how long no key is heard.
    ///
    /// # Errors
    /// When the kernel can't be asked.
    fn read(&mut self) -> Result<Snapshot, CommandError>;
}

/// What the programs that are attached tell, and what `/proc` does.
pub struct Live {
    origins: Origins,
    maps: Maps,
    records: RingBuf<MapData>,
    mounts: Mounts,
    directories: Directories,
    watchers: Vec<(u32, u64, Watcher)>,
    watchers_read: Option<Instant>,
    walks: VecDeque<Measured>,
}

impl Source for Live {
    fn drain(&mut self) -> Result<(), CommandError> {
        let mut walks = Vec::new();
        while let Some(record) = self.records.next() {
            match event::decode(&record) {
                Ok(event) if self.origins.take(&event) => {}
                Ok(Event::Walk(walk)) => walks.push(walk),
                _ => {}
            }
        }
        for walk in walks {
            self.measure(&walk);
        }
        Ok(())
    }

    fn read(&mut self) -> Result<Snapshot, CommandError> {
        self.drain()?;
        self.read_mounts()?;
        let failed = CommandError::io("producers");
        self.origins.update(&mut self.maps).map_err(failed)?;
        let produced = self.origins.table().directories(DIRECTORIES_MAX);
        let references = self.directories.look(&mut self.origins, &produced);
        self.directories.count(
            &mut self.origins,
            &produced,
            &references,
            CHILDREN_MIN,
            COUNTING_TIME,
        );
        self.find_watchers(&produced, &references);
        let table = self.origins.table();
        let rates = Rates::from_walks(self.walks.make_contiguous());
        let lost_count = self.maps.lost_count();
        let now_ns = clock::monotonic_ns();
        let list =
            self.directories
                .dangers(&produced, &references, &self.watchers, &self.mounts, rates);
        Ok(Snapshot {
            at_ns: now_ns,
            realtime_ns: i64::try_from(now_ns)
                .unwrap_or(i64::MAX)
                .saturating_add(clock::realtime_offset_ns()),
            dangers: list,
            totals: Totals {
                dropped: *table.dropped(),
                uncounted: *table.uncounted(),
                lost_count: lost_count.map_err(CommandError::io("counters"))?,
                dentry_state: facts::DentryState::read(),
            },
        })
    }
}

impl Live {
    /// Finds the directories that are looked at whoever changes them.
    ///
    /// # Errors
    /// When `/proc` can't be read.
    pub fn new(facts: &Facts, started: Started) -> Result<Self, CommandError> {
        let mut live = Self {
            origins: Origins::new(facts, started.censor).map_err(CommandError::io("/proc"))?,
            maps: Maps::new(started.attached, facts).map_err(CommandError::io("/proc"))?,
            records: started.records,
            mounts: Mounts::default(),
            directories: Directories::default(),
            watchers: Vec::new(),
            watchers_read: None,
            walks: VecDeque::new(),
        };
        live.read_mounts()?;
        live.find_mounted();
        Ok(live)
    }

    /// Why children can't be counted here, if so.
    pub fn census_error(&self) -> Option<String> {
        self.origins.census_error()
    }

    /// A walk that ended is worth something together with the number of children that it passed.
    fn measure(&mut self, walk: &Walk) {
        let Some(walk_ns) = walk.walk_ns() else {
            return;
        };
        let Some(directory) = self.origins.behind_lock(walk) else {
            return;
        };
        let Ok(census) = self.origins.count(&directory, COUNTING_TIME.whole) else {
            return;
        };
        self.remember(walk);
        if self.walks.len() == WALKS_MAX {
            self.walks.pop_front();
        }
        self.walks.push_back(Measured {
            walk_ns,
            children_count: census.children_count,
            negative_count: census.negative_count,
        });
    }

    /// A directory that was walked may be walked again, whoever filled it and when.
    fn remember(&mut self, walk: &Walk) {
        let directory = self.origins.behind_lock(walk);
        let (Some(directory), Some(names)) = (directory, &walk.path) else {
            return;
        };
        let path = if walk.is_path_cut {
            mounts::join(b"...", names)
        } else {
            self.mounts
                .resolve(walk.dev, names)
                .unwrap_or_else(|| mounts::join(b"", names))
        };
        self.directories.remember(directory, path);
    }

    fn read_mounts(&mut self) -> Result<(), CommandError> {
        let text = MountTable::own()?.read()?;
        self.mounts = Mounts::parse(&text);
        self.origins.mounts(&text);
        Ok(())
    }

    /// Directories that nobody changes now can be full as well. The roots of mounts are the ones that
    /// the stories are about, and the directories for temporary files.
    fn find_mounted(&mut self) {
        let usual = [b"/tmp".to_vec(), b"/var/tmp".to_vec(), b"/dev/shm".to_vec()];
        let points = self.mounts.points().chain(usual);
        let points: Vec<_> = points.take(DIRECTORIES_MAX).collect();
        // The first of several paths is the one that stays.
        for path in points.into_iter().rev() {
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            let Ok(file) = open(path.as_slice(), flags, Mode::empty()) else {
                continue;
            };
            if let Some(directory) = self.origins.find(file.as_fd()) {
                self.directories.remember(directory, path);
            }
        }
    }

    /// Not while a walk runs: it holds the locks that showing a mark takes.
    fn find_watchers(
        &mut self,
        directories: &[Directory],
        references: &BTreeMap<DirectoryId, u64>,
    ) {
        let is_recent = self
            .watchers_read
            .is_some_and(|read| read.elapsed() < MARKS_PERIOD);
        if is_recent || !self.maps.running().inputs.is_empty() {
            return;
        }
        let known = directories.iter().map(|one| (one.dev, one.ino));
        let wanted: BTreeSet<_> = known.chain(references.keys().copied()).collect();
        self.watchers = watchers::watchers(self.origins.proc(), &wanted).found;
        self.watchers_read = Some(Instant::now());
    }
}
