//! Each rule of the correlation by itself.

use fslockup_ebpf::{SyscallRecord, WaitRecord, WalkRecord, wait_how};

use super::*;
use crate::{
    event::tests::bytes,
    facts::Answer,
    incident::{HoldEnd, Incident, Lock, Severity},
    pipeline::{Counts, Fates, Input, Pipeline},
    plan::Missing,
    testing::{
        self, MS, OTHER_LOCK, S, directory, input, log, release, session, sleeping_session, stall,
        stall_behind_wait, syscall, tick, wait, walk,
    },
};

fn incidents_in(session: &Session, inputs: &[Input]) -> Vec<Incident> {
    testing::findings(session, inputs)
        .into_iter()
        .filter_map(|finding| match finding {
            Finding::Incident(incident) => Some(*incident),
            _ => None,
        })
        .collect()
}

/// The incidents of these inputs and the end.
fn incidents(inputs: &[Input]) -> Vec<Incident> {
    incidents_in(&session(), &[inputs, &[testing::end(100_000)]].concat())
}

fn only(inputs: &[Input]) -> Incident {
    let mut found = incidents(inputs);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn counts(session: &Session, inputs: &[Input]) -> RecordCounts {
    let inputs = [inputs, &[testing::end(100_000)]].concat();
    match testing::findings(session, &inputs).pop() {
        Some(Finding::Summary(summary)) => summary.records,
        other => panic!("no summary: {other:?}"),
    }
}

fn fates(used_count: u64, below_threshold_count: u64, unrelated_count: u64) -> Fates {
    Fates {
        used_count,
        below_threshold_count,
        unrelated_count,
        evicted_count: 0,
    }
}

fn waiter_tids(incident: &Incident) -> Vec<u32> {
    incident
        .waiters
        .iter()
        .map(|waiter| waiter.wait.tid)
        .collect()
}

#[test]
fn a_walk_holds_its_locks_from_entry_to_exit() {
    let a = directory(0);
    let found = only(&[input(&walk(a, 1, 0, 1_000, 1_100))]);
    let holds: Vec<_> = found
        .holds
        .iter()
        .map(|hold| (hold.lock, hold.lock_addr, hold.span.length_ns(), hold.end))
        .collect();
    assert_eq!(
        holds,
        [
            (Lock::ILock, a.i_lock, 100 * MS, HoldEnd::Derived),
            (Lock::DLock, a.d_lock, 100 * MS, HoldEnd::Derived)
        ]
    );
    assert_eq!(found.own_wait_ns, 0);
}

#[test]
fn the_walkers_own_waits_are_not_held_time() {
    let a = directory(0);
    let found = only(&[
        input(&wait(a.i_lock, 1, 0, 1_000, 1_020)),
        input(&wait(a.d_lock, 1, 0, 1_021, 1_041)),
        // Another lock, and one before the walk: not the walk's.
        input(&wait(OTHER_LOCK, 1, 0, 1_050, 1_060)),
        input(&wait(a.i_lock, 1, 0, 900, 950)),
        input(&walk(a, 1, 0, 1_000, 1_100)),
    ]);
    let holds: Vec<_> = found
        .holds
        .iter()
        .map(|hold| (hold.lock, hold.span.start_ns / MS, hold.span.end_ns / MS))
        .collect();
    assert_eq!(
        holds,
        [(Lock::ILock, 1_020, 1_100), (Lock::DLock, 1_041, 1_100)]
    );
    assert_eq!(found.own_wait_ns, 40 * MS);
    assert!(found.waiters.is_empty());
}

#[test]
fn a_release_that_was_seen_ends_the_hold() {
    let a = directory(0);
    let found = only(&[
        input(&release(2, a.d_lock, 1_050)),
        input(&release(1, a.d_lock, 1_099)),
        input(&release(1, OTHER_LOCK, 1_099)),
        input(&walk(a, 1, 0, 1_000, 1_100)),
    ]);
    assert_eq!(found.holds[0].end, HoldEnd::Derived);
    assert_eq!(found.holds[1].end, HoldEnd::Released);
    assert_eq!(found.holds[1].span.length_ns(), 99 * MS);
}

#[test]
fn a_waiter_needs_the_lock_and_the_time() {
    let a = directory(0);
    let b = directory(1);
    let inputs = [
        input(&wait(OTHER_LOCK, 10, 1, 1_010, 1_100)),
        input(&wait(b.d_lock, 11, 2, 1_010, 1_100)),
        // It got the lock at the very moment at which the walk got it.
        input(&wait(a.d_lock, 12, 3, 900, 1_000)),
        input(&wait(a.d_lock, 13, 4, 1_010, 1_100)),
        input(&walk(a, 1, 0, 1_000, 1_100)),
        // Its record comes after the walk's.
        input(&wait(a.i_lock, 14, 5, 1_099, 1_101)),
        // It began only when the walk was over.
        input(&wait(a.i_lock, 15, 6, 1_100, 1_102)),
    ];
    let found = only(&inputs);
    assert_eq!(waiter_tids(&found), [13, 14]);
    assert_eq!(found.waiters[0].lock, Lock::DLock);
    assert_eq!(found.waiters[1].overlap.length_ns(), MS);
    assert_eq!(found.impact.wait_ns_total, 92 * MS);
    assert_eq!(found.impact.overlap_ns_total, 91 * MS);
    assert_eq!(found.impact.cpus_blocked_max, 3);
    assert_eq!(counts(&session(), &inputs).waits, fates(2, 0, 4));
}

#[test]
fn whoever_got_the_lock_before_the_walk_did_is_no_waiter_of_it() {
    let a = directory(0);
    let found = only(&[
        // Both queued behind somebody else; 10 was first, then the walker.
        input(&wait(a.i_lock, 10, 1, 990, 1_030)),
        input(&wait(a.i_lock, 1, 0, 1_000, 1_031)),
        input(&walk(a, 1, 0, 1_000, 1_200)),
    ]);
    assert!(found.waiters.is_empty());
}

#[test]
fn queued_waiters_hold_the_lock_one_after_the_other() {
    let a = directory(0);
    let found = only(&[
        input(&walk(a, 1, 0, 1_000, 1_100)),
        input(&wait(a.d_lock, 10, 1, 1_010, 1_100)),
        input(&wait(a.d_lock, 11, 2, 1_020, 1_130)),
        // Less than the wait threshold.
        input(&WaitRecord {
            end_ns: 1_130 * MS + MS / 2,
            ..wait(a.d_lock, 12, 3, 1_030, 1_130)
        }),
        // The other lock has its own queue.
        input(&wait(a.i_lock, 13, 4, 1_030, 1_140)),
    ]);
    let queued: Vec<_> = found.holds[2..]
        .iter()
        .map(|hold| (hold.tid, hold.lock, hold.span.length_ns()))
        .collect();
    assert_eq!(queued, [(10, Lock::DLock, 30 * MS)]);
}

#[test]
fn two_walks_of_one_directory_share_waiters_and_keep_their_holds() {
    let a = directory(0);
    let found = incidents(&[
        input(&walk(a, 1, 0, 1_000, 1_100)),
        input(&wait(a.i_lock, 2, 1, 1_010, 1_100)),
        input(&walk(a, 2, 1, 1_010, 1_200)),
        // Behind both, one after the other.
        input(&wait(a.i_lock, 10, 2, 1_050, 1_200)),
    ]);
    assert_eq!(found.len(), 2);
    assert_eq!(waiter_tids(&found[0]), [10, 2]);
    assert_eq!(waiter_tids(&found[1]), [10]);
    assert_eq!(found[0].waiters[0].overlap.length_ns(), 50 * MS);
    assert_eq!(found[1].waiters[0].overlap.length_ns(), 100 * MS);
    assert_eq!(found[1].holds[0].span.start_ns, 1_100 * MS);
    assert_eq!(found[1].own_wait_ns, 90 * MS);
    // The second walker's hold, seen from the queue behind the first.
    let queued: Vec<_> = found[0].holds[2..].iter().map(|hold| hold.tid).collect();
    assert_eq!(queued, [2]);
}

#[test]
fn two_walks_at_once_keep_their_own() {
    let (a, b) = (directory(0), directory(1));
    let found = incidents(&[
        input(&stall(30, 0, 1, (1_000, 1_100), (1_020, 1_100))),
        input(&walk(a, 1, 0, 1_000, 1_100)),
        input(&wait(a.d_lock, 10, 2, 1_010, 1_100)),
        input(&stall(31, 1, 2, (1_000, 1_101), (1_030, 1_101))),
        input(&walk(b, 2, 1, 1_000, 1_101)),
        input(&wait(b.d_lock, 11, 3, 1_010, 1_101)),
    ]);
    let told: Vec<_> = found
        .iter()
        .map(|incident| {
            let stalled: Vec<_> = incident.stalls.iter().map(|one| one.stall.tid).collect();
            (incident.walk.walk.tid, waiter_tids(incident), stalled)
        })
        .collect();
    assert_eq!(told, [(1, vec![10], vec![30]), (2, vec![11], vec![31])]);
}

#[test]
fn a_stall_needs_the_walker_or_one_of_its_locks() {
    let a = directory(0);
    let section = (1_000, 1_100);
    let delay = (1_020, 1_110);
    let inputs = [
        input(&walk(a, 1, 0, 1_000, 1_100)),
        input(&wait(a.d_lock, 10, 1, 1_010, 1_100)),
        input(&stall(30, 0, 1, section, delay)),
        input(&stall_behind_wait(
            a.d_lock,
            stall(31, 1, 10, (1_010, 1_100), delay),
        )),
        // Another walker, another lock, another time.
        input(&stall(32, 5, 9, section, delay)),
        input(&stall_behind_wait(
            OTHER_LOCK,
            stall(33, 6, 11, section, delay),
        )),
        input(&stall(34, 0, 1, (1_100, 1_120), (1_100, 1_120))),
        input(&stall_behind_wait(
            a.d_lock,
            stall(35, 1, 10, (900, 1_000), (900, 1_000)),
        )),
    ];
    let found = only(&inputs);
    let told: Vec<_> = found
        .stalls
        .iter()
        .map(|one| (one.stall.tid, one.behind(), one.lock))
        .collect();
    assert_eq!(told, [(30, "walk", None), (31, "wait", Some(Lock::DLock))]);
    assert_eq!(found.impact.tasks_stalled_count, 2);
    assert_eq!(found.impact.stall_ns_max, 90 * MS);
    assert_eq!(found.impact.behind_ns_max, 80 * MS);
    assert_eq!(counts(&session(), &inputs).stalls, fates(2, 0, 4));
}

#[test]
fn where_spinlocks_sleep_no_cpu_is_blocked_and_no_stall_claimed() {
    let a = directory(0);
    let inputs = [
        input(&walk(a, 1, 0, 1_000, 1_100)),
        input(&WaitRecord {
            how: wait_how::SLEEP,
            ..wait(a.d_lock, 10, 1, 1_010, 1_100)
        }),
        input(&stall(30, 0, 1, (1_000, 1_100), (1_020, 1_110))),
        testing::end(2_000),
    ];
    let found = incidents_in(&sleeping_session(), &inputs).remove(0);
    assert_eq!(waiter_tids(&found), [10]);
    assert!(found.waiters[0].wait.is_sleeping);
    assert_eq!(found.impact.cpus_blocked_max, 0);
    assert!(found.stalls.is_empty());
    assert_eq!(
        counts(&sleeping_session(), &inputs[..3]).stalls,
        fates(0, 0, 1)
    );
}

#[test]
fn the_system_call_around_the_walk_gives_its_mask() {
    let a = directory(0);
    let found = only(&[
        input(&walk(a, 1, 0, 1_000, 1_100)),
        input(&syscall(2, 999, 1_101)),
        input(&syscall(1, 999, 1_101)),
    ]);
    let call = found.syscall.expect("a call");
    assert_eq!((call.tid, call.mask), (1, 0x804));
    assert!(found.degraded.is_empty(), "{:?}", found.degraded);
}

fn syscall_findings(inputs: &[Input]) -> Vec<(u32, u64)> {
    testing::findings(&session(), inputs)
        .into_iter()
        .filter_map(|finding| match finding {
            Finding::Syscall(found) => Some((found.syscall.tid, found.walk_ns / MS)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_slow_system_call_without_a_walk_is_told_by_itself() {
    let inputs = [input(&syscall(5, 1_000, 1_080)), tick(1_129), tick(1_130)];
    assert_eq!(syscall_findings(&inputs[..2]), []);
    assert_eq!(syscall_findings(&inputs), [(5, 0)]);
    let again = [&inputs[..], &[tick(1_500), testing::end(2_000)]].concat();
    assert_eq!(syscall_findings(&again), [(5, 0)]);
    assert_eq!(counts(&session(), &inputs).syscalls, fates(1, 0, 0));
}

#[test]
fn a_system_call_that_ends_long_after_its_walk_comes_by_itself() {
    let inputs = [
        input(&walk(directory(0), 1, 0, 1_000, 1_100)),
        tick(1_151),
        input(&syscall(1, 999, 1_400)),
        tick(1_500),
    ];
    assert_eq!(syscall_findings(&inputs), [(1, 100)]);
    let found = incidents_in(&session(), &inputs).remove(0);
    assert_eq!(found.syscall, None);
    assert!(
        found.degraded[0].starts_with("system call: no record"),
        "{:?}",
        found.degraded
    );
}

#[test]
fn a_walk_without_a_timed_call_says_so() {
    let removal = WalkRecord {
        syscall_nr: 1,
        ..walk(directory(0), 1, 0, 1_000, 1_100)
    };
    let found = only(&[input(&removal)]);
    assert!(
        found.degraded[0].contains("write is none"),
        "{:?}",
        found.degraded
    );
}

#[test]
fn a_walk_below_the_threshold_is_an_incident_only_by_its_damage() {
    let a = directory(0);
    let short = |end_ms| {
        [
            input(&walk(a, 1, 0, 1_000, 1_020)),
            input(&wait(a.d_lock, 10, 1, 1_001, end_ms)),
            input(&syscall(1, 999, 1_021)),
        ]
    };
    assert_eq!(incidents(&short(1_020)), []);
    let below = counts(&session(), &short(1_020));
    assert_eq!(
        (below.waits, below.syscalls),
        (fates(0, 1, 0), fates(0, 1, 0))
    );
    // Long waits count only as far as the walk held the lock.
    assert_eq!(incidents(&short(1_400)), []);
    let stalled = input(&stall(30, 0, 1, (1_000, 1_060), (1_000, 1_060)));
    let damaged = [&short(1_020)[..], &[stalled]].concat();
    assert_eq!(incidents(&damaged).len(), 1);
    let all = counts(&session(), &damaged);
    assert_eq!((all.waits, all.stalls), (fates(1, 0, 0), fates(1, 0, 0)));
}

#[test]
fn a_syscall_after_a_walk_below_the_threshold_is_not_told() {
    let inputs = [
        input(&walk(directory(0), 1, 0, 1_000, 1_020)),
        input(&wait(OTHER_LOCK, 10, 1, 1_001, 1_090)),
        input(&syscall(1, 999, 1_100)),
        tick(1_500),
    ];
    assert_eq!(syscall_findings(&inputs), []);
    assert_eq!(counts(&session(), &inputs).syscalls, fates(0, 1, 0));
}

#[test]
fn an_incident_comes_out_once_at_the_first_tick_behind_the_grace() {
    let a = directory(0);
    let mut pipeline = Pipeline::new(session());
    pipeline.feed(&input(&walk(a, 1, 0, 1_000, 1_100)));
    assert!(pipeline.is_pending());
    assert_eq!(pipeline.feed(&tick(1_149)), []);
    let found = pipeline.feed(&tick(1_150));
    assert!(matches!(&found[..], [Finding::Incident(_)]), "{found:?}");
    assert!(!pipeline.is_pending());
    assert_eq!(pipeline.feed(&tick(1_300)), []);
}

#[test]
fn nothing_is_pending_for_a_walk_below_the_threshold() {
    let a = directory(0);
    let mut pipeline = Pipeline::new(session());
    pipeline.feed(&input(&walk(a, 1, 0, 1_000, 1_020)));
    assert!(!pipeline.is_pending());
    pipeline.feed(&input(&stall(30, 0, 1, (1_000, 1_060), (1_000, 1_060))));
    assert!(pipeline.is_pending());
}

fn waiting(now_ms: u64, lock_addr: u64, tid: u32, start_ms: u64) -> Input {
    Input::Waiting {
        now_ns: now_ms * MS,
        waiters: vec![WaitingNow {
            cpu: 3,
            lock_addr,
            start_ns: start_ms * MS,
            pid: tid,
            tid,
            comm: Some(b"late".to_vec()),
        }],
    }
}

#[test]
fn a_waiter_known_to_wait_still_gets_a_little_more_time() {
    let a = directory(0);
    let start = [
        waiting(1_050, a.d_lock, 10, 1_010),
        input(&walk(a, 1, 0, 1_000, 1_100)),
        tick(1_151),
    ];
    assert_eq!(incidents_in(&session(), &start), []);
    let with_end = [
        &start[..],
        &[input(&wait(a.d_lock, 10, 3, 1_010, 1_155)), tick(1_156)],
    ]
    .concat();
    assert_eq!(waiter_tids(&incidents_in(&session(), &with_end)[0]), [10]);
    // It may never end: its task died, or its record was lost.
    let without_end = [&start[..], &[tick(1_180)]].concat();
    let found = incidents_in(&session(), &without_end).remove(0);
    assert!(found.waiters.is_empty());
    assert!(
        found.degraded[1].contains("1 more waited"),
        "{:?}",
        found.degraded
    );
    // A waiter of another lock holds nothing up.
    let other = [
        waiting(1_050, OTHER_LOCK, 10, 1_010),
        input(&walk(a, 1, 0, 1_000, 1_100)),
        tick(1_151),
    ];
    assert_eq!(incidents_in(&session(), &other).len(), 1);
}

#[test]
fn a_running_walk_has_its_waiters_so_far() {
    let a = directory(0);
    let running = Input::Running {
        now_ns: 1_061 * MS,
        record: bytes(&WalkRecord {
            end_ns: 0,
            ..walk(a, 1, 0, 1_000, 0)
        }),
    };
    let told = |waiting: Input| {
        let inputs = [waiting, running.clone()];
        match testing::findings(&session(), &inputs).pop() {
            Some(Finding::Walk(found)) => found.waiters,
            other => panic!("no walk: {other:?}"),
        }
    };
    let waiters = told(waiting(1_060, a.d_lock, 10, 1_010));
    assert_eq!(waiters.len(), 1);
    assert_eq!((waiters[0].tid, waiters[0].wait_ns), (10, 50 * MS));
    assert!(told(waiting(1_060, OTHER_LOCK, 10, 1_010)).is_empty());
    assert!(told(waiting(1_060, a.d_lock, 1, 1_010)).is_empty());
}

#[test]
fn the_kernels_report_goes_to_the_incident_that_it_names() {
    let (a, b) = (directory(0), directory(1));
    let walks = [
        input(&walk(a, 1, 0, 1_000, 4_000)),
        input(&walk(b, 2, 7, 1_000, 4_001)),
    ];
    let with = |text: &str| {
        let inputs = [&[log(3_500, text)][..], &walks].concat();
        let found = incidents(&inputs);
        let reports = found.iter().map(|one| one.kernel_reports.len());
        (reports.collect::<Vec<_>>(), found[0].severity)
    };
    let soft = |cpu: u32, tid: u32| {
        with(&format!(
            "watchdog: BUG: soft lockup - CPU#{cpu} stuck for 2s! [x:{tid}]"
        ))
        .0
    };
    assert_eq!(soft(0, 1), [1, 0]);
    assert_eq!(soft(7, 2), [0, 1]);
    assert_eq!(soft(3, 9), [1, 1]);
    assert_eq!(
        with("rcu: INFO: rcu_preempt self-detected stall on CPU").0,
        [1, 1]
    );
    assert_eq!(with("EXT4-fs: mounted").0, [0, 0]);
}

#[test]
fn a_report_that_named_an_incident_is_not_given_to_a_later_one() {
    let (a, b) = (directory(0), directory(1));
    let found = incidents(&[
        log(
            1_500,
            "watchdog: BUG: soft lockup - CPU#0 stuck for 1s! [x:1]",
        ),
        input(&walk(a, 1, 0, 1_000, 1_600)),
        tick(1_700),
        input(&walk(b, 2, 7, 1_700, 1_800)),
    ]);
    assert_eq!(found[0].kernel_reports.len(), 1);
    assert_eq!(found[0].severity, Severity::Critical);
    assert_eq!(found[1].kernel_reports.len(), 0);
}

#[test]
fn a_waiter_that_the_kernel_names_counts_too() {
    let (a, b) = (directory(0), directory(1));
    let found = incidents(&[
        log(
            3_500,
            "watchdog: BUG: soft lockup - CPU#5 stuck for 2s! [x:10]",
        ),
        input(&walk(a, 1, 0, 1_000, 4_000)),
        input(&walk(b, 2, 7, 1_000, 4_001)),
        input(&wait(b.d_lock, 10, 5, 1_500, 4_001)),
    ]);
    assert_eq!(found[0].kernel_reports.len(), 0);
    assert_eq!(found[1].kernel_reports.len(), 1);
}

#[test]
fn an_id_that_is_used_again_joins_nothing() {
    let a = directory(0);
    let inputs = [
        input(&syscall(1, 100, 300)),
        input(&stall(30, 0, 1, (100, 300), (120, 300))),
        input(&wait(a.i_lock, 1, 0, 100, 290)),
        input(&walk(a, 1, 0, 1_000, 1_100)),
    ];
    let found = only(&inputs);
    assert_eq!(found.syscall, None);
    assert!(found.stalls.is_empty());
    assert_eq!(found.own_wait_ns, 0);
}

#[test]
fn losses_are_told_once_with_the_incident_that_they_belong_to() {
    let a = directory(0);
    let lost_tick = |now_ms: u64, lost_count| Input::Tick {
        now_ns: now_ms * MS,
        lost_count,
    };
    let inputs = [
        input(&walk(a, 1, 0, 1_000, 1_100)),
        lost_tick(1_110, 3),
        lost_tick(1_160, 5),
        input(&walk(a, 1, 0, 2_000, 2_100)),
        lost_tick(2_160, 5),
        input(&walk(a, 1, 0, 3_000, 3_100)),
        Input::End(Counts {
            end_ns: 4 * S,
            ring_full_count: 9,
            ..Counts::default()
        }),
    ];
    let lost: Vec<_> = incidents_in(&session(), &inputs)
        .iter()
        .map(|incident| incident.lost_count)
        .collect();
    assert_eq!(lost, [5, 0, 4]);
}

#[test]
fn what_is_not_attached_or_hidden_is_said() {
    let a = directory(0);
    let mut session = session();
    session.attached.missing.push(Missing {
        probe: "stalls".to_owned(),
        lost: "who was kept from running".to_owned(),
        refused: Vec::new(),
    });
    session.attached.probes[0]
        .lost
        .push("some walks".to_owned());
    session.facts.may_read_kernel_log = Answer::No;
    session.facts.has_symbol_addresses = Answer::No;
    let inputs = [
        input(&walk(a, 1, 0, 1_000, 1_100)),
        input(&wait(a.d_lock, 10, 1, 1_010, 1_100)),
        input(&SyscallRecord {
            path_bytes: -14,
            ..syscall(1, 999, 1_101)
        }),
        testing::end(2_000),
    ];
    let found = incidents_in(&session, &inputs).remove(0);
    assert_eq!(
        found.degraded,
        [
            "argument: the call was given no path, or it could not be read",
            "stalls: not seen (who was kept from running)",
            "walk: not seen: some walks",
            "stacks: symbol addresses are hidden",
            "kernel reports: the kernel's log can't be read",
        ]
    );
    assert_eq!(found.waiters[0].stack[0], "0x10");
}

#[test]
fn too_many_walks_at_once_come_out_early_and_none_is_forgotten() {
    let a = directory(0);
    let inputs: Vec<_> = (0..1_100)
        .map(|number| input(&walk(a, number, 0, 1_000, 1_100)))
        .collect();
    let session = session();
    let early = incidents_in(&session, &inputs);
    assert_eq!(early.len(), 1_100 - OPEN_MAX);
    assert_eq!(incidents(&inputs).len(), 1_100);
}

#[test]
fn an_evicted_record_is_said_to_be_missing() {
    let a = directory(0);
    let mut inputs = vec![input(&wait(a.i_lock, 1, 0, 1_000, 1_020))];
    for number in 0..buffer::KEPT_MAX as u64 {
        inputs.push(input(&wait(OTHER_LOCK, 7, 1, 1_030, 1_040 + number / 100)));
    }
    inputs.push(input(&walk(a, 1, 0, 1_000, 1_200)));
    let found = only(&inputs);
    assert!(
        found
            .degraded
            .iter()
            .any(|reason| reason.starts_with("waiters: more records came")),
        "{:?}",
        found.degraded
    );
    let waits = counts(&session(), &inputs).waits;
    assert_eq!((waits.total_count(), waits.evicted_count), (4_097, 1));
}
