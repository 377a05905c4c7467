//! What one process did in one directory.

use std::collections::BTreeSet;

use fslockup_ebpf::ProducerCounts;

use crate::producers::{Changes, Identity, Producer, template::template};

/// A process in a directory.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) identity: Identity,
    /// Over all the times that its key was in the kernel's map.
    pub(super) changes: Changes,
    /// Of them, those that the kernel's present element has in it.
    merged: ProducerCounts,
    pub(super) first_ns: u64,
    pub(super) last_ns: u64,
    pub(super) samples: Samples,
    /// The kernel's map has its key, as far as is known.
    pub(super) is_in_kernel: bool,
    /// By the latest reading.
    pub(super) has_grown: bool,
    pub(super) has_exited: bool,
    /// It makes room as soon as its key is out of the kernel's map.
    pub(super) is_dropped: bool,
}

impl Row {
    pub(super) fn new(at_ns: u64) -> Self {
        Self {
            identity: Identity::default(),
            changes: Changes::default(),
            merged: ProducerCounts::default(),
            first_ns: at_ns,
            last_ns: at_ns,
            samples: Samples::default(),
            is_in_kernel: false,
            has_grown: false,
            has_exited: false,
            is_dropped: false,
        }
    }

    /// Its record has come, perhaps after its counts.
    pub(super) fn identify(&mut self, identity: Identity, at_ns: u64) {
        if self.identity == Identity::default() {
            self.identity = identity;
        }
        self.first_ns = self.first_ns.min(at_ns);
    }

    /// Adds what is new in the kernel's counts. Counts that went back are those of a new element, of whose
    /// predecessor nobody was told that it left.
    pub(super) fn merge(&mut self, counts: &ProducerCounts, now_ns: u64) {
        let pairs = || counts.counts.iter().zip(self.merged.counts);
        if pairs().any(|(now, before)| *now < before) {
            self.merged = ProducerCounts::default();
        }
        let mut new = Changes {
            counts: counts.counts,
        };
        for (count, before) in new.counts.iter_mut().zip(self.merged.counts) {
            *count -= before;
        }
        if new.total_count() > 0 {
            self.has_grown = true;
            self.last_ns = self.last_ns.max(now_ns);
        }
        self.changes.add(&new);
        self.merged = *counts;
    }

    /// Its key is out of the kernel's map: should it come back, it counts from 0.
    pub(super) fn forget_kernel(&mut self) {
        self.is_in_kernel = false;
        self.merged = ProducerCounts::default();
    }

    pub(super) fn producer(&self, pid: u32) -> Producer {
        let samples = self.samples.names();
        Producer {
            pid: Some(pid),
            processes_count: 1,
            identity: self.identity.clone(),
            has_exited: self.has_exited,
            changes: self.changes,
            first_ns: self.first_ns,
            last_ns: self.last_ns,
            template: template(&samples),
            samples,
        }
    }
}

/// Names kept of a producer.
const SAMPLES_MAX: usize = 16;

/// A few names out of many: names made before names removed, then by a number made of the name. So the same
/// ones stay whatever their order, and how they sort says nothing of how they were made.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples {
    kept: BTreeSet<(bool, u64, Box<[u8]>)>,
}

impl Samples {
    pub(super) fn offer(&mut self, is_removal: bool, name: &[u8]) {
        let sample = (is_removal, fnv(name), Box::<[u8]>::from(name));
        if is_removal && self.kept.contains(&(false, sample.1, sample.2.clone())) {
            return;
        }
        if !is_removal {
            self.kept.remove(&(true, sample.1, sample.2.clone()));
        }
        self.kept.insert(sample);
        if self.kept.len() > SAMPLES_MAX {
            self.kept.pop_last();
        }
    }

    pub(super) fn take_over(&mut self, other: Self) {
        for (is_removal, _, name) in other.kept {
            self.offer(is_removal, &name);
        }
    }

    /// In the order of their bytes.
    pub(super) fn names(&self) -> Vec<Vec<u8>> {
        let names: BTreeSet<_> = self.kept.iter().map(|(.., name)| name.to_vec()).collect();
        names.into_iter().collect()
    }
}

/// FNV-1a, 64 bits (draft-eastlake-fnv).
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
