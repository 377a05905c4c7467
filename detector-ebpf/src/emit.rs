//! The one way to the ring buffer.
//!
//! The ring buffer has a spinlock of its own. A probe that sees waits for spinlocks must not write a
//! record about a wait for that very lock, which it holds at that moment: before 5.12 nothing keeps
//! a program from running inside itself (ca06f55b9002), and after it only the same program is kept
//! out. So each CPU notes that it is writing, and `wait.rs` stays away while it does.

use core::mem::MaybeUninit;

use aya_ebpf::{macros::map, maps::RingBuf};
use fslockup_ebpf::count;

use crate::{counters, cpu};

#[map]
static RECORDS: RingBuf = RingBuf::with_byte_size(512 << 10, 0);

/// Writes one record in place. `fill` must set every byte of it.
#[inline(always)]
pub fn emit<T: 'static>(fill: impl FnOnce(*mut T)) {
    let Some(cpu) = cpu::this() else { return };
    // SAFETY: the element is this CPU's own; a volatile write, so that the order stays.
    unsafe { (&raw mut (*cpu).is_emitting).write_volatile(1) };
    match RECORDS.reserve::<T>(0) {
        Some(mut entry) => {
            fill(MaybeUninit::as_mut_ptr(&mut entry));
            entry.submit(0);
        }
        None => counters::add_one(count::RING_FULL),
    }
    // SAFETY: as above.
    unsafe { (&raw mut (*cpu).is_emitting).write_volatile(0) };
}

/// Copies a record that is kept elsewhere.
#[inline(always)]
pub fn emit_copy<T: Copy + 'static>(record: &T) {
    let Some(cpu) = cpu::this() else { return };
    // SAFETY: as in `emit`.
    unsafe { (&raw mut (*cpu).is_emitting).write_volatile(1) };
    if RECORDS.output::<T>(record, 0).is_err() {
        counters::add_one(count::RING_FULL);
    }
    // SAFETY: as in `emit`.
    unsafe { (&raw mut (*cpu).is_emitting).write_volatile(0) };
}
