//! The kernel's own reports.

use super::*;

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
