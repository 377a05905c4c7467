use std::collections::BTreeMap;

use fslockup_ebpf::{ProducerCounts, ProducerKey, change};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

use super::{Changes, Identity, Limits, Seen, Table};

const SMALL: Limits = Limits {
    kernel_keys: 16,
    rows: 24,
    groups: 6,
    directories: 5,
};

fn key(pid: u32, ino: u64) -> ProducerKey {
    ProducerKey { ino, dev: 1, pid }
}

fn identity(comm: &str) -> Identity {
    Identity {
        comm: comm.as_bytes().to_vec(),
        ..Identity::default()
    }
}

fn seen(comm: &str, at_ns: u64) -> Seen {
    Seen {
        dentry_addr: 0xffff_8880_0000_0000,
        path: Some(vec![b"var".to_vec(), b"spool".to_vec()]),
        fstype: b"ext4".to_vec(),
        identity: identity(comm),
        at_ns,
    }
}

fn made(negative: u64) -> ProducerCounts {
    let mut counts = ProducerCounts::default();
    counts.counts[change::MADE_NEGATIVE as usize] = negative;
    counts
}

fn nothing() -> ProducerCounts {
    ProducerCounts::default()
}

#[test]
fn producers_are_ranked_and_keep_what_they_were() {
    let mut table = Table::new(SMALL);
    table.seen(&key(1, 10), seen("small", 100));
    table.seen(&key(2, 10), seen("large", 200));
    table.update(
        1_000,
        &[(key(1, 10), made(5)), (key(2, 10), made(50))],
        &nothing(),
    );
    table.update(
        2_000,
        &[(key(1, 10), made(5)), (key(2, 10), made(60))],
        &nothing(),
    );
    let directory = table.directory(1, 10).expect("known");
    assert_eq!(
        directory.path,
        Some(vec![b"var".to_vec(), b"spool".to_vec()])
    );
    let [large, small] = &directory.producers[..] else {
        panic!("two producers: {directory:?}");
    };
    assert_eq!(large.identity.comm, b"large");
    assert_eq!(
        (large.changes.created_count(), large.first_ns, large.last_ns),
        (60, 200, 2_000)
    );
    assert_eq!(
        (small.changes.created_count(), small.first_ns, small.last_ns),
        (5, 100, 1_000)
    );
    assert_eq!(
        (small.pid, small.processes_count, small.has_exited),
        (Some(1), 1, false)
    );
}

#[test]
fn a_key_without_its_record_keeps_its_counts() {
    let mut table = Table::new(SMALL);
    table.update(1_000, &[(key(1, 10), made(5))], &nothing());
    let directory = table.directory(1, 10).expect("known");
    assert_eq!(directory.path, None);
    assert_eq!(directory.producers[0].identity, Identity::default());
    assert_eq!(directory.producers[0].first_ns, 1_000);
    table.seen(&key(1, 10), seen("late", 400));
    let directory = table.directory(1, 10).expect("known");
    assert_eq!(directory.producers[0].identity.comm, b"late");
    assert_eq!(directory.producers[0].first_ns, 400);
}

#[test]
fn a_key_that_comes_back_adds_to_what_it_had() {
    let mut table = Table::new(SMALL);
    table.seen(&key(1, 10), seen("a", 1));
    table.update(1_000, &[(key(1, 10), made(5))], &nothing());
    table.removed(&key(1, 10), Some(&made(7)));
    table.seen(&key(1, 10), seen("a", 1_500));
    table.update(2_000, &[(key(1, 10), made(9))], &nothing());
    let directory = table.directory(1, 10).expect("known");
    assert_eq!(directory.producers[0].changes.created_count(), 16);
    assert_eq!(directory.producers[0].first_ns, 1);
}

