//! The state as metrics, in the order of the table: the same state gives the same text.

use std::{
    fmt::{Debug, Error},
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge, histogram::Histogram, info::Info},
};

use super::{
    DirectoryReading, Readings, State, seconds,
    table::{self, Metric},
};
use crate::{
    escape::escape,
    facts::DentryState,
    model::{AttachReport, Counts, budget::Group},
    schema::values::device,
};

/// Hands the state to the library.
#[derive(Debug)]
pub(super) struct Exported(pub(super) Arc<Mutex<State>>);

impl Collector for Exported {
    fn encode(&self, encoder: DescriptorEncoder) -> Result<(), Error> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.encode(&mut Encoder(encoder))
    }
}

type Labels = Vec<(&'static str, String)>;

struct Encoder<'a>(DescriptorEncoder<'a>);

impl Encoder<'_> {
    /// A metric without labels.
    fn one(&mut self, metric: &Metric, value: &impl EncodeMetric) -> Result<(), Error> {
        let Metric {
            name, unit, help, ..
        } = metric;
        let encoder = self
            .0
            .encode_descriptor(name, help, unit.as_ref(), value.metric_type())?;
        value.encode(encoder)
    }

    /// A metric with labels: one sample for each value that they have.
    fn family<M: EncodeMetric>(
        &mut self,
        metric: &Metric,
        samples: impl IntoIterator<Item = (Labels, M)>,
    ) -> Result<(), Error> {
        let Metric {
            name, unit, help, ..
        } = metric;
        let mut encoder = self
            .0
            .encode_descriptor(name, help, unit.as_ref(), metric.kind)?;
        for (labels, value) in samples {
            value.encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

impl State {
    fn encode(&self, to: &mut Encoder) -> Result<(), Error> {
        let version = vec![("version", self.version.clone())];
        to.one(&table::BUILD, &Info::new(version))?;
        to.one(&table::START, &at(self.start_realtime_ns))?;
        let is_degraded = !self.report.is_full() || !self.detached.is_empty();
        to.one(&table::DEGRADED, &flag(is_degraded))?;
        probes(to, &self.report)?;
        let detached = Group::ALL.into_iter().map(|group| {
            let labels = vec![("group", group.name().to_owned())];
            (labels, flag(self.detached.contains(&group)))
        });
        to.family(&table::PROBES_DETACHED, detached)?;
        self.incidents(to)?;
        let none = Readings::default();
        let readings = self.readings.as_ref().unwrap_or(&none);
        dentries(to, readings.dentry_state)?;
        directories(to, &self.directories)?;
        to.family(&table::LOST, lost(&readings.counts))?;
        to.one(
            &table::BAD_RECORDS,
            &ConstCounter::new(self.bad_records_count),
        )?;
        self.programs(to)?;
        to.one(&table::CPU, &ConstCounter::new(seconds(readings.cpu_ns)))?;
        if let Some(bytes) = readings.resident_bytes {
            to.one(&table::MEMORY, &ConstGauge::new(bytes))?;
        }
        if let Some(readings) = &self.readings {
            to.one(&table::READ, &at(readings.realtime_ns))?;
        }
        Ok(())
    }

    fn incidents(&self, to: &mut Encoder) -> Result<(), Error> {
        let counts = self.readings.as_ref().map(|readings| readings.counts);
        let walks_count = counts.unwrap_or_default().walks_count;
        to.one(&table::WALKS, &ConstCounter::new(walks_count))?;
        to.one(&table::WALK, &self.walks)?;
        let incidents = self.incidents.iter().map(|(severity, count)| {
            let labels = vec![("severity", severity.name().to_owned())];
            (labels, ConstCounter::new(*count))
        });
        to.family(&table::INCIDENTS, incidents)?;
        for (metric, histograms) in [(&table::WAIT, &self.waits), (&table::HOLD, &self.holds)] {
            let samples = histograms.iter().map(|(lock, histogram): (_, &Histogram)| {
                (vec![("lock", lock.name().to_owned())], histogram.clone())
            });
            to.family(metric, samples)?;
        }
        to.one(&table::STALL, &self.stalls)?;
        to.one(&table::SYSCALL, &self.syscalls)?;
        let suppressed = self.suppressed;
        let counts = [
            ("incident", suppressed.incidents_count),
            ("walk", suppressed.walks_count),
            ("syscall", suppressed.syscalls_count),
        ];
        let samples = counts
            .into_iter()
            .map(|(kind, count)| (vec![("kind", kind.to_owned())], ConstCounter::new(count)));
        to.family(&table::SUPPRESSED, samples)
    }

    fn programs(&self, to: &mut Encoder) -> Result<(), Error> {
        let labels = |program: &str| vec![("program", escape(program.as_bytes()))];
        let programs = || self.sampled.programs.iter();
        to.family(
            &table::PROGRAM_RUNS,
            programs().map(|(program, runs)| (labels(program), ConstCounter::new(runs.runs_count))),
        )?;
        to.family(
            &table::PROGRAM_RUN,
            programs()
                .map(|(program, runs)| (labels(program), ConstCounter::new(seconds(runs.run_ns)))),
        )?;
        let sampled_s = seconds(self.sampled.sampled_ns);
        to.one(&table::PROGRAM_SAMPLED, &ConstCounter::new(sampled_s))
    }
}

fn probes(to: &mut Encoder, report: &AttachReport) -> Result<(), Error> {
    let labels = |probe: &str| vec![("probe", escape(probe.as_bytes()))];
    let attached = report.probes.iter();
    let missing = report.missing.iter();
    let is_degraded = attached
        .clone()
        .map(|one| (&one.probe, !one.refused.is_empty() || !one.lost.is_empty()))
        .chain(missing.clone().map(|one| (&one.probe, true)));
    let is_attached = attached
        .map(|one| (&one.probe, true))
        .chain(missing.map(|one| (&one.probe, false)));
    let samples = |(probe, is_so): (&String, bool)| (labels(probe), flag(is_so));
    to.family(&table::PROBE_ATTACHED, is_attached.map(samples))?;
    to.family(&table::PROBE_DEGRADED, is_degraded.map(samples))
}

/// Three states that add up: what is in use is never negative for longer than a lookup, and the kernel
/// counts negative ones among the unused only.
fn dentries(to: &mut Encoder, state: Option<DentryState>) -> Result<(), Error> {
    let samples = state.into_iter().flat_map(|state| {
        // The kernel sums counters of its CPUs without a lock: a difference can be off by a few.
        let difference = |a: i64, b: i64| a.saturating_sub(b).max(0);
        [
            (
                "in_use",
                difference(state.dentries_count, state.unused_count),
            ),
            (
                "unused_positive",
                difference(state.unused_count, state.negative_count),
            ),
            ("unused_negative", state.negative_count.max(0)),
        ]
    });
    to.family(
        &table::DENTRIES,
        samples.map(|(name, count)| (vec![("state", name.to_owned())], ConstGauge::new(count))),
    )
}

fn directories(to: &mut Encoder, directories: &[DirectoryReading]) -> Result<(), Error> {
    let labels = |one: &DirectoryReading| {
        let (dev, ino) = one.id;
        vec![
            ("path", one.path.clone()),
            ("device", device(dev)),
            ("inode", ino.to_string()),
        ]
    };
    let all = || directories.iter();
    to.family(
        &table::CHILDREN,
        all().map(|one| (labels(one), ConstGauge::new(one.children_count))),
    )?;
    let counted = all().filter_map(|one| Some((labels(one), ConstGauge::new(one.negative_count?))));
    to.family(&table::NEGATIVE, counted)?;
    to.family(
        &table::PREDICTED,
        all().map(|one| (labels(one), ConstGauge::new(seconds(one.predicted_ns)))),
    )
}

/// The parts of [`Counts::lost_count`].
fn lost(counts: &Counts) -> impl Iterator<Item = (Labels, ConstCounter<u64>)> + use<> {
    [
        ("ring_full", counts.ring_full_count),
        ("walks_full", counts.walks_full_count),
        ("missed_exits", counts.missed_exits_count),
        ("skipped", counts.skipped_count),
        ("waits_untold", counts.waits_untold_count),
        ("waiters_full", counts.waiters_full_count),
        ("stalls_untimed", counts.stalls_untimed_count),
        ("calls_full", counts.calls_full_count),
    ]
    .into_iter()
    .map(|(reason, count)| {
        (
            vec![("reason", reason.to_owned())],
            ConstCounter::new(count),
        )
    })
}

fn flag(is_so: bool) -> ConstGauge<u32> {
    ConstGauge::new(u32::from(is_so))
}

#[expect(clippy::cast_precision_loss, reason = "a time of day to a microsecond")]
fn at(realtime_ns: i64) -> ConstGauge<f64> {
    ConstGauge::new(realtime_ns as f64 / 1e9)
}
