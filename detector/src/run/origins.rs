//! Who made the children of the directories at hand, and how many there are: the table of producers
//! kept up to date, and a census when it is asked for.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd},
    time::{Duration, Instant},
};

use super::maps::Maps;
use crate::{
    attach::{
        PRODUCERS_MAX,
        census::{Censor, CensusError},
    },
    census, clock,
    event::{Event, ProducerSeen, Walk},
    facts::{Answer, Facts},
    host::{
        identity::{Identities, Recorded},
        proc::Proc,
    },
    model::{Children, Wanted},
    mounts::Mounts,
    producers::{
        Directory, Identity,
        table::{Limits, Seen, Table},
        template::template,
    },
};

/// How long the count of a walked directory may take: an incident is to come out within 100 ms of its
/// walk's end.
const CENSUS_DEADLINE: Duration = Duration::from_millis(40);
/// What each has of it, even where others have used it up.
const CENSUS_LEAST: Duration = Duration::from_millis(1);

/// Joins what the programs count to what processes are.
pub struct Origins {
    table: Table,
    identities: Identities,
    mounts: Mounts,
    censor: Result<Censor, CensusError>,
    facts: Facts,
}

impl Origins {
    /// Opens `/proc`. Without the program for counting there is no count; why is said where it is missing.
    pub fn new(facts: &Facts, censor: Result<Censor, CensusError>) -> io::Result<Self> {
        Ok(Self {
            table: Table::new(Limits::new(PRODUCERS_MAX)),
            identities: Identities::new(facts.sees_host_pids != Answer::No)?,
            mounts: Mounts::default(),
            censor,
            facts: facts.clone(),
        })
    }

    /// Why children can't be counted here, if so.
    pub fn census_error(&self) -> Option<String> {
        self.censor.as_ref().err().map(ToString::to_string)
    }

    /// The mount table changed.
    pub fn mounts(&mut self, mountinfo: &[u8]) {
        self.mounts = Mounts::parse(mountinfo);
    }

    /// Takes a record that is about producers; `false` if it is about something else.
    pub fn take(&mut self, event: &Event) -> bool {
        match event {
            Event::Producer(seen) => self.seen(seen),
            Event::Name(seen) => self.table.name(&seen.key, seen.change, &seen.name),
            _ => return false,
        }
        true
    }

    fn seen(&mut self, seen: &ProducerSeen) {
        let is_exe_known = !seen.is_exe_cut;
        let identity = self.identities.resolve(
            &Recorded {
                pid: seen.key.pid,
                at_ns: seen.at_ns,
                comm: &seen.comm,
                cgroup_id: seen.cgroup_id,
                exe_dev: seen.exe_dev.unwrap_or_default(),
                exe_names: seen.exe.as_deref().filter(|_| is_exe_known),
            },
            &self.mounts,
        );
        self.table.seen(
            &seen.key,
            Seen {
                dentry_addr: seen.dentry_addr,
                path: seen.path.clone().filter(|_| !seen.is_path_cut),
                fstype: seen.fstype.clone(),
                identity,
                at_ns: seen.at_ns,
            },
        );
    }

    /// What the process is that was told to walk.
    pub fn walker(&mut self, walk: &Walk) -> Identity {
        self.identities.resolve(
            &Recorded {
                pid: walk.pid,
                at_ns: walk.start_ns,
                comm: &walk.comm,
                cgroup_id: walk.cgroup_id,
                exe_dev: 0,
                exe_names: None,
            },
            &self.mounts,
        )
    }

    /// Reads what was counted since, makes room, and notes which processes have exited.
    pub fn update(&mut self, maps: &mut Maps) -> io::Result<()> {
        for (pid, first_ns) in self.table.living() {
            if !self.identities.is_alive(pid, first_ns) {
                self.table.exited(pid);
            }
        }
        let producers = maps.producers();
        let counts = producers.read();
        let uncounted = producers.uncounted().map_err(io::Error::other)?;
        let leaving = self
            .table
            .update(clock::monotonic_ns(), &counts, &uncounted);
        for key in leaving {
            let last = producers.forget(&key).map_err(io::Error::other)?;
            self.table.removed(&key, last.as_ref());
        }
        Ok(())
    }

