//! How one scenario on one kernel ended, in one word.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How the detail of a scenario begins that failed only by what the kernel reported.
pub const UNEXPECTED_REPORT: &str = "unexpected report of the kernel";

/// How a scenario ended. A guest that was lost is not a scenario that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It exited 0, all its checks held, and the kernel reported nothing unexpected.
    Passed,
    /// It ran to its end and found something wrong.
    Failed,
    /// The kernel gave up while it ran.
    Panicked,
    /// The guest fell silent while it ran.
    Hung,
    /// It did not end in time.
    TimedOut,
    /// QEMU went away while it ran.
    Lost,
    /// Its guest sent nothing.
    NotBooted,
    /// Its guest could not be made, or not get ready for it: a module is missing, a mount failed.
    NotReady,
    /// Its kernel is not to be had.
    Unavailable,
    /// It found before it began that this kernel lacks what it is about. Never a pass.
    NotApplicable,
}

impl Outcome {
    /// The word for people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::Hung => "hung",
            Self::TimedOut => "timed out",
            Self::Lost => "lost",
            Self::NotBooted => "not booted",
            Self::NotReady => "not ready",
            Self::Unavailable => "unavailable",
            Self::NotApplicable => "not applicable",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.word())
    }
}
