use std::collections::BTreeMap;

use super::*;
use crate::{
    facts::DentryState,
    model::{
        Input, Runs, Sampled,
        budget::{BudgetEvent, Change},
    },
    plan::Missing,
    testing::{self, DEV, MS, directory, end, input, stall, symbols, syscall, tick, wait, walk},
};

fn metrics() -> Metrics {
    let mut session = testing::session();
    session.attached.missing.push(Missing {
        probe: "stall".to_owned(),
        lost: "stalls".to_owned(),
        refused: Vec::new(),
    });
    Metrics::new(&session)
}

/// A walk of a second with one who waited and one who was kept from running, a walk that was none, a
/// slow system call.
fn take_findings(metrics: &Metrics) {
    let dir = directory(0);
    let found = testing::findings(
        &testing::session(),
        &[
            symbols(),
            input(&walk(directory(1), 7, 0, 600, 620)),
            input(&wait(dir.d_lock, 20, 1, 1_100, 2_000)),
            input(&walk(dir, 10, 0, 1_000, 2_000)),
            input(&stall(30, 0, 10, (1_000, 2_000), (1_500, 2_005))),
            input(&syscall(99, 2_100, 2_300)),
            tick(2_400),
            tick(2_500),
            Input::Record(vec![1, 2]),
            end(3_000),
        ],
    );
    for finding in &found {
        metrics.take(finding);
    }
}

fn readings() -> Readings {
    Readings {
        realtime_ns: 1_790_000_000_500_000_000,
        counts: Counts {
            walks_count: 7,
            ring_full_count: 2,
            skipped_count: 1,
            ..Counts::default()
        },
        dentry_state: Some(DentryState {
            dentries_count: 1_000,
            unused_count: 900,
            negative_count: 700,
        }),
        cpu_ns: 1_500 * MS,
        resident_bytes: Some(12 << 20),
    }
}

fn danger() -> Danger {
    Danger {
        dev: DEV,
        ino: 1_000,
        fstype: b"ext4".to_vec(),
        path: Some(b"/data/a\"b\\\n".to_vec()),
        children_count: 20_000_000,
        negative_count: Some(19_999_000),
        predicted_ns: 1_800 * MS,
        watchers: Vec::new(),
        producers: Vec::new(),
    }
}

/// Everything that can be exported.
fn full() -> Metrics {
    let metrics = metrics();
    take_findings(&metrics);
    metrics.read(readings());
    metrics.dangers(&[danger()]);
    metrics.sampled(Sampled {
        programs: BTreeMap::from([(
            "walk_fentry".to_owned(),
            Runs {
                runs_count: 3,
                run_ns: 4_500,
            },
        )]),
        sampled_ns: 1_000 * MS,
    });
    metrics
}

#[test]
fn nothing_has_happened_yet() {
    insta::assert_snapshot!(metrics().render(TextFormat::OpenMetrics));
}

#[test]
fn everything_has_happened() {
    insta::assert_snapshot!(full().render(TextFormat::OpenMetrics));
}

#[test]
fn everything_in_prometheus_own_format() {
    insta::assert_snapshot!(full().render(TextFormat::Prometheus));
}

/// Names in a text, by what a line begins with.
fn described(text: &str, begin: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix(begin))
        .filter_map(|rest| Some(rest.split_once(' ')?.0.to_owned()))
        .collect()
}

#[test]
fn the_table_is_what_is_exported() {
    let expected: Vec<_> = table::METRICS
        .iter()
        .map(table::Metric::full_name)
        .collect();
    let text = full().render(TextFormat::Prometheus);
    assert_eq!(described(&text, "# TYPE "), expected);
    assert_eq!(described(&text, "# HELP "), expected);
    for metric in table::METRICS {
        let name = metric.full_name();
        let sample = text
            .lines()
            .find(|line| line.starts_with(&name))
            .unwrap_or_else(|| panic!("no sample of {name}"));
        for label in metric.labels {
            assert!(sample.contains(&format!("{label}=\"")), "{sample}");
        }
    }
}

