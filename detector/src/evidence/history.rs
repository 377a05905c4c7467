//! What all lines of a state directory together say: which runs there were, how they ended, and
//! which walks were running when one ended without a goodbye.

use std::collections::{BTreeMap, VecDeque};

use super::line::{Line, RunBody, RunState, Unreadable};
use crate::schema::{
    incident::IncidentBody,
    walk::{WalkBody, WalkState},
};

/// Walks that run at one time and are kept; each belongs to a task of its own.
const RUNNING_MAX: usize = 1_024;
/// Runs that are kept: the latest.
const RUNS_MAX: usize = 1_024;

/// One run of the daemon.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its first line.
    pub start: RunBody,
    /// Its goodbye.
    pub end: Option<RunBody>,
    /// Walks that were told while they ran and whose end was never told.
    pub running: Vec<WalkBody>,
    /// Incidents in it.
    pub incidents_count: u64,
}

/// How a run ended, as far as the lines say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunEnd {
    /// It goes on.
    Running,
    /// With a goodbye.
    Ended,
    /// Without one; the kernel was started anew after it: a reset, a crash, or a stop that left no time.
    HostWasReset,
    /// Without one; the same kernel runs on: killed, or crashed.
    ProcessDied,
    /// Without one, and the kernel after it can't be told.
    NoGoodbye,
}

impl RunEnd {
    /// It said no goodbye, and is over.
    #[must_use]
    pub fn is_sudden(self) -> bool {
        matches!(
            self,
            Self::HostWasReset | Self::ProcessDied | Self::NoGoodbye
        )
    }
}

/// What the lines themselves can't say.
#[derive(Clone, Debug, Default)]
pub struct Now {
    /// An instance writes to the directory.
    pub is_in_use: bool,
    /// The kernel's name of this boot; none where it can't be told, or the directory is another host's.
    pub boot_id: Option<String>,
}

/// An incident in one row.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name.
    pub id: String,
    /// When its walk began. RFC 3339 in UTC.
    pub at: String,
    /// The word.
    pub severity: &'static str,
    /// Its walk's length.
    pub walk_ns: u64,
    /// The longest overlap or time behind sections.
    pub damage_ns: u64,
    /// Most CPUs blocked at one time.
    pub cpus_blocked_max: usize,
    /// The directory.
    pub path: Option<String>,
}

/// Which incidents are kept whole: the rest become rows.
#[derive(Clone, Debug)]
pub enum Keep {
    /// None.
    Rows,
    /// Those whose name starts so.
    Id(String),
    /// The latest.
    Latest(usize),
}

/// What was read.
#[derive(Debug)]
pub struct History {
    keep: Keep,
    /// Oldest first, [`RUNS_MAX`] at most.
    pub runs: VecDeque<Run>,
    /// All incidents, oldest first.
    pub rows: Vec<Row>,
    /// The incidents that were to be kept, each with its line as it was, oldest first.
    pub incidents: VecDeque<(IncidentBody, Vec<u8>)>,
    /// How many lines say nothing, by file and reason.
    pub unreadable: BTreeMap<(String, Unreadable), u64>,
    /// Lines that never reached the disk, as far as that was told.
    pub lost_count: u64,
    running: BTreeMap<(u64, u32), WalkBody>,
}

impl History {
    /// Of nothing.
    #[must_use]
    pub fn new(keep: Keep) -> Self {
        Self {
            keep,
            runs: VecDeque::new(),
            rows: Vec::new(),
            incidents: VecDeque::new(),
            unreadable: BTreeMap::new(),
            lost_count: 0,
            running: BTreeMap::new(),
        }
    }

    /// The next line, in the order of writing. `file` names it where it can't be read.
    pub fn line(&mut self, file: &str, bytes: &[u8]) {
        match super::line::read(bytes) {
            Ok(Line::Run(run)) => self.run(run),
            Ok(Line::Walk(walk)) => self.walk(*walk),
            Ok(Line::Incident(incident)) => self.incident(*incident, bytes),
            Ok(Line::Loss(loss)) => {
                self.lost_count = self.lost_count.saturating_add(loss.lost_count);
            }
            Err(reason) => self.skipped(file, reason),
        }
    }

