//! What is told of a storm, and what is not.

use std::collections::HashMap;

use fslockup_ebpf::WalkRecord;
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

use super::WINDOW_NS;
use crate::{
    event::tests::bytes,
    model::{Limits, Suppressed, SuppressedCounts, SuppressedFinding},
    pipeline::*,
    recording::{Reader, Writer},
    testing::{self, MS, S, directory, end, input, mounts, syscall, tick},
};

const LIMITS: Limits = Limits {
    per_directory: 3,
    per_host: 5,
};

fn session() -> Session {
    Session {
        limits: Some(LIMITS),
        start_ns: 0,
        realtime_offset_ns: 0,
        ..testing::session()
    }
}

/// A walk of the `number`th directory by a task of its own.
fn walk(number: u64, tid: u32, start_ms: u64, length_ms: u64) -> WalkRecord {
    testing::walk(directory(number), tid, 0, start_ms, start_ms + length_ms)
}

/// Incidents of 60 ms, one behind the other, all of one directory; then the ticks that let them out.
fn storm(from_ms: u64, count: u64) -> Vec<Input> {
    let mut inputs = Vec::new();
    for number in 0..count {
        let start_ms = from_ms + number * 200;
        inputs.push(input(&walk(0, 42, start_ms, 60)));
        inputs.push(tick(start_ms + 150));
    }
    inputs
}

fn told(inputs: &[Input]) -> Vec<Finding> {
    testing::findings(&session(), inputs)
}

fn incidents(findings: &[Finding]) -> usize {
    findings
        .iter()
        .filter(|finding| matches!(finding, Finding::Incident(_)))
        .count()
}

fn walks(findings: &[Finding]) -> usize {
    findings
        .iter()
        .filter(|finding| matches!(finding, Finding::Walk(_)))
        .count()
}

fn suppressed(findings: &[Finding]) -> Vec<&SuppressedFinding> {
    findings
        .iter()
        .filter_map(|finding| match finding {
            Finding::Suppressed(found) => Some(&**found),
            _ => None,
        })
        .collect()
}

fn summary(findings: &[Finding]) -> &Summary {
    match findings.last() {
        Some(Finding::Summary(summary)) => summary,
        other => panic!("no summary: {other:?}"),
    }
}

#[test]
fn so_many_of_a_directory_are_told_and_the_rest_is_counted() {
    let mut inputs = storm(1_000, 10);
    inputs.push(end(10_000));
    let found = told(&inputs);
    assert_eq!((incidents(&found), walks(&found)), (3, 6));
    let [minute] = suppressed(&found)[..] else {
        panic!("once: {found:?}")
    };
    assert_eq!(minute.incidents.count, 7);
    assert_eq!(minute.incidents.ns_total, 7 * 60 * MS);
    assert_eq!(minute.walks.count, 4);
    assert_eq!((minute.start_ns, minute.end_ns), (0, 10 * S));
    let summary = summary(&found);
    assert_eq!(summary.suppressed.suppressed_count(), 11);
    assert_eq!(summary.incidents_count, 3);
    assert_eq!(summary.reported_count, 10);
}

#[test]
fn a_directory_does_not_use_up_what_is_for_the_others() {
    let mut inputs = storm(1_000, 10);
    inputs.push(input(&walk(1, 7, 5_000, 60)));
    inputs.push(tick(5_200));
    assert_eq!(incidents(&told(&inputs)), 4);
    for number in 2..9 {
        inputs.push(input(&walk(number, 7, 5_000 + number * 100, 60)));
        inputs.push(tick(5_070 + number * 100 + 60));
    }
    assert_eq!(incidents(&told(&inputs)), 5, "of the host");
}

#[test]
fn a_new_minute_tells_of_the_one_before_and_begins_anew() {
    let mut inputs = storm(1_000, 10);
    inputs.extend(storm(61_000, 2));
    let found = told(&inputs);
    assert_eq!(incidents(&found), 5);
    let [minute] = suppressed(&found)[..] else {
        panic!("once: {found:?}")
    };
    assert_eq!((minute.start_ns, minute.end_ns), (0, 60 * S));
    let place = found
        .iter()
        .position(|finding| matches!(finding, Finding::Suppressed(_)));
    assert_eq!(place, Some(9), "before what is of the next minute");
}

