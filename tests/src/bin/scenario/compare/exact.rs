//! The holds that `fslockup` derives, against probes on the lock functions themselves.

use anyhow::Context as _;
use fslockup_tests::{Span, workload};
use fslockup_tests_ebpf::HOLDS_KEPT;
use nix::sys::signal::Signal;

use crate::stage::{
    checks::{Checks, precise},
    detector::{Detector, nothing_lost},
    floods::LARGE_COUNT,
    incident, kernel,
    truth::{Truth, is_rt},
};

const WATCHES_COUNT: usize = 7;

/// A child's own lock is held for much less, the walk's for much longer.
const HOLD_THRESHOLD_NS: u64 = 100_000;

/// A derived hold is never shorter, and longer by 1 % at most: it lasts from the walk's entry to its exit, so the
/// way to the lock and back and what the exact probes themselves take there are in it. Of a hold of 1 ms that is
/// 1.6 us of `i_lock`, the outer one, and 2.9 us of `d_lock`, which comes behind one more exact probe on either
/// side (6.1, 7.3).
const MORE_DIVISOR: u64 = 100;

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::flooded_dir(LARGE_COUNT)?;
    let detector =
        Detector::start(&["--walk-threshold", "200us", "--incident-threshold", "200us"])?;
    let mut truth = Truth::of_holds(&detector.facts, HOLD_THRESHOLD_NS)?;
    let mut calls = Vec::new();
    for _ in 0..WATCHES_COUNT {
        calls.extend(workload::watch(&dir, &[])?);
    }
    let (exact, count) = truth.holds()?;
    drop(truth);
    let ended = detector.end(Signal::SIGTERM)?;
    nothing_lost(checks, &ended);
    checks.that(
        "exact holds were seen, and none left out",
        count > 0 && count <= u64::from(HOLDS_KEPT),
        format!("{count}"),
    );
    let incidents = ended.incidents()?;
    checks.equal("incidents", incidents.len(), WATCHES_COUNT);
    let mut compared_count = 0;
    // Under PREEMPT_RT a task can be preempted inside an exact probe, and until it goes on the kernel runs that program
    // for nobody else on its CPU. A walk's unlocks are missed then: its holds last until the next walk's, which has
    // none of its own (6.12-rt, one walk of nine).
    let mut missed_count = 0_u32;
    for call in &calls {
        let incident = incident::of_call(checks, &incidents, call)?;
        let mut spans = Vec::new();
        for lock in ["i_lock", "d_lock"] {
            let derived = incident.hold_of_walker(lock).context(lock)?;
            let addr = derived.lock_addr.as_deref().context("no address")?;
            let own: Vec<_> = exact
                .iter()
                .filter(|hold| hold.tid == u64::from(call.pid))
                .filter(|hold| format!("{:#018x}", hold.lock_addr) == addr)
                .collect();
            if own.is_empty() && is_rt()? {
                missed_count += 1;
                continue;
            }
            checks.equal(format!("exact holds of {lock}"), own.len(), 1);
            let Some(hold) = own.first() else { continue };
            let span = Span {
                start_ns: hold.start_ns,
                end_ns: hold.end_ns,
            };
            if span.end_ns > call.end_ns && is_rt()? {
                missed_count += 1;
                continue;
            }
            spans.push(span);
            let exact_ns = hold.end_ns - hold.start_ns;
            let more_ns = derived.hold_ns.checked_sub(exact_ns);
            checks.figure(
                format!("derived_{lock}_more_ns"),
                precise(more_ns.unwrap_or(0)),
            );
            checks.that(
                format!("the derived hold of {lock} is right"),
                more_ns.is_some_and(|more_ns| more_ns <= exact_ns / MORE_DIVISOR),
                format!("derived {} ns, exact {exact_ns} ns", derived.hold_ns),
            );
        }
        // Which address is whose: the walker takes `i_lock` first and gives it back last.
        if let [i_lock, d_lock] = spans[..] {
            checks.that(
                "i_lock is the outer one",
                i_lock.contains(&d_lock),
                format!("{spans:?}"),
            );
            compared_count += 1;
        }
    }
    checks.figure("exact_unlocks_missed", f64::from(missed_count));
    checks.that(
        "most walks were compared, both locks of each",
        compared_count * 2 > calls.len(),
        format!("{compared_count} of {} walks", calls.len()),
    );
    Ok(())
}
