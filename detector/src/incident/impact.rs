//! Sums over what was joined to a walk.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Impact, Span, Stalled, Waiter};

/// Sums up. `walker` is the CPU that the walk kept from others and when; none where spinlocks
/// sleep.
#[must_use]
pub fn impact(walker: Option<(u32, Span)>, waiters: &[Waiter], stalls: &[Stalled]) -> Impact {
    let spinning = waiters
        .iter()
        .filter(|waiter| !waiter.wait.is_sleeping)
        .map(|waiter| (waiter.wait.cpu, waiter.overlap));
    let waits_ns = || waiters.iter().map(|waiter| waiter.wait.wait_ns());
    let overlaps_ns = || waiters.iter().map(|waiter| waiter.overlap.length_ns());
    let delays_ns = || stalls.iter().map(|stalled| stalled.stall.runq_delay_ns());
    // Every CPU's idle task has thread id 0.
    let waiting_tasks: BTreeSet<_> = waiters
        .iter()
        .map(|waiter| match waiter.wait.tid {
            0 => (0, Some(waiter.wait.cpu)),
            tid => (tid, None),
        })
        .collect();
    let stalled_tasks: BTreeSet<_> = stalls.iter().map(|stalled| stalled.stall.tid).collect();
    Impact {
        cpus_blocked_max: cpus_at_once(walker.into_iter().chain(spinning)),
        waits_count: waiters.len(),
        waiters_count: waiting_tasks.len(),
        wait_ns_total: waits_ns().sum(),
        wait_ns_max: waits_ns().max().unwrap_or(0),
        overlap_ns_total: overlaps_ns().sum(),
        overlap_ns_max: overlaps_ns().max().unwrap_or(0),
        stalls_count: stalls.len(),
        tasks_stalled_count: stalled_tasks.len(),
        stall_ns_total: delays_ns().sum(),
        stall_ns_max: delays_ns().max().unwrap_or(0),
        behind_ns_max: stalls
            .iter()
            .map(|stalled| stalled.stall.behind_ns)
            .max()
            .unwrap_or(0),
    }
}

/// The most CPUs that are inside one of their spans at one time.
fn cpus_at_once(spans: impl Iterator<Item = (u32, Span)>) -> usize {
    let mut edges = Vec::new();
    for (cpu, span) in spans.filter(|(_, span)| span.length_ns() > 0) {
        edges.push((span.start_ns, true, cpu));
        edges.push((span.end_ns, false, cpu));
    }
    // `false` sorts first: a CPU that leaves at the very time at which another enters is gone.
    edges.sort_unstable();
    // A CPU can be inside twice: an interrupt waits on top of a task that waits.
    let mut inside: BTreeMap<u32, usize> = BTreeMap::new();
    let mut most = 0;
    for (_, is_entry, cpu) in edges {
        let depth = inside.entry(cpu).or_default();
        if is_entry {
            *depth += 1;
        } else {
            *depth = depth.saturating_sub(1);
            if *depth == 0 {
                inside.remove(&cpu);
            }
        }
        most = most.max(inside.len());
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_once(spans: &[(u32, u64, u64)]) -> usize {
        let spans = spans
            .iter()
            .map(|(cpu, start_ns, end_ns)| (*cpu, Span::new(*start_ns, *end_ns)));
        cpus_at_once(spans)
    }

    #[test]
    fn cpus_count_only_while_they_are_inside_together() {
        assert_eq!(at_once(&[]), 0);
        assert_eq!(at_once(&[(0, 0, 10), (1, 5, 15), (2, 12, 20)]), 2);
        assert_eq!(at_once(&[(0, 0, 10), (1, 10, 20)]), 1);
        assert_eq!(at_once(&[(0, 5, 5)]), 0);
    }

    #[test]
    fn a_cpu_that_waits_twice_is_one_cpu() {
        assert_eq!(at_once(&[(0, 0, 10), (0, 2, 4), (1, 6, 8)]), 2);
        assert_eq!(at_once(&[(0, 0, 10), (0, 2, 4), (1, 11, 12)]), 1);
    }
}
