//! From which length on something leaves a record. User space may change these at any time.
//!
//! They are read where something has ended that is rare: a walk, a contended wait, a timed system call,
//! a switch to a task behind one of these. No context switch and no lookup outside a walk reads them.

use fslockup_ebpf::{THRESHOLDS_COUNT, threshold};

use super::word::Word;

/// A section of its own, because user space writes a section as a whole.
#[unsafe(link_section = ".data.thresholds")]
#[unsafe(no_mangle)]
static THRESHOLDS_NS: [Word; THRESHOLDS_COUNT] = [const { Word::zero() }; THRESHOLDS_COUNT];

/// The walk or system call that is shorter than this leaves no record.
#[inline(always)]
pub fn walk_ns() -> u64 {
    THRESHOLDS_NS[threshold::WALK].load()
}

/// The wait that is shorter than this leaves no record.
#[inline(always)]
pub fn wait_ns() -> u64 {
    THRESHOLDS_NS[threshold::WAIT].load()
}

/// A task kept from running for less than this leaves no record.
#[inline(always)]
pub fn stall_ns() -> u64 {
    THRESHOLDS_NS[threshold::STALL].load()
}
