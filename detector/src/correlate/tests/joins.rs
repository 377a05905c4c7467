//! Which records belong to a walk, and what its holds are.

use super::*;

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
