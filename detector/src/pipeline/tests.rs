//! Walks, running walks, bad records: what needs no correlation.

use fslockup_ebpf::{PATH_IS_BROKEN, PATH_IS_CUT, WalkRecord};

use super::*;
use crate::{
    event::tests::{bytes, record},
    model::{ThresholdsChange, WalkFinding},
    probes::WALKER_FIXED,
    testing,
};

fn pipeline() -> Pipeline {
    let mut pipeline = Pipeline::new(testing::session());
    pipeline.feed(&testing::mounts());
    pipeline
}

fn walk(findings: Vec<Finding>) -> WalkFinding {
    match findings.into_iter().next() {
        Some(Finding::Walk(walk)) => *walk,
        other => panic!("no walk: {other:?}"),
    }
}

fn running(now_ns: u64, record: &WalkRecord) -> Input {
    Input::Running {
        now_ns,
        record: bytes(record),
    }
}

#[test]
fn a_walk_gets_its_path_time_and_function() {
    let found = walk(pipeline().feed(&Input::Record(bytes(&record()))));
    assert_eq!(found.path.as_deref(), Some(&b"/data/var/spool"[..]));
    assert_eq!(found.realtime_ns, 1_000_001_000);
    assert_eq!(found.function.as_deref(), Some(WALKER_FIXED));
    assert_eq!(found.walk_ns, 75_000_000);
    assert!(found.degraded.is_empty(), "{:?}", found.degraded);
}

#[test]
fn a_running_walk_is_announced_once_and_only_over_the_threshold() {
    let mut pipeline = pipeline();
    let unfinished = WalkRecord {
        end_ns: 0,
        ..record()
    };
    assert_eq!(pipeline.feed(&running(1_005_000_000, &unfinished)), []);
    assert_eq!(
        walk(pipeline.feed(&running(1_020_000_000, &unfinished))).walk_ns,
        20_000_000
    );
    assert_eq!(pipeline.feed(&running(1_030_000_000, &unfinished)), []);
    // The same task's next walk is another one.
    let next = WalkRecord {
        start_ns: 2_000_000_000,
        ..unfinished
    };
    assert!(!pipeline.feed(&running(2_020_000_000, &next)).is_empty());
}

#[test]
fn a_walker_without_a_cpu_is_not_told_of_as_running() {
    let mut pipeline = pipeline();
    let away = WalkRecord {
        end_ns: 0,
        left_ns: 1_001_000_000,
        ..record()
    };
    assert_eq!(pipeline.feed(&running(1_500_000_000, &away)), []);
    let back = WalkRecord {
        left_ns: 0,
        back_ns: 1_500_000_000,
        scheduled_out_ns: 499_000_000,
        ..away
    };
    assert_eq!(pipeline.feed(&running(1_505_000_000, &back)), []);
    let told = walk(pipeline.feed(&running(1_520_000_000, &back)));
    assert_eq!(
        (told.walk_ns, told.walk.scheduled_out_ns),
        (20_000_000, 499_000_000)
    );
    // Its end is the same walk's, though it is told from the longest stretch on.
    let ended = WalkRecord {
        end_ns: 1_503_000_000,
        run_start_ns: 1_500_000_000,
        run_end_ns: 1_503_000_000,
        ..back
    };
    let told = walk(pipeline.feed(&Input::Record(bytes(&ended))));
    assert_eq!(told.walk_ns, 3_000_000);
}

#[test]
fn other_thresholds_hold_from_then_on() {
    let mut pipeline = pipeline();
    let unfinished = WalkRecord {
        end_ns: 0,
        ..record()
    };
    let change = |walk_threshold_ns, incident_threshold_ns| {
        Input::Thresholds(ThresholdsChange {
            at_ns: 1_000_000_000,
            walk_threshold_ns,
            incident_threshold_ns,
            wait_threshold_ns: 1,
            stall_threshold_ns: 1,
        })
    };
    let told = pipeline.feed(&change(40 * testing::MS, 80 * testing::MS));
    assert!(
        matches!(&told[..], [Finding::Thresholds(found)] if found.realtime_ns == 1_000_001_000),
        "{told:?}"
    );
    assert_eq!(pipeline.feed(&running(1_020_000_000, &unfinished)), []);
    assert_eq!(pipeline.feed(&running(1_041_000_000, &unfinished)).len(), 1);
    // A walk of 75 ms.
    pipeline.feed(&Input::Record(bytes(&record())));
    assert!(!pipeline.is_pending());
    pipeline.feed(&change(40 * testing::MS, 70 * testing::MS));
    pipeline.feed(&Input::Record(bytes(&record())));
    assert!(pipeline.is_pending());
}

#[test]
fn a_record_that_is_not_filled_in_yet_is_not_a_walk() {
    let begun = WalkRecord {
        start_ns: 0,
        end_ns: 0,
        ..record()
    };
    assert_eq!(pipeline().feed(&running(1_000_000_000, &begun)), []);
    // Seen on 7.3-rt: the walker was preempted before it had written anything.
    let empty = WalkRecord {
        kind: kind::NONE,
        ..begun
    };
    assert_eq!(pipeline().feed(&running(1_000_000_000, &empty)), []);
}

#[test]
fn a_walk_that_is_just_leaving_the_map_is_not_running() {
    let mut pipeline = pipeline();
    pipeline.feed(&Input::Record(bytes(&record())));
    assert_eq!(pipeline.feed(&running(1_080_000_000, &record())), []);
}

#[test]
fn what_could_not_be_read_is_said() {
    let broken = WalkRecord {
        path_flags: PATH_IS_BROKEN,
        d_lock_addr: 0,
        ..record()
    };
    let found = walk(pipeline().feed(&Input::Record(bytes(&broken))));
    assert_eq!(found.path, None);
    assert_eq!(found.degraded.len(), 2, "{:?}", found.degraded);
    let cut = WalkRecord {
        path_flags: PATH_IS_CUT,
        ..record()
    };
    let found = walk(pipeline().feed(&Input::Record(bytes(&cut))));
    assert_eq!(found.path.as_deref(), Some(&b".../var/spool"[..]));
    let elsewhere = WalkRecord { dev: 1, ..record() };
    let found = walk(pipeline().feed(&Input::Record(bytes(&elsewhere))));
    assert_eq!(found.path.as_deref(), Some(&b"/var/spool"[..]));
    assert_eq!(found.degraded.len(), 1, "{:?}", found.degraded);
}

#[test]
fn bad_records_and_losses_are_in_the_summary() {
    let mut pipeline = pipeline();
    assert!(matches!(
        pipeline.feed(&Input::Record(vec![1, 2])).as_slice(),
        [Finding::BadRecord(_)]
    ));
    let counts = Counts {
        end_ns: 1_500_000_000,
        ring_full_count: 2,
        missed_exits_count: 3,
        ..Counts::default()
    };
    let Some(Finding::Summary(summary)) = pipeline.feed(&Input::End(counts)).pop() else {
        panic!("a summary")
    };
    assert_eq!(
        (summary.bad_records_count, summary.counts.lost_count()),
        (1, 5)
    );
    assert_eq!(summary.duration_ns, 1_000_000_000);
}
