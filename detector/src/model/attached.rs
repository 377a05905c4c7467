//! What was attached, and what is lost where something was not.

use serde::{Deserialize, Serialize};

use crate::plan::{Missing, Target};

/// The outcome of acting on a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachReport {
    /// One entry for each probe that is attached.
    pub probes: Vec<AttachedProbe>,
    /// Probes that are not, with what is lost.
    pub missing: Vec<Missing>,
}

/// One probe that is attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachedProbe {
    /// The probe's name.
    pub probe: String,
    /// Where it sits, its parts included.
    pub targets: Vec<Target>,
    /// Targets that the plan preferred and the kernel refused, with its reason.
    pub refused: Vec<Refused>,
    /// What is not seen although the probe is attached.
    pub lost: Vec<String>,
}

/// A target that the kernel refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The target.
    pub target: Target,
    /// Why.
    pub reason: String,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.target, self.reason)
    }
}

impl AttachReport {
    /// The function behind a slot of a probe.
    #[must_use]
    pub fn function(&self, probe: &str, slot: u32) -> Option<&str> {
        let probe = self
            .probes
            .iter()
            .find(|attached| attached.probe == probe)?;
        let target = probe.targets.iter().find(|target| target.slot == slot)?;
        Some(&target.function)
    }

    /// Nothing is lost: every probe is attached, each at the target preferred.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.missing.is_empty()
            && self
                .probes
                .iter()
                .all(|probe| probe.refused.is_empty() && probe.lost.is_empty())
    }
}
