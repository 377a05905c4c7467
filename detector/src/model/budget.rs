//! Groups of probes, and what the CPU budget makes of them.

use serde::{Deserialize, Serialize};

/// Probes that refine, and go away together. Without the walk's there would be nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Who changes the children of which directory.
    Producers,
    /// Who was kept from running.
    Stalls,
    /// Who waited for a spinlock.
    Waits,
}

impl Group {
    /// In this order where they cost the same.
    pub const ALL: [Self; 3] = [Self::Producers, Self::Stalls, Self::Waits];

    /// The word in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Producers => "producers",
            Self::Stalls => "stalls",
            Self::Waits => "waits",
        }
    }

    /// What is not seen without it.
    #[must_use]
    pub fn lost(self) -> &'static str {
        match self {
            Self::Producers => "who fills directories",
            Self::Stalls => "tasks kept from running",
            Self::Waits => "who waits for the locks",
        }
    }

    /// That of a program, by its name.
    #[must_use]
    pub fn of_program(name: &str) -> Option<Self> {
        [
            ("produce_", Self::Producers),
            ("stall_", Self::Stalls),
            ("wait_", Self::Waits),
        ]
        .into_iter()
        .find_map(|(start, group)| name.starts_with(start).then_some(group))
    }

    /// Its place in [`Group::ALL`].
    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

/// What happened to the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A group was taken away.
    Detached,
    /// It is back.
    Attached,
    /// Over the budget, and no probe that could go would help.
    Exceeded,
    /// The kernel refused to take a group back.
    Refused,
    /// The kernel doesn't tell what the programs take: nothing will be taken away.
    Unmeasured,
}

impl Change {
    /// The word in output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Detached => "detached",
            Self::Attached => "attached",
            Self::Exceeded => "exceeded",
            Self::Refused => "refused",
            Self::Unmeasured => "unmeasured",
        }
    }
}

/// A change with its reason. Shares are in millionths of one CPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetEvent {
    /// When, CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// What.
    pub change: Change,
    /// The group, where it is about one.
    pub group: Option<Group>,
    /// What programs and process took together.
    pub cpu_ppm: u64,
    /// The group's part of it.
    pub group_ppm: u64,
    /// The process's part of it.
    pub own_ppm: u64,
    /// What they may take.
    pub budget_ppm: u64,
    /// How long the group will be away at least.
    pub pause_ns: u64,
    /// How long it has been away.
    pub away_ns: u64,
    /// What the kernel said.
    pub reason: Option<String>,
}
