//! The line `summary`: totals at the end of a run.

use serde::Serialize;

use super::suppressed::CountsBody;
use crate::model::{self, Summary};

/// Body of `summary`.
#[derive(Serialize)]
pub struct SummaryBody {
    duration_ns: u64,
    walks_count: u64,
    walks_below_threshold_count: u64,
    walks_reported_count: u64,
    incidents_count: u64,
    suppressed_count: u64,
    suppressed: CountsBody,
    records: Records,
    lost_count: u64,
    lost: Lost,
    bad_records_count: u64,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "units are in names")]
struct Lost {
    ring_full_count: u64,
    walks_full_count: u64,
    missed_exits_count: u64,
    skipped_count: u64,
    waits_skipped_count: u64,
    waits_untold_count: u64,
    waiters_full_count: u64,
    stalls_untimed_count: u64,
    calls_full_count: u64,
}

#[derive(Serialize)]
struct Records {
    waits: Fates,
    stalls: Fates,
    syscalls: Fates,
    releases: Fates,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "units are in names")]
struct Fates {
    used_count: u64,
    below_threshold_count: u64,
    unrelated_count: u64,
    evicted_count: u64,
}

/// The line.
#[must_use]
pub fn summary(found: &Summary) -> SummaryBody {
    let Summary {
        duration_ns,
        counts,
        reported_count,
        incidents_count,
        suppressed,
        records,
        bad_records_count,
    } = found;
    SummaryBody {
        duration_ns: *duration_ns,
        walks_count: counts.walks_count,
        walks_below_threshold_count: counts.below_threshold_count,
        walks_reported_count: *reported_count,
        incidents_count: *incidents_count,
        suppressed_count: suppressed.suppressed_count(),
        suppressed: (*suppressed).into(),
        records: Records {
            waits: records.waits.into(),
            stalls: records.stalls.into(),
            syscalls: records.syscalls.into(),
            releases: records.releases.into(),
        },
        lost_count: counts.lost_count(),
        lost: Lost {
            ring_full_count: counts.ring_full_count,
            walks_full_count: counts.walks_full_count,
            missed_exits_count: counts.missed_exits_count,
            skipped_count: counts.skipped_count,
            waits_skipped_count: counts.waits_skipped_count,
            waits_untold_count: counts.waits_untold_count,
            waiters_full_count: counts.waiters_full_count,
            stalls_untimed_count: counts.stalls_untimed_count,
            calls_full_count: counts.calls_full_count,
        },
        bad_records_count: *bad_records_count,
    }
}

impl From<model::Fates> for Fates {
    fn from(fates: model::Fates) -> Self {
        Self {
            used_count: fates.used_count,
            below_threshold_count: fates.below_threshold_count,
            unrelated_count: fates.unrelated_count,
            evicted_count: fates.evicted_count,
        }
    }
}
