//! When incidents come out, and what is said of losses and of what is not known.

use super::*;

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
            cpu: Some(3),
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
    session.facts.sees_host_pids = Answer::No;
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
            "processes: their ids are others here (no hostPID): what they are is not known",
            "kernel reports: the kernel's log can't be read",
            "children: nobody has counted them",
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
