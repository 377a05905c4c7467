use std::collections::BTreeMap;

use super::*;
use crate::{evidence::line, output::tests::all_cases};

/// All incidents of the cases, read back from their lines.
fn incidents() -> Vec<IncidentBody> {
    let mut found = Vec::new();
    for (session, findings) in all_cases() {
        for finding in findings {
            let mut bytes = Vec::new();
            crate::schema::line(&mut bytes, &crate::schema::finding(&session, &finding))
                .expect("memory");
            if let Ok(line::Line::Incident(incident)) = line::read(&bytes) {
                found.push(*incident);
            }
        }
    }
    assert!(found.len() > 8, "{}", found.len());
    found
}

fn traced(incidents: &[IncidentBody]) -> Value {
    let mut bytes = Vec::new();
    trace(&mut bytes, incidents.iter()).expect("memory");
    serde_json::from_slice(&bytes).expect("JSON")
}

/// What the format asks for: "Trace Event Format", by those who made it.
#[test]
fn every_event_has_what_the_format_asks_for() {
    let trace = traced(&incidents());
    // Perfetto notes in its statistics that it ignores this one.
    assert_eq!(trace["displayTimeUnit"], Value::Null);
    assert!(trace["metadata"]["fslockup"].is_string());
    let events = trace["traceEvents"].as_array().expect("a list");
    let mut named = BTreeMap::new();
    let mut bars: BTreeMap<(u64, u64), Vec<(f64, f64)>> = BTreeMap::new();
    for event in events {
        let pid = event["pid"].as_u64().expect("a process");
        assert!(event["args"].is_object() && event["name"].is_string());
        match event["ph"].as_str() {
            Some("M") => {
                let name = event["name"].as_str().expect("text");
                if name == "thread_name" {
                    let key = (pid, event["tid"].as_u64().expect("a thread"));
                    assert_ne!(key.0, key.1, "a main thread");
                    let track = event["args"]["name"].as_str().expect("text");
                    assert!(track.starts_with("CPU "), "{track}");
                    assert!(named.insert(key, track.to_owned()).is_none());
                }
            }
            Some("X") => {
                let key = (pid, event["tid"].as_u64().expect("a thread"));
                let start = event["ts"].as_f64().expect("a time");
                let length = event["dur"].as_f64().expect("a length");
                assert!(start >= 0.0 && length >= 0.0, "{event}");
                bars.entry(key).or_default().push((start, start + length));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(named.keys().eq(bars.keys()), "every track is named");
    for (track, mut bars) in bars {
        bars.sort_by(|one, other| one.0.total_cmp(&other.0));
        // Times are floating point: a nanosecond may be lost.
        let is_apart = |pair: &[(f64, f64)]| pair[0].1 <= pair[1].0 + 0.002;
        assert!(bars.windows(2).all(is_apart), "{track:?} {bars:?}");
    }
}

#[test]
fn the_walk_is_on_its_cpu_at_its_time() {
    let incidents = incidents();
    let trace = traced(&incidents[1..2]);
    let walk = &incidents[1].walk.walk;
    let events = trace["traceEvents"].as_array().expect("a list");
    let walks: Vec<_> = events
        .iter()
        .filter(|event| event["cat"] == "walk")
        .collect();
    assert_eq!(walks.len(), 1);
    assert_eq!(walks[0]["tid"], (u64::from(walk.cpu) + 1) * 1_000);
    assert_eq!(walks[0]["dur"], microseconds(walk.walk_ns.into()));
    assert_eq!(walks[0]["args"]["directory"].as_str(), walk.path.as_deref());
}

#[test]
fn nothing_makes_an_empty_trace() {
    assert_eq!(traced(&[])["traceEvents"], json!([]));
}
