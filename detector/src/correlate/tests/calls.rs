//! Slow system calls.

use super::*;

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
    assert_eq!(found.degraded, ["children: nobody has counted them"]);
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