#[test]
fn help_and_labels_are_one_line_each() {
    for metric in table::METRICS {
        assert!(!metric.help.contains(['\n', '\\']), "{metric:?}");
        assert!(metric.help.ends_with('.'), "{metric:?}");
    }
    let text = full().render(TextFormat::OpenMetrics);
    assert!(text.contains(r#"path="/data/a\"b\\\\\\x0a""#), "{text}");
}

#[test]
fn the_losses_add_up() {
    let counts = Counts {
        ring_full_count: 1,
        walks_full_count: 2,
        missed_exits_count: 3,
        skipped_count: 4,
        waits_untold_count: 5,
        waiters_full_count: 6,
        stalls_untimed_count: 7,
        calls_full_count: 8,
        ..Counts::default()
    };
    let metrics = metrics();
    metrics.read(Readings {
        counts,
        ..Readings::default()
    });
    let text = metrics.render(TextFormat::OpenMetrics);
    let sum: u64 = text
        .lines()
        .filter(|line| line.starts_with("fslockup_lost_total{"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum();
    assert_eq!(sum, counts.lost_count());
}

#[test]
fn a_walk_that_runs_counts_when_it_has_ended() {
    let metrics = metrics();
    let mut pipeline = crate::pipeline::Pipeline::new(testing::session());
    let mut running = walk(directory(0), 10, 0, 1_000, 2_000);
    running.end_ns = 0;
    let found = pipeline.feed(&Input::Running {
        now_ns: 1_900 * MS,
        record: crate::event::tests::bytes(&running),
    });
    assert_eq!(found.len(), 1);
    for finding in &found {
        metrics.take(finding);
    }
    let text = metrics.render(TextFormat::OpenMetrics);
    assert!(text.contains("fslockup_walk_seconds_count 0\n"), "{text}");
}

#[test]
fn a_child_costs_what_the_walk_took_without_its_own_waits() {
    let dir = directory(0);
    let found = testing::findings(
        &testing::session(),
        &[
            input(&wait(dir.i_lock, 10, 0, 1_000, 1_400)),
            input(&walk(dir, 10, 0, 1_000, 2_000)),
            Input::Children(Box::new(crate::model::Children {
                dev: DEV,
                ino: dir.ino,
                census: Some(crate::census::Census {
                    children_count: 1_000_000,
                    negative_count: 999_000,
                    ..Default::default()
                }),
                ..Default::default()
            })),
            end(3_000),
        ],
    );
    let incident = found.iter().find_map(|finding| match finding {
        Finding::Incident(incident) => Some(incident),
        _ => None,
    });
    let expected = Measured {
        walk_ns: 600 * MS,
        children_count: 1_000_000,
        negative_count: 999_000,
    };
    assert_eq!(measured(incident.expect("an incident")), Some(expected));
}

#[test]
fn probes_that_are_away_for_the_budget_are_a_degradation_until_they_are_back() {
    let session = testing::session();
    let metrics = Metrics::new(&session);
    let shown = || {
        let text = metrics.render(TextFormat::OpenMetrics);
        let wanted = [
            "fslockup_degraded ",
            "fslockup_probes_detached{group=\"stalls\"} ",
        ];
        let line = |start: &str| text.lines().find_map(|line| line.strip_prefix(start));
        wanted.map(|start| line(start).map(str::to_owned))
    };
    let change = |change| {
        let event = BudgetEvent {
            at_ns: 10 * MS,
            change,
            group: Some(Group::Stalls),
            cpu_ppm: 200_000,
            group_ppm: 150_000,
            own_ppm: 1_000,
            budget_ppm: 100_000,
            pause_ns: 1,
            away_ns: 0,
            reason: None,
        };
        for finding in &testing::findings(&session, &[Input::Budget(Box::new(event))]) {
            metrics.take(finding);
        }
    };
    let flags = |one: &str, two: &str| [Some(one.to_owned()), Some(two.to_owned())];
    assert_eq!(shown(), flags("0", "0"));
    change(Change::Detached);
    assert_eq!(shown(), flags("1", "1"));
    change(Change::Refused);
    assert_eq!(shown(), flags("1", "1"));
    change(Change::Attached);
    assert_eq!(shown(), flags("0", "0"));
}
