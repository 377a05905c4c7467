//! Which records belong to a walk: by lock address and overlap, by task and containment, never by
//! time alone.

use std::collections::BTreeMap;

use super::records::Records;
use crate::{
    event::{Behind, Release, Stall, Syscall, Wait, Walk},
    model::{Hold, HoldEnd, Lock, Session, Span},
};

/// Places of the records that belong to one walk, and what follows from them.
pub struct Joined {
    /// The walker's holds.
    pub holds: Vec<Hold>,
    /// The walker's own waits for these locks, inside the walk.
    pub own_waits: Vec<usize>,
    /// Waits of others, each with the lock and the part in which the walk held it.
    pub waits: Vec<(usize, Lock, Span)>,
    /// Tasks that got a CPU late, each with the lock of the wait that it was behind.
    pub stalls: Vec<(usize, Option<Lock>)>,
    /// The system call around the walk.
    pub syscall: Option<usize>,
    /// The walker's releases of these locks.
    pub releases: Vec<usize>,
}

/// From a walk's entry to its exit.
pub fn span(walk: &Walk) -> Span {
    Span::new(walk.start_ns, walk.end_ns.unwrap_or(walk.start_ns))
}

/// Which of the walk's locks is at this address.
pub fn lock_at(walk: &Walk, lock_addr: u64) -> Option<Lock> {
    if walk.i_lock_addr == Some(lock_addr) {
        Some(Lock::ILock)
    } else if walk.d_lock_addr == Some(lock_addr) {
        Some(Lock::DLock)
    } else {
        None
    }
}

impl Joined {
    /// Joins the records at hand to a walk that has ended.
    pub fn of(session: &Session, walk: &Walk, records: &Records) -> Self {
        let own_waits: Vec<_> = records
            .waits
            .iter()
            .filter(|(_, wait)| is_own_wait(walk, wait))
            .map(|(place, _)| place)
            .collect();
        let releases: Vec<_> = records
            .releases
            .iter()
            .filter(|(_, release)| is_own_release(walk, release))
            .map(|(place, _)| place)
            .collect();
        let holds = walker_holds(
            walk,
            || own_waits.iter().map(|place| records.waits.get(*place)),
            || releases.iter().map(|place| records.releases.get(*place)),
        );
        let waits = records
            .waits
            .iter()
            .filter(|(_, wait)| wait.tid != walk.tid)
            .filter_map(|(place, wait)| {
                let hold = holds.iter().find(|hold| hold.lock_addr == wait.lock_addr)?;
                let overlap = hold.span.overlap(&Span::new(wait.start_ns, wait.end_ns))?;
                Some((place, hold.lock, overlap))
            })
            .collect();
        let stalls = if session.spinlocks_sleep() {
            Vec::new()
        } else {
            records
                .stalls
                .iter()
                .filter_map(|(place, stall)| Some((place, is_behind(walk, &holds, stall)?)))
                .collect()
        };
        let syscall = records
            .syscalls
            .iter()
            .filter(|(_, syscall)| is_inside(walk, syscall))
            // Ids are used again: of several calls around one time, the shortest is the right one.
            .min_by_key(|(_, syscall)| syscall.syscall_ns())
            .map(|(place, _)| place);
        Self {
            holds,
            own_waits,
            waits,
            stalls,
            syscall,
            releases,
        }
    }

    /// The longest that somebody waited for the walk's locks or was kept from running by it.
    pub fn damage_ns(&self, records: &Records) -> u64 {
        let waits_ns = self.waits.iter().map(|(_, _, overlap)| overlap.length_ns());
        let stalls_ns = self
            .stalls
            .iter()
            .map(|(place, _)| records.stalls.get(*place).behind_ns);
        waits_ns.chain(stalls_ns).max().unwrap_or(0)
    }
}

fn is_own_wait(walk: &Walk, wait: &Wait) -> bool {
    wait.tid == walk.tid
        && lock_at(walk, wait.lock_addr).is_some()
        && span(walk).contains(&Span::new(wait.start_ns, wait.end_ns))
}

fn is_own_release(walk: &Walk, release: &Release) -> bool {
    release.tid == walk.tid
        && lock_at(walk, release.lock_addr).is_some()
        && span(walk).contains(&Span::new(release.at_ns, release.at_ns))
}

