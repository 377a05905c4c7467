//! The programs of `fslockup trace`: the same object, its own table, its own maps.

use std::os::fd::AsFd as _;

use aya::{
    Ebpf,
    maps::{MapData, PerCpuArray, RingBuf},
};
use fslockup_ebpf::{DentryRecord, TraceFilter, count, trace_count};

use super::{
    AttachError, Thresholds, attach_probes, chain, load_error, settings::Settings, skipped_count,
    unload,
};
use crate::{
    facts::{Facts, TypeIds},
    model::AttachReport,
    plan::Plan,
};

/// The ring buffer holds what two seconds may bring, within these bounds.
const RING_BYTES_MIN: u32 = 512 << 10;
const RING_BYTES_MAX: u32 = 16 << 20;

/// Programs that tell of each change of a dentry, and their maps. Dropping it detaches everything.
pub struct Tracing {
    /// What sits where.
    pub report: AttachReport,
    trace_counts: PerCpuArray<MapData, u64>,
    counters: PerCpuArray<MapData, u64>,
    programs: Ebpf,
    skipped_count: u64,
}

/// What became of the changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceCounts {
    /// Those that the filters let through.
    pub matched_count: u64,
    /// Of them, left out to keep the rate.
    pub left_out_count: u64,
    /// Of them, lost because the ring buffer was full.
    pub ring_full_count: u64,
    /// Runs of programs that the kernel left out: changes that nobody looked at.
    pub skipped_count: u64,
}

/// Loads and attaches what the plan says; the ring buffer carries the changes.
///
/// # Errors
/// When a required probe can't be attached.
pub fn attach_trace(
    plan: &Plan,
    facts: &Facts,
    type_ids: &TypeIds,
    filter: &TraceFilter,
) -> Result<(Tracing, RingBuf<MapData>), AttachError> {
    let ring_bytes = ring_bytes(filter.rate);
    let settings = Settings::new(facts, &Thresholds::NEVER, *filter)?;
    let mut ebpf = settings.load(facts, &mut settings.loader(), Some(ring_bytes))?;
    let (report, _) = attach_probes(&mut ebpf, plan, facts, type_ids)?;
    let mut take = |name: &str| {
        ebpf.take_map(name)
            .ok_or_else(|| load_error(facts, format!("map {name} is not in the object")))
    };
    let bad_map = |error: aya::maps::MapError| load_error(facts, chain(&error));
    let records = RingBuf::try_from(take("RECORDS")?).map_err(bad_map)?;
    let tracing = Tracing {
        report,
        trace_counts: PerCpuArray::try_from(take("TRACE_COUNTS")?).map_err(bad_map)?,
        counters: PerCpuArray::try_from(take("COUNTERS")?).map_err(bad_map)?,
        programs: ebpf,
        skipped_count: 0,
    };
    Ok((tracing, records))
}

/// A power of two, as the kernel wants it.
fn ring_bytes(rate: u64) -> u32 {
    let wanted = rate.saturating_mul(2 * size_of::<DentryRecord>() as u64);
    u32::try_from(wanted)
        .unwrap_or(RING_BYTES_MAX)
        .clamp(RING_BYTES_MIN, RING_BYTES_MAX)
        .next_power_of_two()
}

impl Tracing {
    /// Takes the programs out of the kernel; records that are written stay in the ring buffer.
    ///
    /// # Errors
    /// When the kernel's account of runs left out can't be read.
    pub fn detach(&mut self) -> std::io::Result<()> {
        let proc = std::fs::File::open("/proc")?;
        for (_, program) in self.programs.programs() {
            self.skipped_count += skipped_count(proc.as_fd(), program)?;
        }
        for (_, program) in self.programs.programs_mut() {
            unload(program);
        }
        Ok(())
    }

    /// The counters, summed over CPUs; the runs left out only after [`Self::detach`].
    ///
    /// # Errors
    /// When a map can't be read.
    pub fn counts(&self) -> std::io::Result<TraceCounts> {
        let sum = |map: &PerCpuArray<MapData, u64>, index: u32| {
            let per_cpu = map.get(&index, 0).map_err(std::io::Error::other)?;
            Ok::<u64, std::io::Error>(per_cpu.iter().sum())
        };
        Ok(TraceCounts {
            matched_count: sum(&self.trace_counts, trace_count::MATCHED)?,
            left_out_count: sum(&self.trace_counts, trace_count::LEFT_OUT)?,
            ring_full_count: sum(&self.counters, count::RING_FULL)?,
            skipped_count: self.skipped_count,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_buffer_is_a_power_of_two_for_every_rate() {
        for rate in [1, 1_000, 4_000, u64::from(u32::MAX), u64::MAX] {
            let bytes = ring_bytes(rate);
            assert!(bytes.is_power_of_two(), "{rate}: {bytes}");
            assert!((RING_BYTES_MIN..=RING_BYTES_MAX).contains(&bytes));
        }
        assert_eq!(ring_bytes(1_000), 4 << 20);
    }
}
