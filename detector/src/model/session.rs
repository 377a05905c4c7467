//! What is fixed for one run of the detector.

use serde::{Deserialize, Serialize};

use super::{AttachReport, Limits, ThresholdsChange};
use crate::facts::{Answer, Facts};

/// What is fixed for one run of the detector: enough to judge its records anywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Version of the `fslockup` that recorded.
    pub fslockup_version: String,
    /// The kernel and the host.
    pub facts: Facts,
    /// What was attached.
    pub attached: AttachReport,
    /// Add this to CLOCK_MONOTONIC to get CLOCK_REALTIME, both in nanoseconds; as it was at the start.
    pub realtime_offset_ns: i64,
    /// CLOCK_MONOTONIC when all was attached.
    pub start_ns: u64,
    /// A walk shorter than this was only counted.
    pub walk_threshold_ns: u64,
    /// A walk this long is an incident, and so is a shorter one that did as much damage.
    #[serde(default)]
    pub incident_threshold_ns: u64,
    /// A wait for a spinlock shorter than this left no record.
    #[serde(default)]
    pub wait_threshold_ns: u64,
    /// A task kept from running for less than this left no record.
    #[serde(default)]
    pub stall_threshold_ns: u64,
    /// How much is told in a minute; none: all of it.
    #[serde(default)]
    pub limits: Option<Limits>,
}

impl Session {
    /// CLOCK_REALTIME of a time on CLOCK_MONOTONIC, in nanoseconds.
    #[must_use]
    pub fn realtime_ns(&self, monotonic_ns: u64) -> i64 {
        i64::try_from(monotonic_ns)
            .unwrap_or(i64::MAX)
            .saturating_add(self.realtime_offset_ns)
    }

    /// Judges with other thresholds from now on.
    pub(crate) fn change(&mut self, to: &ThresholdsChange) {
        self.walk_threshold_ns = to.walk_threshold_ns;
        self.incident_threshold_ns = to.incident_threshold_ns;
        self.wait_threshold_ns = to.wait_threshold_ns;
        self.stall_threshold_ns = to.stall_threshold_ns;
    }

    /// Spinlocks sleep here (PREEMPT_RT): whoever holds or awaits one leaves its CPU to others.
    #[must_use]
    pub fn spinlocks_sleep(&self) -> bool {
        self.facts.spinlocks_sleep == Answer::Yes
    }
}
