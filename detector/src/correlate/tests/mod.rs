//! Each rule of the correlation by itself.

mod calls;
mod children;
mod joins;
mod property;
mod reports;
mod story;
mod timing;

use fslockup_ebpf::{SyscallRecord, WaitRecord, WalkRecord, wait_how};

use super::*;
use crate::{
    event::tests::bytes,
    facts::Answer,
    model::{Counts, Fates, HoldEnd, Incident, Input, Lock, Severity},
    pipeline::Pipeline,
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