#[test]
fn where_nothing_more_happens_a_tick_tells_of_it() {
    let mut pipeline = Pipeline::new(session());
    for input in storm(1_000, 10) {
        pipeline.feed(&input);
    }
    assert!(!pipeline.is_report_due(59 * S));
    assert!(pipeline.is_report_due(60 * S));
    let found = pipeline.feed(&tick(60_000));
    assert!(matches!(found[..], [Finding::Suppressed(_)]), "{found:?}");
    assert!(pipeline.has_changed());
    assert!(!pipeline.is_report_due(200 * S));
    assert_eq!(pipeline.feed(&tick(200_000)), []);
    assert!(!pipeline.has_changed());
}

#[test]
fn the_worst_is_told_however_much_came_before() {
    let mut inputs = storm(1_000, 20);
    // Not yet twice as long, then more than that.
    inputs.push(input(&walk(0, 42, 6_000, 110)));
    inputs.push(tick(6_300));
    inputs.push(input(&walk(0, 42, 7_000, 26_000)));
    inputs.push(tick(33_100));
    inputs.push(end(34_000));
    let found = told(&inputs);
    assert_eq!((incidents(&found), walks(&found)), (4, 7));
    let minute = suppressed(&found)[0];
    assert_eq!(minute.incidents.ns_max, 110 * MS);
    let worst = minute.incidents.worst.as_ref().expect("there is one");
    assert_eq!(worst.walk.start_ns, 6_000 * MS);
}

#[test]
fn a_walk_that_runs_is_told_in_a_storm_as_soon_as_it_is_the_worst() {
    let mut pipeline = Pipeline::new(session());
    pipeline.feed(&mounts());
    for input in storm(1_000, 10) {
        pipeline.feed(&input);
    }
    let unfinished = WalkRecord {
        end_ns: 0,
        ..walk(0, 42, 5_000, 0)
    };
    let mut running = |now_ms: u64| {
        let found = pipeline.feed(&Input::Running {
            now_ns: now_ms * MS,
            record: bytes(&unfinished),
        });
        (found.len(), pipeline.has_changed())
    };
    assert_eq!(running(5_060), (0, false));
    assert_eq!(running(5_119), (0, false));
    assert_eq!(running(5_120), (1, true));
    assert_eq!(running(5_220), (0, false), "once");
    // Who reads that it runs wants to know when it ended.
    let found = pipeline.feed(&input(&walk(0, 42, 5_000, 240)));
    assert_eq!(walks(&found), 1);
}

#[test]
fn slow_system_calls_are_limited_too() {
    let mut inputs: Vec<_> = (0..20)
        .map(|number| input(&syscall(42, 1_000 + number * 100, 1_030 + number * 100)))
        .collect();
    inputs.push(end(10_000));
    let found = told(&inputs);
    let calls = found
        .iter()
        .filter(|finding| matches!(finding, Finding::Syscall(_)));
    assert_eq!(
        calls.count(),
        6,
        "twice as many as incidents of a directory"
    );
    assert_eq!(suppressed(&found)[0].syscalls.count, 14);
    assert_eq!(suppressed(&found)[0].syscalls.ns_total, 14 * 30 * MS);
}

#[test]
fn without_limits_everything_is_told() {
    let mut inputs = storm(1_000, 50);
    inputs.push(end(20_000));
    let found = testing::findings(&testing::session(), &inputs);
    assert_eq!((incidents(&found), walks(&found)), (50, 50));
    assert_eq!(summary(&found).suppressed, SuppressedCounts::default());
}

#[test]
fn times_of_day_follow_the_clock() {
    let day_ns = 86_400 * i64::try_from(S).expect("small");
    let mut pipeline = Pipeline::new(testing::session());
    let mut realtime_ns = |start_ms| match &pipeline.feed(&input(&walk(0, 42, start_ms, 20)))[..] {
        [Finding::Walk(walk)] => (walk.realtime_ns, walk.walk_ns),
        other => panic!("no walk: {other:?}"),
    };
    assert_eq!(realtime_ns(1_000), (1_000_001_000, 20 * MS));
    pipeline.feed(&Input::Clock {
        realtime_offset_ns: 1_000 - day_ns,
    });
    let mut realtime_ns = |start_ms| match &pipeline.feed(&input(&walk(0, 42, start_ms, 20)))[..] {
        [Finding::Walk(walk)] => (walk.realtime_ns, walk.walk_ns),
        other => panic!("no walk: {other:?}"),
    };
    assert_eq!(realtime_ns(2_000), (2_000_001_000 - day_ns, 20 * MS));
}

