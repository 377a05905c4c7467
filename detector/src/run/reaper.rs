//! Walks whose end nobody saw.
//!
//! A program that is preempted keeps the same program from running for another task of its CPU, an oops ends a walker
//! in the middle: then the walk stays in the map. It must not keep the programs busy, the budget away and a reload waiting
//! for ever.

use std::collections::HashMap;

use fslockup_ebpf::WalkRecord;
use nix::{errno::Errno, sys::signal::kill, unistd::Pid};

use crate::{
    facts::{Answer, Facts},
    host::proc::Proc,
};

/// The walker of a younger one is not looked at, if there is one: it walks, as a rule.
const SUSPECT_AFTER_NS: u64 = 10_000_000_000;
/// A status file has some 1.5 KiB, and a line for each of many CPUs and memory nodes.
const STATUS_BYTES_MAX: u64 = 64 << 10;

/// Remembers how often each suspect had slept.
pub struct Reaper {
    /// By the walk's key and start.
    suspects: HashMap<(u64, u64), u64>,
    /// Tasks have the same numbers here as in the programs.
    has_same_tids: bool,
    /// A walker may sleep on a lock (PREEMPT_RT).
    may_sleep: bool,
}

impl Reaper {
    pub fn new(facts: &Facts) -> Self {
        Self {
            suspects: HashMap::new(),
            has_same_tids: facts.sees_host_pids == Answer::Yes,
            may_sleep: facts.spinlocks_sleep == Answer::Yes,
        }
    }

    /// Whether the walk with this key has ended, though it is in the map.
    pub fn is_over(&mut self, proc: &Proc, key: u64, walk: &WalkRecord, now_ns: u64) -> bool {
        if !self.has_same_tids {
            return false;
        }
        // The key has it from the first moment, the record only when it is filled in.
        let tid = u32::try_from(key & u64::from(u32::MAX)).unwrap_or_default();
        if is_gone(tid) {
            return true;
        }
        let age_ns = now_ns.saturating_sub(walk.start_ns);
        if walk.start_ns == 0 || age_ns < SUSPECT_AFTER_NS {
            return false;
        }
        // Who holds a spinlock doesn't sleep, so a walker that slept has left its walk.
        let path = format!("{}/task/{tid}/status", walk.pid);
        let slept_count = proc
            .read(&path, STATUS_BYTES_MAX)
            .and_then(|status| voluntary_switches(&status));
        let (false, Some(slept_count)) = (self.may_sleep, slept_count) else {
            return false;
        };
        let before = *self
            .suspects
            .entry((key, walk.start_ns))
            .or_insert(slept_count);
        slept_count > before
    }

    /// None of the walks is a suspect any more.
    pub fn forget(&mut self) {
        self.suspects.clear();
    }
}

/// Whether no task has this number, in this namespace (kill(2) takes a thread's as well; a signal of 0 is none).
fn is_gone(tid: u32) -> bool {
    let Ok(tid) = i32::try_from(tid) else {
        return true;
    };
    // 0 and less are groups.
    tid <= 0 || kill(Pid::from_raw(tid), None) == Err(Errno::ESRCH)
}

/// proc_pid_status(5).
fn voluntary_switches(status: &[u8]) -> Option<u64> {
    let status = String::from_utf8_lossy(status);
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{process, thread, time::Duration};

    use super::*;
    use crate::{event::tests::record, facts::tests::facts_with};

    const NOW_NS: u64 = 1_000_000_000_000;

    fn reaper() -> (Proc, Reaper) {
        let proc = Proc::new().expect("/proc");
        (proc, Reaper::new(&facts_with(&[])))
    }

    fn walk_of(pid: u32, tid: u32, age_ns: u64) -> WalkRecord {
        WalkRecord {
            start_ns: NOW_NS - age_ns,
            end_ns: 0,
            pid,
            tid,
            ..record()
        }
    }

    #[test]
    fn a_walk_of_a_task_that_is_gone_is_over() {
        let (proc, mut reaper) = reaper();
        // No kernel has that many tasks (PID_MAX_LIMIT).
        let dead = 4 << 20 | 1;
        let over = walk_of(dead, dead, 1);
        assert!(reaper.is_over(&proc, dead.into(), &over, NOW_NS));
        // The task ended in the middle of an oops, before the record was whole.
        let empty = WalkRecord {
            start_ns: 0,
            ..walk_of(0, 0, 1)
        };
        assert!(reaper.is_over(&proc, dead.into(), &empty, NOW_NS));
        // Elsewhere that number may be somebody.
        reaper.has_same_tids = false;
        assert!(!reaper.is_over(&proc, dead.into(), &over, NOW_NS));
    }

    /// Seen on 6.1 on a busy host: a vCPU lost its turn between the new element and its first field, and the walk was
    /// taken away from its walker.
    #[test]
    fn a_walk_that_is_not_filled_in_yet_is_its_keys() {
        let (proc, mut reaper) = reaper();
        let empty = WalkRecord {
            start_ns: 0,
            ..walk_of(0, 0, 1)
        };
        let key = 1 << 32 | u64::from(process::id());
        assert!(!reaper.is_over(&proc, key, &empty, NOW_NS));
    }

    #[test]
    fn a_walker_that_slept_has_left_its_walk() {
        for (may_sleep, expected) in [(false, true), (true, false)] {
            let (proc, mut reaper) = reaper();
            reaper.may_sleep = may_sleep;
            let tid = u32::try_from(nix::unistd::gettid().as_raw()).expect("a number");
            let key = u64::from(tid);
            let young = walk_of(process::id(), tid, SUSPECT_AFTER_NS - 1);
            assert!(!reaper.is_over(&proc, key, &young, NOW_NS));
            thread::sleep(Duration::from_millis(2));
            let walk = walk_of(process::id(), tid, SUSPECT_AFTER_NS);
            assert!(!reaper.is_over(&proc, key, &walk, NOW_NS));
            thread::sleep(Duration::from_millis(2));
            assert_eq!(reaper.is_over(&proc, key, &walk, NOW_NS), expected);
            // A later walk of the same task is another one.
            let next = walk_of(process::id(), tid, SUSPECT_AFTER_NS + 1);
            assert!(!reaper.is_over(&proc, key, &next, NOW_NS));
        }
    }

    #[test]
    fn a_status_without_the_line_says_nothing() {
        assert_eq!(voluntary_switches(b"Name:\tx\n"), None);
        let forged = b"Name:\tx\nnonvoluntary_ctxt_switches:\t9\nvoluntary_ctxt_switches:\t12\n";
        assert_eq!(voluntary_switches(forged), Some(12));
        assert_eq!(voluntary_switches(b"voluntary_ctxt_switches:\t-\n"), None);
    }
}
