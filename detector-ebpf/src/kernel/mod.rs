//! The only folder that reads kernel memory. `dentry.rs`, `inode.rs` and `task.rs` have one function for each field;
//! `pointer.rs` has the two ways to read one, `path.rs` and `fill.rs` what is put together from several.
//!
//! Every read is checked by the kernel: a bad address gives an error, never a fault. Fields that are read in one piece
//! where they lie together ([`dentry::Head`], the names of a path) are named a second time there.

pub mod dentry;
pub mod fill;
pub mod inode;
mod path;
mod pointer;
pub mod task;

pub use pointer::{Address, Pointer, Typed};

/// Copies bytes that a program may read anyway, in one call instead of a loop.
#[inline(always)]
pub fn copy<T>(from: &T, to: *mut T) -> bool {
    Address(core::ptr::from_ref(from) as u64).copy_to(to.cast(), size_of::<T>() as u32)
}

/// `value & MASK` in an instruction that the compiler can't find needless and remove.
#[inline(always)]
fn masked<const MASK: usize>(value: usize) -> usize {
    let mut value = value as u64;
    // SAFETY: one arithmetic instruction on a register.
    unsafe {
        core::arch::asm!("{value} &= {mask}", value = inout(reg) value, mask = const MASK, options(pure, nomem, nostack))
    };
    value as usize
}
