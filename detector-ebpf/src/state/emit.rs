//! The one way to the ring buffer.
//!
//! The ring buffer has a spinlock of its own. A probe that sees waits for spinlocks must not write a
//! record about a wait for that very lock, which it holds at that moment: before 5.12 nothing keeps
//! a program from running inside itself (ca06f55b9002), and after it only the same program is kept
//! out. So each CPU counts its writers, and `wait.rs` stays away until there is none: there are several where a program is
//! preempted or interrupted. Those of two tasks that take turns on the CPU don't leave in the order in which they came,
//! so counting is one instruction.

use core::mem::MaybeUninit;

use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_RING_SIZE};
use aya_ebpf::{macros::map, maps::RingBuf};
use fslockup_ebpf::{CpuState, count};

use super::{counters, cpu, word};
use crate::kernel;

#[map]
static RECORDS: RingBuf = RingBuf::with_byte_size(512 << 10, 0);

/// Writes one record in place, all zeros before it is filled in. Only for records: integers and
/// arrays of them.
#[inline(always)]
pub fn emit<T: Copy + 'static>(fill: impl FnOnce(&mut T)) {
    write(|| match RECORDS.reserve::<T>(0) {
        Some(mut entry) => {
            let record = MaybeUninit::as_mut_ptr(&mut entry);
            const { assert!(size_of::<T>().is_multiple_of(size_of::<u64>())) };
            for index in 0..size_of::<T>() / size_of::<u64>() {
                // SAFETY: room for one record, which is that many words; volatile, or the compiler would call a function
                // that writes byte by byte: an eighth of the instructions here, and of what the verifier looks at.
                unsafe { record.cast::<u64>().add(index).write_volatile(0) };
            }
            // SAFETY: zeros are a value of a record.
            fill(unsafe { &mut *record });
            entry.submit(0);
        }
        None => counters::add_one(count::RING_FULL),
    });
}

/// Whether less than half of the ring buffer is taken; if not, counts what is left out, as one of [`count`]. What a host can have
/// thousands of a second takes no more, or a record of a walk would find it full.
#[inline(always)]
pub fn has_room(left_out: u32) -> bool {
    let used = RECORDS.query(u64::from(BPF_RB_AVAIL_DATA));
    let has_room = used <= RECORDS.query(u64::from(BPF_RB_RING_SIZE)) / 2;
    if !has_room {
        counters::add_one(left_out);
    }
    has_room
}

/// The same for what is asked for: `empty` is what the record starts as, because zeros for a large one
/// would be written by a function that the programs don't have.
#[inline(always)]
pub fn emit_from<T: Copy + 'static>(empty: &T, fill: impl FnOnce(&mut T)) {
    write(|| match RECORDS.reserve::<T>(0) {
        Some(mut entry) => {
            let record = MaybeUninit::as_mut_ptr(&mut entry);
            if kernel::copy(empty, record) {
                // SAFETY: room for one record, which is filled in by now.
                fill(unsafe { &mut *record });
                entry.submit(0);
            } else {
                entry.discard(0);
            }
        }
        None => counters::add_one(count::RING_FULL),
    });
}

/// Copies a record that is kept elsewhere.
#[inline(always)]
pub fn emit_copy<T: Copy + 'static>(record: &T) {
    write(|| {
        if RECORDS.output::<T>(record, 0).is_err() {
            counters::add_one(count::RING_FULL);
        }
    });
}

#[inline(always)]
fn write(to_ring: impl FnOnce()) {
    let Some(cpu) = cpu::this() else { return };
    count_writers(cpu, 1);
    to_ring();
    count_writers(cpu, u64::MAX);
}

#[inline(always)]
fn count_writers(cpu: *mut CpuState, change: u64) {
    // SAFETY: the element is this CPU's own, and aligned.
    unsafe { word::add(&raw mut (*cpu).writers_count, change) };
}
