//! Reads the programs' maps while they are attached.

use std::io;

use fslockup_ebpf::count;

use crate::{
    attach::Attached,
    clock,
    pipeline::{Counts, Input},
};

/// The walks that run now, each with the time of the reading.
pub fn running(attached: &Attached) -> Vec<Input> {
    attached
        .walks
        .iter()
        // An element can go while the map is read: its walk has ended, and its record comes.
        .filter_map(Result::ok)
        .map(|(_, record)| Input::Running {
            now_ns: clock::monotonic_ns(),
            record: record.to_vec(),
        })
        .collect()
}

/// The counters, summed over CPUs.
pub fn counts(attached: &Attached) -> io::Result<Counts> {
    let sum = |index: u32| -> io::Result<u64> {
        let per_cpu = attached.counters.get(&index, 0).map_err(io::Error::other)?;
        Ok(per_cpu.iter().sum())
    };
    Ok(Counts {
        end_ns: clock::monotonic_ns(),
        walks_count: sum(count::WALKS)?,
        below_threshold_count: sum(count::WALKS_BELOW_THRESHOLD)?,
        ring_full_count: sum(count::RING_FULL)?,
        walks_full_count: sum(count::WALKS_FULL)?,
        unmatched_exits_count: sum(count::UNMATCHED_EXITS)?,
        missed_exits_count: sum(count::MISSED_EXITS)?,
        skipped_count: attached.skipped_count()?,
        waits_unseen_count: sum(count::WAITS_UNSEEN)?,
        waiters_full_count: sum(count::WAITERS_FULL)?,
        queued_full_count: sum(count::QUEUED_FULL)?,
        calls_full_count: sum(count::CALLS_FULL)?,
    })
}
