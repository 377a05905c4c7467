//! How bad an incident was: three words, by rules over its figures.

use crate::model::{Impact, Severity};

/// From here on a freeze is noticed by everybody: clients time out, heartbeats are missed.
const CRITICAL_NS: u64 = 1_000_000_000;
/// A walk this long is bad even where nobody happened to need the CPU or the locks.
const WARNING_NS: u64 = 200_000_000;

/// The rules, as the variants of [`Severity`] have them. A stall counts with the time behind the
/// walk and waits for its locks: the rest of a run-queue delay is not the walk's doing.
#[must_use]
pub fn severity(walk_ns: u64, impact: &Impact, has_kernel_reports: bool) -> Severity {
    let worst_ns = walk_ns.max(impact.overlap_ns_max).max(impact.behind_ns_max);
    if worst_ns >= CRITICAL_NS || has_kernel_reports {
        Severity::Critical
    } else if walk_ns >= WARNING_NS || impact.waits_count > 0 || impact.stalls_count > 0 {
        Severity::Warning
    } else {
        Severity::Info
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_decides_at_its_limit() {
        let none = Impact::default();
        let waiters = Impact {
            waits_count: 1,
            overlap_ns_max: 999_999_999,
            ..none
        };
        let long_wait = Impact {
            overlap_ns_max: 1_000_000_000,
            ..waiters
        };
        let stalls = Impact {
            stalls_count: 1,
            behind_ns_max: 10_000_000,
            stall_ns_max: 5_000_000_000,
            ..none
        };
        let long_stall = Impact {
            behind_ns_max: 1_000_000_000,
            ..stalls
        };
        let cases = [
            (199_999_999, none, false, Severity::Info),
            (200_000_000, none, false, Severity::Warning),
            (1_000_000_000, none, false, Severity::Critical),
            (50_000_000, waiters, false, Severity::Warning),
            (50_000_000, long_wait, false, Severity::Critical),
            (50_000_000, stalls, false, Severity::Warning),
            (50_000_000, long_stall, false, Severity::Critical),
            (50_000_000, none, true, Severity::Critical),
        ];
        for (walk_ns, impact, has_reports, expected) in cases {
            assert_eq!(
                severity(walk_ns, &impact, has_reports),
                expected,
                "{walk_ns} {impact:?} {has_reports}"
            );
        }
    }
}
