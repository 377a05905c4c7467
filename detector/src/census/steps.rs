//! Puts the runs of the census program together, and gets over a list that changes between them.
//!
//! Between two runs anything can happen to the child at which the first one stopped. The program tells
//! when that place is lost, and counting goes on from an earlier place with the counts that held
//! there. New children come to the head of the list, behind every place, so a list that only grows
//! never loses one.

use fslockup_ebpf::{CENSUS_STEPS_MAX, CensusCursor, census_end};

use super::{
    Census, Directory,
    samples::{SAMPLES_MAX, Samples},
};

/// Places kept to go back to.
const PLACES_MAX: usize = 256;
/// Of these, the latest ones, which are kept one and all; older ones thin out.
const PLACES_LATEST: usize = 64;
/// A place can be lost this often in all before the census ends incomplete.
const RESTARTS_MAX: u64 = 1_000;
/// Children that can be passed beyond twice the number expected.
const PASSED_EXTRA: u64 = 100_000;

/// What one run of the program is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Pass this many children behind the cursor.
    Step {
        /// The last child counted.
        cursor: CensusCursor,
        /// How many.
        steps_max: u32,
    },
    /// Only look at the directory: all is counted, and what changed during the last run?
    Peek,
}

/// What one run of the program found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// [`census_end`].
    pub end: u32,
    /// The last child that it counted.
    pub cursor: CensusCursor,
    /// First link in the list when it started.
    pub first_addr: u64,
    /// Reference count of the directory's dentry.
    pub references_count: u32,
    /// Children without an inode that it passed.
    pub negative_count: u32,
    /// Children with one.
    pub positive_count: u32,
    /// What else it passed.
    pub no_child_count: u32,
    /// A name.
    pub sample: Option<Vec<u8>>,
}

/// How things stand after a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more to do.
    GoesOn,
    /// Every child was passed.
    Complete,
    /// The list changes too much: what there is has to do.
    GivenUp,
    /// The directory is gone.
    Gone,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    cursor: CensusCursor,
    negative_count: u64,
    positive_count: u64,
}

/// A census on its way.
#[derive(Debug)]
pub struct Steps {
    directory: Directory,
    /// The head of the list comes first and stays.
    places: Vec<Place>,
    steps_max: u32,
    passed_limit: u64,
    passed_count: u64,
    restarts_count: u64,
    /// The latest run lost its place.
    is_lost: bool,
    is_all_passed: bool,
    is_approximate: bool,
    first_addr: u64,
    references_count: u32,
    samples: Samples,
}

impl Steps {
    /// From a first look at the directory.
    #[must_use]
    pub fn new(directory: Directory, first_look: &Found) -> Self {
        let expected_count = directory.children_at_most(first_look.references_count);
        // Each run gives one name: a small directory is passed in small steps.
        let steps_max = expected_count
            .div_ceil(SAMPLES_MAX as u64)
            .clamp(1, CENSUS_STEPS_MAX.into());
        Self {
            directory,
            places: vec![Place::default()],
            steps_max: u32::try_from(steps_max).unwrap_or(CENSUS_STEPS_MAX),
            passed_limit: expected_count.saturating_mul(2) + PASSED_EXTRA,
            passed_count: 0,
            restarts_count: 0,
            is_lost: false,
            is_all_passed: false,
            is_approximate: false,
            first_addr: first_look.first_addr,
            references_count: first_look.references_count,
            samples: Samples::default(),
        }
    }

    /// What the next run is to do.
    #[must_use]
    pub fn ask(&self) -> Ask {
        if self.is_all_passed {
            return Ask::Peek;
        }
        Ask::Step {
            cursor: self.latest().cursor,
            steps_max: self.steps_max,
        }
    }

    /// Takes what that run found.
    pub fn take(&mut self, found: &Found) -> Progress {
        if found.end == census_end::GONE {
            return Progress::Gone;
        }
        if found.first_addr != self.first_addr || found.references_count != self.references_count {
            self.is_approximate = true;
            self.first_addr = found.first_addr;
            self.references_count = found.references_count;
        }
        if self.is_all_passed {
            return Progress::Complete;
        }
        match found.end {
            census_end::MORE | census_end::LAST => {
                self.is_lost = false;
                self.go_on(found);
                self.is_all_passed = found.end == census_end::LAST;
            }
            _ => self.go_back(),
        }
        let is_endless =
            self.passed_count > self.passed_limit || self.restarts_count > RESTARTS_MAX;
        if is_endless && !self.is_all_passed {
            Progress::GivenUp
        } else {
            Progress::GoesOn
        }
    }

    fn latest(&self) -> Place {
        self.places.last().copied().unwrap_or_default()
    }

    fn go_on(&mut self, found: &Found) {
        let latest = self.latest();
        let children_count = u64::from(found.negative_count) + u64::from(found.positive_count);
        // Even a run that passes nothing counts, so that there is an end in any case.
        self.passed_count += (children_count + u64::from(found.no_child_count)).max(1);
        if let Some(name) = &found.sample {
            self.samples.offer(name);
        }
        self.places.push(Place {
            cursor: found.cursor,
            negative_count: latest.negative_count + u64::from(found.negative_count),
            positive_count: latest.positive_count + u64::from(found.positive_count),
        });
        if self.places.len() > PLACES_MAX {
            let old_count = self.places.len() - PLACES_LATEST;
            let mut index = 0;
            self.places.retain(|_| {
                index += 1;
                index > old_count || index % 2 == 1
            });
        }
    }

    /// Tries the same place once more, because the list may have changed further on, and then the one
    /// before it.
    fn go_back(&mut self) {
        self.is_approximate = true;
        self.restarts_count += 1;
        if self.is_lost && self.places.len() > 1 {
            self.places.pop();
        }
        self.is_lost = true;
    }

    /// What was counted; an estimate where not every child was passed.
    #[must_use]
    pub fn finish(self, duration_ns: u64, longest_run_ns: u64) -> Census {
        let Place {
            negative_count,
            positive_count,
            ..
        } = self.latest();
        let counted = negative_count + positive_count;
        let is_complete = self.is_all_passed;
        let (children_count, negative_count) = if is_complete {
            (counted, negative_count)
        } else {
            let expected_count = self
                .directory
                .children_at_most(self.references_count)
                .max(counted);
            (
                expected_count,
                share(expected_count, negative_count, counted),
            )
        };
        Census {
            dev: self.directory.dev,
            ino: self.directory.ino,
            children_count,
            negative_count,
            samples: self.samples.into_names(),
            is_complete,
            is_approximate: self.is_approximate || !is_complete,
            restarts_count: self.restarts_count,
            duration_ns,
            longest_run_ns,
        }
    }
}

/// `part / whole` of a number; all of it where nothing is known, as the dangerous case is.
fn share(of: u64, part: u64, whole: u64) -> u64 {
    if whole == 0 {
        return of;
    }
    let share = u128::from(of) * u128::from(part) / u128::from(whole);
    u64::try_from(share).unwrap_or(of)
}

#[cfg(test)]
mod tests;
