//! Incidents as trace events: the JSON form that Perfetto and Chrome's own viewer load.
//!
//! Each incident is a process, each row of a CPU's lane a thread of it: events of one thread may not
//! overlap. Times are microseconds from the first event on.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    duration,
    timeline::{Bar, Lane, Timeline},
};
use crate::schema::{incident::IncidentBody, values::realtime_ns};

/// Thread ids for each CPU: more rows than the bars of an incident. The first thousand stay free: a
/// thread with its process's id would be its main thread.
const ROWS_MAX: u64 = 1_000;

#[derive(Serialize)]
struct Trace {
    #[serde(rename = "metadata")]
    about: Value,
    #[serde(rename = "traceEvents")]
    events: Vec<Value>,
}

/// Writes the trace.
///
/// # Errors
/// Those of the writer.
pub fn trace<'a>(
    to: &mut impl Write,
    incidents: impl Iterator<Item = &'a IncidentBody>,
) -> io::Result<()> {
    let incidents: Vec<_> = incidents
        .map(|incident| {
            let timeline = Timeline::of(incident);
            // The walk began at `at`; the records of the others are on the same clock as its start.
            let walk_ns = i128::from(realtime_ns(&incident.at).unwrap_or_default());
            let offset_ns = walk_ns - i128::from(incident.walk.walk.start_ns);
            (incident, timeline, offset_ns)
        })
        .collect();
    let first_ns = incidents
        .iter()
        .map(|(_, timeline, offset_ns)| i128::from(timeline.start_ns) + offset_ns)
        .min()
        .unwrap_or_default();
    let mut events = Vec::new();
    for (number, (incident, timeline, offset_ns)) in (1_u64..).zip(&incidents) {
        let walk = &incident.walk.walk;
        let name = format!(
            "{} {}: {} of {}",
            incident.at,
            incident.severity.name(),
            duration::text(walk.walk_ns),
            walk.path.as_deref().unwrap_or("a directory"),
        );
        events.push(meta(number, None, "process_name", &json!({ "name": name })));
        events.push(meta(
            number,
            None,
            "process_sort_index",
            &json!({ "sort_index": number }),
        ));
        for lane in &timeline.lanes {
            rows(&mut events, number, lane, |start_ns| {
                i128::from(start_ns) + offset_ns - first_ns
            });
        }
    }
    let trace = Trace {
        about: json!({
            "fslockup": env!("CARGO_PKG_VERSION"),
            "first_event_at": incidents.first().map(|(incident, _, _)| &incident.at),
            "host": incidents.first().map(|(incident, _, _)| &incident.host),
        }),
        events,
    };
    serde_json::to_writer(&mut *to, &trace)?;
    writeln!(to)
}

fn rows(events: &mut Vec<Value>, pid: u64, lane: &Lane, since_first_ns: impl Fn(u64) -> i128) {
    for (place, row) in (0..ROWS_MAX).zip(&lane.rows) {
        let tid = (u64::from(lane.cpu) + 1) * ROWS_MAX + place;
        let name = match (row.is_stalls, place) {
            (false, 0) => format!("CPU {}", lane.cpu),
            (false, _) => format!("CPU {} (inside)", lane.cpu),
            (true, _) => format!("CPU {} stalled", lane.cpu),
        };
        events.push(meta(
            pid,
            Some(tid),
            "thread_name",
            &json!({ "name": name }),
        ));
        events.push(meta(
            pid,
            Some(tid),
            "thread_sort_index",
            &json!({ "sort_index": tid }),
        ));
        for bar in &row.bars {
            events.push(event(pid, tid, since_first_ns(bar.start_ns), bar));
        }
    }
}

fn meta(pid: u64, tid: Option<u64>, name: &str, args: &Value) -> Value {
    let mut event = json!({ "ph": "M", "name": name, "pid": pid, "args": args });
    if let Some(tid) = tid {
        event["tid"] = tid.into();
    }
    event
}

fn event(pid: u64, tid: u64, start_ns: i128, bar: &Bar) -> Value {
    let args: Map<String, Value> = bar
        .details
        .iter()
        .map(|(word, text)| ((*word).to_owned(), text.clone().into()))
        .collect();
    json!({
        "ph": "X",
        "name": bar.name,
        "cat": bar.kind.name(),
        "pid": pid,
        "tid": tid,
        "ts": microseconds(start_ns),
        "dur": microseconds(bar.length_ns.into()),
        "args": args,
    })
}

/// Exact to the nanosecond for the first hundred days.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn microseconds(ns: i128) -> f64 {
    ns as f64 / 1e3
}

#[cfg(test)]
mod tests;
