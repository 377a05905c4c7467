//! Words that all CPUs share.

use core::cell::UnsafeCell;

/// A word that all CPUs share. The compiler has no atomic operations for this target; an aligned load
/// or store of 64 bits is one instruction, which the machine doesn't tear.
pub struct Word(UnsafeCell<u64>);

// SAFETY: every access is one instruction.
unsafe impl Sync for Word {}

impl Word {
    /// What all of them start as.
    pub const fn zero() -> Self {
        Self(UnsafeCell::new(0))
    }

    #[inline(always)]
    pub fn load(&self) -> u64 {
        // SAFETY: valid and aligned.
        unsafe { self.0.get().read_volatile() }
    }

    #[inline(always)]
    pub fn store(&self, value: u64) {
        // SAFETY: valid and aligned.
        unsafe { self.0.get().write_volatile(value) };
    }

    #[inline(always)]
    pub fn add(&self, number: u64) {
        // SAFETY: valid and aligned.
        unsafe { add(self.0.get(), number) };
    }
}

/// Adds where other CPUs, or a program that is preempted on this one, may do the same. Without a result, which every
/// kernel's verifier knows; with one it came in 5.12 (5ffa25502b5a).
///
/// # Safety
/// The pointer is to a value of a map, aligned.
#[inline(always)]
pub unsafe fn add(to: *mut u64, number: u64) {
    // SAFETY: one instruction on these eight bytes.
    unsafe {
        core::arch::asm!("lock *(u64 *)({to} + 0) += {number}", to = in(reg) to, number = in(reg) number, options(nostack));
    }
}