#[test]
fn exited_processes_that_are_alike_become_one() {
    let mut table = Table::new(SMALL);
    let rows: Vec<_> = (1..=9).map(|pid| (key(pid, 10), made(10))).collect();
    for (key, _) in &rows {
        table.seen(
            key,
            seen(
                if key.pid == 9 { "other" } else { "worker" },
                u64::from(key.pid),
            ),
        );
        table.name(
            key,
            change::MADE_NEGATIVE,
            format!("core.{}", key.pid).as_bytes(),
        );
    }
    table.update(1_000, &rows, &nothing());
    assert_eq!(table.living().len(), 9);
    for pid in 1..=9 {
        table.exited(pid);
    }
    assert!(table.living().is_empty());
    let leaving = table.update(2_000, &rows, &nothing());
    assert_eq!(leaving.len(), 9, "every key leaves the kernel");
    for key in &leaving {
        table.removed(key, Some(&made(11)));
    }
    assert!(table.update(3_000, &[], &nothing()).is_empty());
    let directory = table.directory(1, 10).expect("known");
    let [workers, other] = &directory.producers[..] else {
        panic!("two producers: {directory:?}");
    };
    assert_eq!(
        (workers.pid, workers.processes_count, workers.has_exited),
        (None, 8, true)
    );
    assert_eq!(workers.changes.created_count(), 88);
    assert_eq!((workers.first_ns, workers.last_ns), (1, 1_000));
    assert_eq!(workers.template.as_deref(), Some("core.<1 digits>"));
    assert_eq!(
        (other.pid, other.processes_count, other.has_exited),
        (Some(9), 1, true)
    );
}

#[test]
fn the_smallest_that_rest_make_room_in_the_kernel() {
    let mut table = Table::new(SMALL);
    let rows: Vec<_> = (1..=13)
        .map(|pid| (key(pid, 10), made(u64::from(pid))))
        .collect();
    assert!(
        table.update(1_000, &rows, &nothing()).is_empty(),
        "all have grown"
    );
    let leaving = table.update(2_000, &rows, &nothing());
    let pids: Vec<_> = leaving.iter().map(|key| key.pid).collect();
    assert_eq!(pids, [1, 2, 3, 4, 5], "13 of 16 become 8");
    assert!(
        table.update(2_500, &rows[..12], &nothing()).len() >= 5,
        "not taken out yet"
    );
    for key in &leaving {
        table.removed(key, None);
    }
    assert!(table.update(3_000, &rows[5..], &nothing()).is_empty());
    assert_eq!(table.directory(1, 10).expect("known").producers.len(), 13);
}

#[test]
fn what_is_dropped_is_in_the_sums() {
    let mut table = Table::new(SMALL);
    for pid in 1..=40 {
        table.update(1_000, &[(key(pid, 10), made(u64::from(pid)))], &nothing());
        table.removed(&key(pid, 10), None);
    }
    table.update(2_000, &[], &made(3));
    let directory = table.directory(1, 10).expect("known");
    assert_eq!(directory.producers.len(), SMALL.rows);
    assert_eq!(
        directory.dropped.created_count(),
        (1..=16).sum::<u64>(),
        "the 16 smallest"
    );
    assert_eq!(table.uncounted().created_count(), 3);
    assert_eq!(table.total().created_count(), (1..=40).sum::<u64>() + 3);
}

