//! From a walk and the records joined to it to an incident, and what of it is not known.

use syscalls::Sysno;

use super::{
    join::{Joined, queue_holds},
    records::Records,
    symbols::Symbols,
};
use crate::{
    escape::escape,
    event::{Syscall, Walk},
    facts::Answer,
    incident::{AdviceInput, advice, argument_degraded, impact, severity},
    model::{Children, Incident, Session, Stalled, Waiter, WalkFinding},
};

/// The system calls that leave a record when they are slow.
const TIMED: [Sysno; 3] = [Sysno::inotify_add_watch, Sysno::fanotify_mark, Sysno::fcntl];

/// What an incident is made of besides its walk.
pub struct Builder<'a> {
    /// The session.
    pub session: &'a Session,
    /// The records at hand.
    pub records: &'a Records,
    /// Names for stacks.
    pub symbols: &'a Symbols,
    /// Which of the records belong to the walk.
    pub joined: &'a Joined,
}

impl Builder<'_> {
    /// Puts it together.
    pub fn incident(
        &self,
        found: WalkFinding,
        children: Option<&Children>,
        kernel_reports: Vec<Vec<u8>>,
        still_waiting_count: usize,
        lost_count: u64,
    ) -> Incident {
        let walk = &found.walk;
        let waiters = self.waiters();
        let stalls = self.stalls();
        // Where spinlocks sleep, a walker can be preempted: its CPU is not blocked.
        let walker =
            (!self.session.spinlocks_sleep()).then(|| (walk.start_cpu, super::join::span(walk)));
        let impact = impact(walker, &waiters, &stalls);
        let syscall = self
            .joined
            .syscall
            .map(|place| self.records.syscalls.get(place).clone());
        let queue: Vec<_> = self
            .joined
            .waits
            .iter()
            .map(|(place, lock, _)| (self.records.waits.get(*place), *lock))
            .collect();
        let mut holds = self.joined.holds.clone();
        holds.extend(queue_holds(&queue, self.session.wait_threshold_ns));
        let path = found.path.as_deref().map(escape);
        let census = children.and_then(|children| children.census.clone());
        let origin = children
            .and_then(|children| children.origin.as_ref())
            .map(|directory| directory.producers.clone())
            .unwrap_or_default();
        let mut degraded = self.degraded(&found, syscall.as_ref(), &waiters, still_waiting_count);
        match children {
            Some(children) => degraded.extend(children.degraded.iter().cloned()),
            None => degraded.push("children: nobody has counted them".to_owned()),
        }
        Incident {
            severity: severity(found.walk_ns, &impact, !kernel_reports.is_empty()),
            own_wait_ns: self
                .joined
                .own_waits
                .iter()
                .map(|place| self.records.waits.get(*place).wait_ns())
                .sum(),
            holds,
            impact,
            advice: advice(&AdviceInput {
                facts: &self.session.facts,
                syscall: syscall.as_ref(),
                path: path.as_deref(),
                fstype: &walk.fstype,
                origin: &origin,
                census: census.as_ref(),
            }),
            degraded,
            census,
            origin,
            syscall,
            waiters,
            stalls,
            kernel_reports,
            lost_count,
            walk: found,
        }
    }

    fn waiters(&self) -> Vec<Waiter> {
        let mut waiters: Vec<_> = self
            .joined
            .waits
            .iter()
            .map(|(place, lock, overlap)| {
                let wait = self.records.waits.get(*place).clone();
                Waiter {
                    stack: self.symbols.stack(&wait.stack),
                    wait,
                    lock: *lock,
                    overlap: *overlap,
                }
            })
            .collect();
        waiters.sort_by_key(|Waiter { wait, .. }| {
            (u64::MAX - wait.wait_ns(), wait.start_ns, wait.tid, wait.cpu)
        });
        waiters
    }

    fn stalls(&self) -> Vec<Stalled> {
        let mut stalls: Vec<_> = self
            .joined
            .stalls
            .iter()
            .map(|(place, lock)| Stalled {
                stall: self.records.stalls.get(*place).clone(),
                lock: *lock,
            })
            .collect();
        stalls.sort_by_key(|Stalled { stall, .. }| {
            (u64::MAX - stall.runq_delay_ns(), stall.queued_ns, stall.tid)
        });
        stalls
    }

    fn degraded(
        &self,
        found: &WalkFinding,
        syscall: Option<&Syscall>,
        waiters: &[Waiter],
        still_waiting_count: usize,
    ) -> Vec<String> {
        let mut degraded = found.degraded.clone();
        degraded.extend(self.syscall_degraded(&found.walk, syscall));
        let attached = &self.session.attached;
        // A session can come out of a file that somebody made up.
        let safe = |text: &str| escape(text.as_bytes());
        for missing in &attached.missing {
            let (probe, lost) = (safe(&missing.probe), safe(&missing.lost));
            degraded.push(format!("{probe}: not seen ({lost})"));
        }
        for probe in &attached.probes {
            for lost in &probe.lost {
                let (probe, lost) = (safe(&probe.probe), safe(lost));
                degraded.push(format!("{probe}: not seen: {lost}"));
            }
        }
        if still_waiting_count > 0 {
            degraded.push(format!(
                "waiters: {still_waiting_count} more waited when last seen, with no end so far"
            ));
        }
        let has_stack = waiters.iter().any(|waiter| !waiter.stack.is_empty());
        if has_stack && self.session.facts.has_symbol_addresses == Answer::No {
            degraded.push("stacks: symbol addresses are hidden".to_owned());
        }
        if self.session.facts.sees_host_pids == Answer::No {
            degraded.push(
                "processes: their ids are others here (no hostPID): what they are is not known"
                    .to_owned(),
            );
        }
        match &self.session.facts.may_read_kernel_log {
            Answer::Yes => {}
            Answer::No => {
                degraded.push("kernel reports: the kernel's log can't be read".to_owned())
            }
            Answer::Unknown(reason) => degraded.push(format!(
                "kernel reports: could not tell whether the kernel's log can be read ({})",
                safe(reason)
            )),
        }
        let since_ns = found.walk.start_ns;
        for (what, is_evicted) in [
            ("waiters", self.records.waits.has_evicted_since(since_ns)),
            ("stalls", self.records.stalls.has_evicted_since(since_ns)),
        ] {
            if is_evicted {
                degraded.push(format!(
                    "{what}: more records came than are kept, some may be missing"
                ));
            }
        }
        degraded
    }

    /// Why there is no time and no mask of the system call.
    fn syscall_degraded(&self, walk: &Walk, syscall: Option<&Syscall>) -> Option<String> {
        if let Some(syscall) = syscall {
            return argument_degraded(syscall);
        }
        let number = walk.syscall_nr?;
        let trigger = usize::try_from(number).ok().and_then(Sysno::new);
        let is_timed = trigger.is_some_and(|trigger| TIMED.contains(&trigger));
        Some(if is_timed {
            "system call: no record of it so far, its time, mask and path argument are not known"
                .to_owned()
        } else {
            let name =
                trigger.map_or_else(|| format!("number {number}"), |call| call.name().into());
            format!("system call: {name} is none of those that are timed")
        })
    }
}