/// Walks of some directories in some minutes, some of them seen while they run.
fn random_storm(seed: u64) -> Vec<Input> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut told: Vec<(u64, Input)> = Vec::new();
    for tid in 1..random.random_range(2..150) {
        let start_ms = random.random_range(1_000..150_000_u64);
        let longest_ms = if random.random_range(0..10) == 0 {
            30_000
        } else {
            120
        };
        let length_ms = random.random_range(10..longest_ms);
        let record = walk(random.random_range(0..4), tid, start_ms, length_ms);
        if random.random_range(0..3) == 0 {
            let now_ns = (start_ms + random.random_range(0..length_ms)) * MS;
            let unfinished = WalkRecord {
                end_ns: 0,
                ..record
            };
            let record = bytes(&unfinished);
            told.push((now_ns, Input::Running { now_ns, record }));
        }
        told.push((record.end_ns, input(&record)));
    }
    for now_ms in (1_000..200_000).step_by(100) {
        told.push((now_ms * MS, tick(now_ms)));
    }
    told.sort_by_key(|(at_ns, _)| *at_ns);
    let mut inputs = vec![mounts()];
    inputs.extend(told.into_iter().map(|(_, input)| input));
    inputs.push(end(200_000));
    inputs
}

#[test]
fn nothing_is_uncounted_nothing_much_worse_is_suppressed_and_a_replay_is_the_same() {
    let mut suppressed_count = 0;
    for seed in 0..200 {
        let inputs = random_storm(seed);
        let mut pipeline = Pipeline::new(session());
        let mut file = Vec::new();
        let mut writer = Writer::start(&mut file, &session()).expect("written");
        let mut found = Vec::new();
        for input in &inputs {
            found.extend(pipeline.feed(input));
            if pipeline.has_changed() {
                writer.write(input).expect("written");
            }
        }
        let all = testing::findings(&testing::session(), &inputs[1..]);
        let totals = summary(&found).suppressed;
        let of = |pick: fn(&SuppressedFinding) -> &Suppressed| {
            suppressed(&found)
                .into_iter()
                .map(|minute| pick(minute).count)
                .sum::<u64>()
        };
        assert_eq!(
            incidents(&found) + usize::try_from(totals.incidents_count).expect("small"),
            incidents(&all),
            "seed {seed}"
        );
        assert_eq!(of(|minute| &minute.incidents), totals.incidents_count);
        assert_eq!(of(|minute| &minute.walks), totals.walks_count);
        suppressed_count += totals.incidents_count;

        let mut longest_ns: HashMap<u64, u64> = HashMap::new();
        let mut told_count = 0;
        for finding in &found {
            match finding {
                Finding::Incident(incident) => {
                    let minute = incident.walk.walk.end_ns.expect("it ended") / WINDOW_NS;
                    let longest_ns = longest_ns.entry(minute).or_default();
                    *longest_ns = incident.walk.walk_ns.max(*longest_ns);
                    told_count += 1;
                }
                Finding::Suppressed(minute) => {
                    let worst_ns = minute.incidents.ns_max;
                    // An incident comes out after its walk's end: maybe in the next minute.
                    let minute = minute.start_ns / WINDOW_NS;
                    let told_ns = [minute, minute.saturating_sub(1)]
                        .iter()
                        .filter_map(|minute| longest_ns.get(minute))
                        .max();
                    assert!(
                        worst_ns == 0 || told_ns.is_some_and(|told_ns| worst_ns / 2 < *told_ns),
                        "seed {seed}: {worst_ns} beside {told_ns:?}"
                    );
                }
                _ => {}
            }
        }
        // Four minutes. What comes on top is twice as long as all before: 60 ms to 30 s.
        assert!(
            told_count <= 4 * (LIMITS.per_host + 10),
            "seed {seed}: {told_count}"
        );

        let (mut reader, session) = Reader::open(file.as_slice()).expect("a recording");
        let mut pipeline = Pipeline::new(session);
        let mut replayed = Vec::new();
        while let Some(input) = reader.read().expect("whole") {
            replayed.extend(pipeline.feed(&input));
        }
        assert_eq!(found, replayed, "seed {seed}");
    }
    assert!(suppressed_count > 1_000, "the test compares something");
}