#[test]
fn the_smallest_directories_make_room() {
    let mut table = Table::new(SMALL);
    let rows: Vec<_> = (1..=8).map(|ino| (key(1, ino), made(ino))).collect();
    let leaving = table.update(1_000, &rows, &nothing());
    assert_eq!(
        leaving.iter().map(|key| key.ino).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    for key in &leaving {
        table.removed(key, Some(&made(key.ino + 1)));
    }
    assert_eq!(table.dropped().created_count(), 2 + 3 + 4);
    let largest: Vec<_> = table
        .directories(2)
        .iter()
        .map(|directory| directory.ino)
        .collect();
    assert_eq!(largest, [8, 7]);
    assert_eq!(table.directory(1, 2), None);
}

#[test]
fn names_made_come_before_names_removed_in_any_order() {
    let names: Vec<_> = (0..40).map(|number| format!("n{number}")).collect();
    let tell = |order: &mut dyn Iterator<Item = usize>| {
        let mut table = Table::new(SMALL);
        table.update(1, &[(key(1, 10), made(1))], &nothing());
        for at in order {
            let which = if at < 30 {
                change::REMOVED_NEGATIVE
            } else {
                change::MADE_NEGATIVE
            };
            table.name(&key(1, 10), which, names[at].as_bytes());
        }
        table.directory(1, 10).expect("known").producers[0]
            .samples
            .clone()
    };
    let samples = tell(&mut (0..40));
    assert_eq!(samples.len(), 16);
    assert_eq!(samples, tell(&mut (0..40).rev()));
    assert!(
        names[30..]
            .iter()
            .all(|name| samples.contains(&name.clone().into_bytes()))
    );
}

/// The kernel's half: a bounded map, and the sums of what found it full.
#[derive(Default)]
struct Kernel {
    map: BTreeMap<ProducerKey, ProducerCounts>,
    uncounted: ProducerCounts,
    /// What was really done.
    done: Changes,
}

impl Kernel {
    /// Returns whether a record is written.
    fn change(&mut self, key: ProducerKey, which: usize) -> bool {
        self.done.counts[which] += 1;
        let is_new = !self.map.contains_key(&key);
        if is_new && self.map.len() >= SMALL.kernel_keys {
            self.uncounted.counts[which] += 1;
            return false;
        }
        self.map.entry(key).or_default().counts[which] += 1;
        is_new
    }

    fn snapshot(&self) -> Vec<(ProducerKey, ProducerCounts)> {
        self.map
            .iter()
            .map(|(key, counts)| (*key, *counts))
            .collect()
    }
}

/// Changes, lost and late records, names, exits, and updates with changes between reading and taking out.
fn run(seed: &mut SmallRng) -> (Kernel, Table) {
    let (mut kernel, mut table) = (Kernel::default(), Table::new(SMALL));
    let mut late = Vec::new();
    let inodes = seed.random_range(1..12);
    let pids = seed.random_range(1..40);
    let mut do_some = |seed: &mut SmallRng, kernel: &mut Kernel, table: &mut Table, now_ns| {
        for _ in 0..seed.random_range(0..60) {
            let key = key(seed.random_range(0..pids), seed.random_range(0..inodes));
            let which = seed.random_range(0..change::LEN);
            let is_recorded = kernel.change(key, which);
            match seed.random_range(0..10) {
                0 if is_recorded => {}
                1 if is_recorded => late.push(key),
                _ if is_recorded => {
                    table.seen(&key, seen(["a", "b", "c"][key.pid as usize % 3], now_ns))
                }
                2 => table.name(&key, u32::try_from(which).expect("small"), b"name"),
                3 => {
                    if let Some(key) = late.pop() {
                        table.seen(&key, seen("late", now_ns));
                    }
                }
                _ => {}
            }
        }
    };
    for round in 1..seed.random_range(2..40) {
        let now_ns = round * 1_000;
        do_some(seed, &mut kernel, &mut table, now_ns);
        for (pid, _) in table.living() {
            if seed.random_range(0..10) == 0 {
                table.exited(pid);
            }
        }
        let mut snapshot = kernel.snapshot();
        // A reading may miss elements, or have one twice.
        if seed.random_range(0..5) == 0 && !snapshot.is_empty() {
            snapshot.pop();
            snapshot.extend_from_within(..snapshot.len() / 2);
        }
        let uncounted = kernel.uncounted;
        do_some(seed, &mut kernel, &mut table, now_ns);
        for key in table.update(now_ns, &snapshot, &uncounted) {
            // Now and then one can't be taken out.
            if seed.random_range(0..20) > 0 {
                table.removed(&key, kernel.map.remove(&key).as_ref());
            }
        }
        assert!(table.rows.len() <= SMALL.rows + SMALL.kernel_keys);
        assert!(table.groups.len() <= SMALL.groups + SMALL.kernel_keys);
        assert!(table.directories.len() <= 2 * SMALL.directories);
    }
    (kernel, table)
}

#[test]
fn every_change_is_in_one_sum() {
    for round in 0..2_000 {
        let mut seed = SmallRng::seed_from_u64(round);
        let (kernel, mut table) = run(&mut seed);
        table.update(u64::MAX, &kernel.snapshot(), &kernel.uncounted);
        assert_eq!(table.total(), kernel.done, "{round}");
        let mut shown = *table.dropped();
        shown.add(table.uncounted());
        for directory in table.directories(usize::MAX) {
            shown.add(&directory.dropped);
            for producer in &directory.producers {
                shown.add(&producer.changes);
                assert!(
                    producer.first_ns <= producer.last_ns,
                    "{round}: {producer:?}"
                );
                assert!(producer.samples.len() <= 16, "{round}");
            }
            let created = |at: usize| directory.producers[at].changes.created_count();
            assert!(
                (1..directory.producers.len()).all(|at| created(at - 1) >= created(at)),
                "{round}"
            );
        }
        // What is still in the kernel of a directory that had to make room is shown when it is out.
        let hidden: u64 = table
            .rows
            .iter()
            .filter(|((_, dev, ino), _)| !table.directories.contains_key(&(*dev, *ino)))
            .map(|(_, row)| row.changes.total_count())
            .sum();
        assert_eq!(
            shown.total_count() + hidden,
            kernel.done.total_count(),
            "{round}"
        );
    }
}
