//! An incident as bars on the CPUs that it blocked: what the page and the trace have in common.

use std::collections::BTreeMap;

use super::duration;
use crate::schema::incident::{IncidentBody, Section, StallBody, WaiterBody};

/// What a bar stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The walk.
    Walk,
    /// A wait for one of its locks, spinning.
    Wait,
    /// A wait that left its CPU to others (PREEMPT_RT).
    SleepingWait,
    /// A task that was kept from running.
    Stall,
}

impl Kind {
    /// The word in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Walk => "walk",
            Self::Wait => "wait",
            Self::SleepingWait => "sleeping wait",
            Self::Stall => "stall",
        }
    }
}

/// Something that lasted, on CLOCK_MONOTONIC.
#[derive(Clone, Debug)]
pub struct Bar {
    pub kind: Kind,
    pub start_ns: u64,
    pub length_ns: u64,
    pub name: String,
    /// What else is known, each with its word.
    pub details: Vec<(&'static str, String)>,
}

impl Bar {
    pub fn end_ns(&self) -> u64 {
        self.start_ns.saturating_add(self.length_ns)
    }
}

/// Bars one after another.
#[derive(Debug)]
pub struct Row {
    /// Tasks that were kept from running, else what kept them.
    pub is_stalls: bool,
    pub bars: Vec<Bar>,
}

/// What happened on one CPU: in a row nothing overlaps.
#[derive(Debug)]
pub struct Lane {
    pub cpu: u32,
    pub rows: Vec<Row>,
}

/// The whole incident.
#[derive(Debug)]
pub struct Timeline {
    pub start_ns: u64,
    pub end_ns: u64,
    /// By CPU; only those on which something was seen.
    pub lanes: Vec<Lane>,
}

impl Timeline {
    pub fn of(incident: &IncidentBody) -> Self {
        let mut bars: Vec<(u32, Bar)> = vec![(incident.walk.walk.cpu, walk(incident))];
        bars.extend(incident.waiters.iter().map(|one| (one.cpu, wait(one))));
        bars.extend(incident.stalls.iter().map(|one| (one.cpu, stall(one))));
        let start_ns = bars.iter().map(|(_, bar)| bar.start_ns).min();
        let end_ns = bars.iter().map(|(_, bar)| bar.end_ns()).max();
        bars.sort_by_key(|(_, bar)| (bar.kind, bar.start_ns));
        let mut lanes: BTreeMap<u32, Vec<Row>> = BTreeMap::new();
        for (cpu, bar) in bars {
            place(lanes.entry(cpu).or_default(), bar);
        }
        let lanes = lanes.into_iter().map(|(cpu, rows)| Lane { cpu, rows });
        Self {
            start_ns: start_ns.unwrap_or_default(),
            end_ns: end_ns.unwrap_or_default(),
            lanes: lanes.collect(),
        }
    }

    pub fn length_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }
}

/// Into the first row with room.
fn place(rows: &mut Vec<Row>, bar: Bar) {
    let is_stalls = bar.kind == Kind::Stall;
    let has_room = |row: &&mut Row| {
        row.is_stalls == is_stalls
            && row
                .bars
                .iter()
                .all(|other| bar.start_ns >= other.end_ns() || bar.end_ns() <= other.start_ns)
    };
    match rows.iter_mut().find(has_room) {
        Some(row) => row.bars.push(bar),
        None => rows.push(Row {
            is_stalls,
            bars: vec![bar],
        }),
    }
}

fn walk(incident: &IncidentBody) -> Bar {
    let walk = &incident.walk.walk;
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "not known".to_owned());
    let mut details = vec![
        ("directory", text(&walk.path)),
        ("task", task(&walk.comm, walk.pid, walk.tid)),
        ("through", text(&walk.trigger)),
        ("function", text(&walk.function)),
        ("walk", duration::text(walk.walk_ns)),
    ];
    if incident.walk.wait_ns > 0 {
        details.push(("of it waiting", duration::text(incident.walk.wait_ns)));
    }
    if let Some(cpu) = walk.end_cpu.filter(|cpu| *cpu != walk.cpu) {
        details.push(("ended on CPU", cpu.to_string()));
    }
    if let Some(children) = incident.walk.children_count {
        details.push(("cached children", children.to_string()));
    }
    Bar {
        kind: Kind::Walk,
        start_ns: walk.start_ns,
        length_ns: walk.walk_ns,
        name: format!("walk of {}", text(&walk.path)),
        details,
    }
}

fn wait(waiter: &WaiterBody) -> Bar {
    let mut details = vec![
        ("task", task(&waiter.comm, waiter.pid, waiter.tid)),
        ("lock", waiter.lock.name().to_owned()),
        ("wait", duration::text(waiter.wait_ns)),
        ("of it behind the walk", duration::text(waiter.overlap_ns)),
    ];
    if !waiter.stack.is_empty() {
        details.push(("in", waiter.stack.join(" < ")));
    }
    Bar {
        kind: if waiter.is_sleeping {
            Kind::SleepingWait
        } else {
            Kind::Wait
        },
        start_ns: waiter.start_ns,
        length_ns: waiter.wait_ns,
        name: format!("{} waits for {}", waiter.comm, waiter.lock.name()),
        details,
    }
}

fn stall(stall: &StallBody) -> Bar {
    let behind = match stall.behind {
        Section::Walk => "the walk".to_owned(),
        Section::Wait => format!("the wait of tid {}", stall.behind_tid),
    };
    Bar {
        kind: Kind::Stall,
        start_ns: stall.start_ns,
        length_ns: stall.runq_delay_ns,
        name: format!("{} can't run", stall.comm),
        details: vec![
            ("task", task(&stall.comm, stall.pid, stall.tid)),
            ("kept from running", duration::text(stall.runq_delay_ns)),
            ("of it behind the freeze", duration::text(stall.behind_ns)),
            ("behind", behind),
        ],
    }
}

fn task(comm: &str, pid: u32, tid: u32) -> String {
    format!("{comm} (pid {pid}, tid {tid})")
}