    /// The table.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Who made the children of directories that were walked, and how many there are. The counts are read once for all
    /// of them, and they share the time for counting: what comes late is partly estimated, which is said.
    pub fn children_of(&mut self, maps: &mut Maps, wanted: &[Wanted]) -> Vec<Children> {
        if wanted.is_empty() {
            return Vec::new();
        }
        let update = self.update(maps).err();
        let began = Instant::now();
        let mut found = Vec::new();
        for one in wanted {
            let left = CENSUS_DEADLINE.saturating_sub(began.elapsed());
            let mut children = self.children(maps, one, left.max(CENSUS_LEAST));
            children
                .degraded
                .extend(update.as_ref().map(|error| format!("origin: {error}")));
            found.push(children);
        }
        found
    }

    fn children(&mut self, maps: &mut Maps, wanted: &Wanted, deadline: Duration) -> Children {
        let mut degraded = Vec::new();
        match maps.producers_untold_count() {
            Ok(0) => {}
            Ok(count) => degraded.push(format!(
                "origin: since the start {count} records of producers and their names found no \
                 room: all is counted, but somebody may be without a name"
            )),
            Err(error) => degraded.push(format!("origin: {error}")),
        }
        let origin = self.table.directory(wanted.dev, wanted.ino);
        if let Some(dropped) = origin.as_ref().map(|origin| origin.dropped)
            && dropped.total_count() > 0
        {
            degraded.push(format!(
                "origin: who made {} more entries and removed {}: they had to make room for others",
                dropped.created_count(),
                dropped.removed_count()
            ));
        }
        let census = match self.census(wanted, deadline) {
            Ok(census) => Some(census),
            Err(why) => {
                degraded.push(format!("children: {why}"));
                None
            }
        };
        if census.as_ref().is_some_and(|census| !census.is_complete) {
            degraded.push(
                "children: there was no time to count all of them, the rest is estimated"
                    .to_owned(),
            );
        }
        if origin
            .as_ref()
            .is_none_or(|origin| origin.producers.is_empty())
        {
            degraded.push(
                "origin: nobody was seen making them: they were there before, or the directory was \
                 small"
                    .to_owned(),
            );
        }
        Children {
            dev: wanted.dev,
            ino: wanted.ino,
            origin: origin.map(|origin| with_templates(origin, census.as_ref())),
            census,
            degraded,
        }
    }

    /// The directory of a walk; none where the address of its dentry is not known.
    pub fn behind_lock(&self, walk: &Walk) -> Option<census::Directory> {
        let d_lock_addr = walk.d_lock_addr?;
        census::Directory::behind_lock(&self.facts, d_lock_addr, walk.dev, walk.ino)
    }

    fn census(&mut self, wanted: &Wanted, deadline: Duration) -> Result<census::Census, String> {
        let directory = wanted.d_lock_addr.and_then(|d_lock_addr| {
            census::Directory::behind_lock(&self.facts, d_lock_addr, wanted.dev, wanted.ino)
        });
        let Some(directory) = directory else {
            return Err("the address of the directory's dentry is not known".to_owned());
        };
        self.count(&directory, deadline)
    }

    /// Counts the children of a directory.
    pub fn count(
        &mut self,
        directory: &census::Directory,
        deadline: Duration,
    ) -> Result<census::Census, String> {
        let censor = self.censor.as_mut().map_err(|error| error.to_string())?;
        censor
            .count(directory, deadline)
            .map_err(|error| error.to_string())
    }

    /// The directory behind an open file.
    pub fn find(&mut self, file: BorrowedFd<'_>) -> Option<census::Directory> {
        let found = self.censor.as_mut().ok()?.find(file).ok()?;
        // The file is closed afterwards.
        Some(census::Directory {
            own_references_count: 0,
            ..found.directory
        })
    }

    /// Children of directories can be counted: tried on `/proc`, which is open.
    pub fn can_count(&mut self) -> bool {
        let Ok(censor) = self.censor.as_mut() else {
            return false;
        };
        censor.find(self.identities.proc().as_fd()).is_ok()
    }

    /// `/proc`, for others who read it.
    pub fn proc(&self) -> &Proc {
        self.identities.proc()
    }

    /// How many children a directory has at most, without looking at them; none where it is gone.
    pub fn peek(&mut self, directory: &census::Directory) -> Option<u64> {
        self.censor.as_mut().ok()?.peek(directory).ok()?
    }
}

/// Names seen by the way help where a producer has too few of its own.
fn with_templates(mut origin: Directory, census: Option<&census::Census>) -> Directory {
    for producer in &mut origin.producers {
        producer.template = template(&producer.samples);
    }
    if let ([only], Some(census)) = (&mut origin.producers[..], census)
        && only.template.is_none()
    {
        only.template = template(&census.samples);
    }
    origin
}
