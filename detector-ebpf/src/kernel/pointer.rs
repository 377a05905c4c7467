//! Two ways to kernel memory: an [`Address`] is read through a helper, which takes tens of instructions and any
//! address; a [`Typed`] pointer is read by a plain load, which takes a few and only works along the
//! types that the kernel's BTF gives.

use core::mem::MaybeUninit;

use aya_ebpf::{
    helpers::{bpf_probe_read_kernel, generated::bpf_probe_read_kernel as raw_probe_read_kernel},
    programs::FEntryContext,
};
use fslockup_ebpf::OFFSET_UNKNOWN;

/// A pointer to a struct of the kernel, by either way.
pub trait Pointer: Copy {
    /// What a read gives: a helper may give nothing.
    type Read<T>;

    /// The value of a field.
    fn read_field<T>(self, offset: u32) -> Self::Read<T>;

    /// Where a field points.
    fn follow(self, offset: u32) -> Self::Read<Self>;

    /// What was read, if it was.
    fn value<T>(read: Self::Read<T>) -> Option<T>;

    /// Where a field points, if that is somewhere.
    fn target(read: Self::Read<Self>) -> Option<Self>;
}

/// An address in the kernel, never dereferenced directly.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Address(pub u64);

impl Address {
    /// The address of a field, if its offset is known.
    #[inline(always)]
    pub fn field(self, offset: u32) -> Option<Self> {
        if offset == OFFSET_UNKNOWN || self.0 == 0 {
            return None;
        }
        Some(Self(self.0 + u64::from(offset)))
    }

    #[inline(always)]
    pub fn read<T>(self) -> Option<T> {
        // SAFETY: the helper checks the address.
        unsafe { bpf_probe_read_kernel(self.0 as *const T) }.ok()
    }

    /// A value; zeros where it can't be read. Whether it could is not asked, because each question is one more way that
    /// the verifier follows to the end. Only for integers and what is made of them.
    #[inline(always)]
    pub fn read_or_zeros<T: Copy>(self) -> T {
        *self.read_to(&mut MaybeUninit::uninit())
    }

    /// The same for what is too large to be moved: that is a copy.
    #[inline(always)]
    pub fn read_to<T: Copy>(self, place: &mut MaybeUninit<T>) -> &T {
        // Not set to zeros before: for 16 bytes and more that is a function with a loop.
        self.copy_to(place.as_mut_ptr().cast(), size_of::<T>() as u32);
        // SAFETY: the helper writes all of it, zeros where it can't read.
        unsafe { place.assume_init_ref() }
    }

    /// Copies bytes to `to`; `false` if they can't be read.
    #[inline(always)]
    pub fn copy_to(self, to: *mut u8, bytes: u32) -> bool {
        // SAFETY: the helper checks the source, the verifier checks that `to` has room.
        unsafe { raw_probe_read_kernel(to.cast(), bytes, self.0 as *const _) == 0 }
    }

    /// It is a negative errno in place of a pointer, as [`Typed::is_error`].
    #[inline(always)]
    pub fn is_error(self) -> bool {
        Typed(self.0 as *const u8).is_error()
    }
}

impl Pointer for Address {
    type Read<T> = Option<T>;

    #[inline(always)]
    fn read_field<T>(self, offset: u32) -> Option<T> {
        self.field(offset)?.read()
    }

    #[inline(always)]
    fn follow(self, offset: u32) -> Option<Self> {
        match self.field(offset)?.read_or_zeros::<u64>() {
            0 => None,
            address => Some(Self(address)),
        }
    }

    #[inline(always)]
    fn value<T>(read: Option<T>) -> Option<T> {
        read
    }

    #[inline(always)]
    fn target(read: Option<Self>) -> Option<Self> {
        read
    }
}

/// A pointer whose type the verifier knows: an argument of a traced function, or what such a pointer
/// leads to. The offsets are frozen constants, so it can follow each load; where the address turns out
/// bad at run time, 0 is read (`BPF_PROBE_MEM`, 2a02759ef5f8, 5.5).
#[derive(Clone, Copy)]
pub struct Typed(*const u8);

impl Typed {
    /// An argument of the function that the program sits on.
    #[inline(always)]
    pub fn argument(ctx: &FEntryContext, index: usize) -> Self {
        Self(ctx.arg(index))
    }

    #[inline(always)]
    pub fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// It is a negative errno in place of a pointer (`IS_ERR`, linux/err.h).
    #[inline(always)]
    pub fn is_error(self) -> bool {
        const MAX_ERRNO: u64 = 4095;
        self.0 as u64 >= u64::MAX - MAX_ERRNO
    }

    #[inline(always)]
    pub fn is_same(self, other: Self) -> bool {
        core::ptr::eq(self.0, other.0)
    }

    #[inline(always)]
    pub fn address(self) -> Address {
        Address(self.0 as u64)
    }
}

impl Pointer for Typed {
    type Read<T> = T;

    #[inline(always)]
    fn read_field<T>(self, offset: u32) -> T {
        // SAFETY: checked by the kernel; volatile, so that it stays one load of this size.
        unsafe { self.0.add(offset as usize).cast::<T>().read_volatile() }
    }

    #[inline(always)]
    fn follow(self, offset: u32) -> Self {
        Self(self.read_field(offset))
    }

    #[inline(always)]
    fn value<T>(read: T) -> Option<T> {
        Some(read)
    }

    #[inline(always)]
    fn target(read: Self) -> Option<Self> {
        (!read.is_null()).then_some(read)
    }
}
