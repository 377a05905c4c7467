//! The maps in which the programs count who changes the children of directories.

use std::{collections::HashMap as Table, io, os::fd::AsFd, ptr::NonNull};

use aya::maps::{HashMap, MapData, MapError, PerCpuArray};
use fslockup_ebpf::{
    PRODUCER_SLOTS, ProducerCounts, ProducerKey, ProducerSlot, change, producer_slot,
};
use nix::libc;

/// Elements that the map has room for (`PRODUCERS` in detector-ebpf/src/programs/produce.rs).
pub const PRODUCERS_MAX: usize = 16_384;

const KEY_BYTES: usize = size_of::<ProducerKey>();
const SLOTS_BYTES: usize = PRODUCER_SLOTS * size_of::<ProducerSlot>();

/// Who changes the children of which directory: all that is counted so far.
pub struct ProducerMaps {
    counts: HashMap<MapData, [u8; KEY_BYTES], [u64; change::LEN]>,
    slots: Slots,
    uncounted: PerCpuArray<MapData, u64>,
}

impl ProducerMaps {
    pub(super) fn new(
        counts: HashMap<MapData, [u8; KEY_BYTES], [u64; change::LEN]>,
        slots: &MapData,
        uncounted: PerCpuArray<MapData, u64>,
    ) -> io::Result<Self> {
        Ok(Self {
            counts,
            slots: Slots::map(slots)?,
            uncounted,
        })
    }

    /// All pairs of process and directory, each with what it did since it was first seen or forgotten.
    /// The kernel counts on meanwhile.
    #[must_use]
    pub fn read(&self) -> Vec<(ProducerKey, ProducerCounts)> {
        // An element can go while the map is read.
        let in_map = self.counts.iter().filter_map(Result::ok);
        let mut sums: Table<_, _> = in_map
            .map(|(key, counts)| (from_bytes(key), ProducerCounts { counts }))
            .collect();
        for slot in self.slots.owned() {
            let sum = sums.entry(slot.key).or_default();
            for (sum, count) in sum.counts.iter_mut().zip(slot.counts.counts) {
                *sum = sum.saturating_add(count);
            }
        }
        sums.into_iter().collect()
    }

    /// Makes room; what was counted last, none where there was no such element. If the process goes on
    /// in that directory it counts from zero, and there is another [`fslockup_ebpf::ProducerRecord`].
    /// What it does at this very moment may be lost.
    ///
    /// # Errors
    /// When the kernel refuses; one that is gone already is none.
    pub fn forget(&mut self, key: &ProducerKey) -> Result<Option<ProducerCounts>, MapError> {
        let mut last = self.slots.free(key);
        if let Some(counts) = found(self.counts.get(&to_bytes(key), 0))? {
            let last = last.get_or_insert_default();
            for (sum, count) in last.counts.iter_mut().zip(counts) {
                *sum = sum.saturating_add(count);
            }
            found(self.counts.remove(&to_bytes(key)))?;
        }
        Ok(last)
    }

    /// How many changes of each kind found the map full: nobody knows whose they were.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn uncounted(&self) -> Result<ProducerCounts, MapError> {
        let mut sums = ProducerCounts::default();
        for (index, sum) in (0_u32..).zip(&mut sums.counts) {
            *sum = self.uncounted.get(&index, 0)?.iter().sum();
        }
        Ok(sums)
    }
}

/// Something that is not there is no error.
fn found<T>(answer: Result<T, MapError>) -> Result<Option<T>, MapError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(MapError::SyscallError(error)) if error.io_error.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn from_bytes(bytes: [u8; KEY_BYTES]) -> ProducerKey {
    // SAFETY: as many bytes as a key has, which is made of integers only.
    unsafe { bytes.as_ptr().cast::<ProducerKey>().read_unaligned() }
}

fn to_bytes(key: &ProducerKey) -> [u8; KEY_BYTES] {
    // SAFETY: as many bytes as a key has, and it has no padding.
    unsafe { std::ptr::from_ref(key).cast::<[u8; KEY_BYTES]>().read() }
}

/// The array of slots, in this process's memory: to read all of them takes no system call.
struct Slots(NonNull<ProducerSlot>);

// SAFETY: the memory is the kernel's, and only copied from and to.
unsafe impl Send for Slots {}

impl Slots {
    fn map(data: &MapData) -> io::Result<Self> {
        // SAFETY: a new mapping; the kernel checks its size against the map's.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                SLOTS_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                std::os::fd::AsRawFd::as_raw_fd(&data.fd().as_fd()),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(address.cast())
            .map(Self)
            .ok_or_else(|| io::Error::other("mapped to address 0"))
    }

    /// Copies of those that are somebody's.
    fn owned(&self) -> impl Iterator<Item = ProducerSlot> {
        (0..PRODUCER_SLOTS).filter_map(|index| {
            // SAFETY: inside the mapping; volatile, for the kernel writes meanwhile.
            let slot = unsafe { self.0.add(index).read_volatile() };
            (slot.dentry_addr != 0).then_some(slot)
        })
    }

    /// The counts of a slot that is this key's, which is nobody's then.
    fn free(&mut self, key: &ProducerKey) -> Option<ProducerCounts> {
        let slot = self
            .0
            .as_ptr()
            .wrapping_add(producer_slot(key.pid, key.ino));
        // SAFETY: inside the mapping. The owner's mark goes first and comes last, so that the programs
        // don't take half a slot for a whole one.
        unsafe {
            if (&raw const (*slot).key).read_volatile() != *key {
                return None;
            }
            (&raw mut (*slot).dentry_addr).write_volatile(0);
            let last = (&raw const (*slot).counts).read_volatile();
            (&raw mut (*slot).counts).write_volatile(ProducerCounts::default());
            (&raw mut (*slot).key).write_volatile(ProducerKey {
                ino: 0,
                dev: 0,
                pid: 0,
            });
            (&raw mut (*slot).claims_count).write_volatile(0);
            Some(last)
        }
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        // SAFETY: the mapping made by `map`, which nothing refers to any more.
        unsafe { libc::munmap(self.0.as_ptr().cast(), SLOTS_BYTES) };
    }
}