    /// A line that says nothing.
    pub fn skipped(&mut self, file: &str, reason: Unreadable) {
        *self
            .unreadable
            .entry((file.to_owned(), reason))
            .or_default() += 1;
    }

    /// After the last line.
    #[must_use]
    pub fn finish(mut self) -> Self {
        self.close();
        self
    }

    /// The runs with their ends, oldest first.
    pub fn ends<'a>(&'a self, now: &'a Now) -> impl Iterator<Item = (&'a Run, RunEnd)> {
        self.runs.iter().enumerate().map(move |(place, run)| {
            let next = self.runs.get(place + 1);
            let is_last = next.is_none();
            let after = next.map_or(&now.boot_id, |next| &next.start.boot_id);
            let end = match (&run.end, &run.start.boot_id, after) {
                (Some(_), _, _) => RunEnd::Ended,
                (None, _, _) if is_last && now.is_in_use => RunEnd::Running,
                (None, Some(boot), Some(after)) if boot == after => RunEnd::ProcessDied,
                (None, Some(_), Some(_)) => RunEnd::HostWasReset,
                (None, _, _) => RunEnd::NoGoodbye,
            };
            (run, end)
        })
    }

    /// What is still running belongs to the run that the lines were of.
    fn close(&mut self) {
        let running = std::mem::take(&mut self.running);
        if let Some(run) = self.runs.back_mut() {
            run.running.extend(running.into_values());
        }
    }

    fn run(&mut self, run: RunBody) {
        let is_known = self.runs.back().is_some_and(|last| {
            last.end.is_none() && (&last.start.boot_id, last.start.pid) == (&run.boot_id, run.pid)
        });
        match run.state {
            RunState::Ended if is_known => {
                self.close();
                if let Some(last) = self.runs.back_mut() {
                    last.end = Some(run);
                }
            }
            RunState::Continued if is_known => {}
            RunState::Started | RunState::Continued | RunState::Ended => {
                self.close();
                if self.runs.len() == RUNS_MAX {
                    self.runs.pop_front();
                }
                let is_end = run.state == RunState::Ended;
                self.runs.push_back(Run {
                    end: is_end.then(|| run.clone()),
                    start: run,
                    running: Vec::new(),
                    incidents_count: 0,
                });
            }
        }
    }

    fn walk(&mut self, walk: WalkBody) {
        let key = (walk.walk.start_ns, walk.walk.tid);
        match walk.state {
            WalkState::Finished => {
                self.running.remove(&key);
            }
            WalkState::Running => {
                if self.running.len() == RUNNING_MAX {
                    self.running.pop_first();
                }
                self.running.insert(key, walk);
            }
        }
    }

    fn incident(&mut self, incident: IncidentBody, bytes: &[u8]) {
        let walk = &incident.walk.walk;
        self.running.remove(&(walk.start_ns, walk.tid));
        if let Some(run) = self.runs.back_mut() {
            run.incidents_count += 1;
        }
        self.rows.push(Row {
            id: incident.id.clone(),
            at: incident.at.clone(),
            severity: incident.severity.name(),
            walk_ns: walk.walk_ns,
            damage_ns: incident
                .impact
                .overlap_ns_max
                .max(incident.impact.behind_ns_max),
            cpus_blocked_max: incident.impact.cpus_blocked_max,
            path: walk.path.clone(),
        });
        let is_kept = match &self.keep {
            Keep::Rows => false,
            Keep::Id(start) => incident.id.starts_with(start.as_str()),
            Keep::Latest(count) => {
                if self.incidents.len() >= *count {
                    self.incidents.pop_front();
                }
                *count > 0
            }
        };
        if is_kept {
            self.incidents.push_back((incident, bytes.to_vec()));
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