/// The walk is inside the system call, of the same task.
pub fn is_inside(walk: &Walk, syscall: &Syscall) -> bool {
    syscall.tid == walk.tid && Span::new(syscall.start_ns, syscall.end_ns).contains(&span(walk))
}

/// The walker takes `i_lock`, inside of it each alias's `d_lock`, and gives both back right before
/// its exit. So each is held from the entry, or from the end of the walker's own wait for it.
fn walker_holds<'a, W, R>(
    walk: &Walk,
    own_waits: impl Fn() -> W,
    releases: impl Fn() -> R,
) -> Vec<Hold>
where
    W: Iterator<Item = &'a Wait>,
    R: Iterator<Item = &'a Release>,
{
    let mut start_ns = walk.start_ns;
    let mut holds = Vec::new();
    for (lock, lock_addr) in [
        (Lock::ILock, walk.i_lock_addr),
        (Lock::DLock, walk.d_lock_addr),
    ] {
        let Some(lock_addr) = lock_addr else { continue };
        let acquired_ns = own_waits()
            .filter(|wait| wait.lock_addr == lock_addr)
            .map(|wait| wait.end_ns)
            .max();
        start_ns = start_ns.max(acquired_ns.unwrap_or(0));
        let released_ns = releases()
            .filter(|release| release.lock_addr == lock_addr && release.at_ns >= start_ns)
            .map(|release| release.at_ns)
            .max();
        holds.push(Hold {
            lock,
            lock_addr,
            span: Span::new(start_ns, released_ns.unwrap_or(span(walk).end_ns)),
            end: if released_ns.is_some() {
                HoldEnd::Released
            } else {
                HoldEnd::Derived
            },
            pid: walk.pid,
            tid: walk.tid,
            comm: walk.comm.clone(),
        });
    }
    holds
}

/// What a stall was behind, if that was the walk or a wait for a lock that the walk held:
/// `Some(None)` is the walk.
fn is_behind(walk: &Walk, holds: &[Hold], stall: &Stall) -> Option<Option<Lock>> {
    let section = Span::new(stall.section_start_ns, stall.section_end_ns);
    match stall.behind {
        Behind::Walk => {
            (stall.behind_tid == walk.tid && section.overlap(&span(walk)).is_some()).then_some(None)
        }
        Behind::Wait(lock_addr) => {
            let hold = holds.iter().find(|hold| hold.lock_addr == lock_addr)?;
            section.overlap(&hold.span)?;
            Some(Some(hold.lock))
        }
    }
}

/// Holds of waiters that others queued behind: spinlocks are handed on in order, so a waiter that
/// was there before the lock came to the one in front of it got it next, and that one held it from
/// its acquisition to the next one's. Waits below the threshold left no record, so a hold can be
/// too long by as many thresholds as there were such waiters in between.
pub fn queue_holds(waits: &[(&Wait, Lock)], threshold_ns: u64) -> Vec<Hold> {
    let mut queues: BTreeMap<u64, Vec<(&Wait, Lock)>> = BTreeMap::new();
    for (wait, lock) in waits {
        queues
            .entry(wait.lock_addr)
            .or_default()
            .push((wait, *lock));
    }
    let mut holds = Vec::new();
    for queue in queues.values_mut() {
        queue.sort_by_key(|(wait, _)| (wait.end_ns, wait.start_ns, wait.tid));
        for pair in queue.windows(2) {
            let [(holder, lock), (next, _)] = pair else {
                continue;
            };
            let span = Span::new(holder.end_ns, next.end_ns);
            let was_queued = next.start_ns < holder.end_ns;
            if was_queued && span.length_ns() >= threshold_ns.max(1) {
                holds.push(Hold {
                    lock: *lock,
                    lock_addr: holder.lock_addr,
                    span,
                    end: HoldEnd::Derived,
                    pid: holder.pid,
                    tid: holder.tid,
                    comm: holder.comm.clone(),
                });
            }
        }
    }
    holds.sort_by_key(|hold| {
        (
            u64::MAX - hold.span.length_ns(),
            hold.span.start_ns,
            hold.tid,
        )
    });
    holds
}
