//! Where the browser drew the bars of an incident, held against the incident's line.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::browser::Window;

/// Where everything is, as the browser drew it: numbers are pixels from the page's left and top.
pub const DRAWN: &str = r"
const box = of => {
    const { left, right, top, bottom } = of.getBoundingClientRect();
    return { left, right, top: top + scrollY, bottom: bottom + scrollY };
};
[...document.querySelectorAll('section')].map(section => ({
    marks: [...section.querySelectorAll('.axis span')].map(mark => ({ text: mark.textContent, ...box(mark) })),
    unit: section.querySelector('.axis .cpu').textContent,
    lanes: [...section.querySelectorAll('.lane:not(.axis)')].map(lane => ({
        cpu: lane.querySelector('.cpu').textContent,
        rows: box(lane.querySelector('.rows')),
        bars: [...lane.querySelectorAll('.bar')].map(bar => ({ kind: bar.classList[1], ...box(bar) })),
    })),
}))";

/// A bar that an incident must have: CPU, kind, begin and length in nanoseconds.
pub struct Expected {
    cpu: u64,
    pub kind: &'static str,
    start_ns: u64,
    length_ns: u64,
}

pub fn number(of: &Value, name: &str) -> u64 {
    of[name].as_u64().unwrap_or_else(|| panic!("{name}: {of}"))
}

/// From the incident's line alone, not through what drew the page.
pub fn expected(incident: &Value) -> Vec<Expected> {
    let list = |name: &str| incident[name].as_array().cloned().unwrap_or_default();
    let mut bars = vec![Expected {
        cpu: number(&incident["walk"], "cpu"),
        kind: "walk",
        start_ns: number(&incident["walk"], "start_ns"),
        length_ns: number(&incident["walk"], "walk_ns"),
    }];
    bars.extend(list("waiters").iter().map(|waiter| Expected {
        cpu: number(waiter, "cpu"),
        kind: if waiter["is_sleeping"] == true {
            "sleeping"
        } else {
            "wait"
        },
        start_ns: number(waiter, "start_ns"),
        length_ns: number(waiter, "wait_ns"),
    }));
    bars.extend(list("stalls").iter().map(|stall| Expected {
        cpu: number(stall, "cpu"),
        kind: "stall",
        start_ns: number(stall, "start_ns"),
        length_ns: number(stall, "runq_delay_ns"),
    }));
    bars
}

/// Holds what was drawn against the lines, of which the latest is drawn first.
pub fn compare(drawn: &Value, incidents: &[Value], window: Window) {
    let sections = drawn.as_array().expect("a list");
    assert_eq!(sections.len(), incidents.len());
    for (section, incident) in sections.iter().zip(incidents.iter().rev()) {
        compare_one(section, incident, window);
    }
}

#[expect(clippy::cast_precision_loss, reason = "places on a screen")]
fn compare_one(section: &Value, incident: &Value, window: Window) {
    let mut expected = expected(incident);
    let start_ns = expected
        .iter()
        .map(|bar| bar.start_ns)
        .min()
        .expect("a walk");
    let end_ns = expected
        .iter()
        .map(|bar| bar.start_ns + bar.length_ns)
        .max()
        .expect("a walk");
    let lanes = section["lanes"].as_array().expect("a list");
    let cpus: BTreeSet<u64> = expected.iter().map(|bar| bar.cpu).collect();
    let drawn: Vec<_> = lanes
        .iter()
        .map(|lane| lane["cpu"].as_str().expect("text"))
        .collect();
    assert_eq!(
        drawn,
        cpus.iter()
            .map(|cpu| format!("CPU {cpu}"))
            .collect::<Vec<_>>()
    );
    let edge = |of: &Value, name: &str| of[name].as_f64().expect("a place");
    for (lane, cpu) in lanes.iter().zip(&cpus) {
        let (left, right) = (edge(&lane["rows"], "left"), edge(&lane["rows"], "right"));
        assert!(left >= 0.0 && right <= f64::from(window.width) && right - left > 200.0);
        let scale = (right - left) / (end_ns - start_ns) as f64;
        let bars = lane["bars"].as_array().expect("a list");
        for bar in bars {
            let at = |name| edge(bar, name);
            assert!(
                at("left") >= left - 0.1 && at("right") <= right + 2.1,
                "{bar} {lane}"
            );
            let is_this = |one: &Expected| {
                let begin = left + (one.start_ns - start_ns) as f64 * scale;
                one.cpu == *cpu
                    && one.kind == bar["kind"]
                    && (begin.min(right - 2.0) - at("left")).abs() < 0.5
                    && ((one.length_ns as f64 * scale).max(2.0) - (at("right") - at("left"))).abs()
                        < 0.5
            };
            let found = expected.iter().position(is_this);
            expected.remove(found.unwrap_or_else(|| panic!("no such bar in the line: {bar}")));
            let overlaps = |other: &&Value| {
                at("left") + 2.1 < edge(other, "right")
                    && edge(other, "left") + 2.1 < at("right")
                    && at("top") < edge(other, "bottom")
                    && edge(other, "top") < at("bottom")
            };
            assert_eq!(
                bars.iter().filter(overlaps).count(),
                1,
                "only itself: {bar}"
            );
        }
    }
    assert!(expected.is_empty(), "{} bars are not drawn", expected.len());
    let walk_ns = number(&incident["walk"], "start_ns");
    assert_eq!(section["unit"], "ms");
    let marks = section["marks"].as_array().expect("a list");
    assert!(marks.iter().any(|mark| mark["text"] == "0"));
    let rows = &lanes[0]["rows"];
    let scale = (edge(rows, "right") - edge(rows, "left")) / (end_ns - start_ns) as f64;
    let zero = edge(rows, "left") + (walk_ns - start_ns) as f64 * scale;
    for mark in marks {
        let ms: f64 = mark["text"]
            .as_str()
            .expect("text")
            .parse()
            .expect("a figure");
        assert!(
            (zero + ms * 1e6 * scale - edge(mark, "left")).abs() < 1.0,
            "{mark}"
        );
    }
}
