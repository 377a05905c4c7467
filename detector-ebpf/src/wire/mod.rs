//! What crosses between programs and user space, byte for byte: one file a record, and what maps and settings hold.
//!
//! Everything here is `#[repr(C)]` without implicit padding: the same source is compiled for the
//! BPF target and for the host, and the size assertions hold on both.

mod census;
pub mod change;
pub mod count;
mod cpu;
mod dentry;
pub mod kind;
mod name;
mod path;
mod producer;
mod release;
mod settings;
mod stall;
mod syscall;
mod wait;
mod walk;

pub use census::{CENSUS_STEPS_MAX, CensusCursor, CensusState, census_do, census_end};
pub use cpu::{CpuState, SECTIONS_KEPT, Section, WAITS_NESTED_MAX, Waiting, section};
pub use dentry::{DentryRecord, trace_count};
pub use name::NameRecord;
pub use path::{
    COMM_BYTES, EXE_COMPONENTS_MAX, FSTYPE_BYTES, NAME_BYTES_MAX, NAME_ROOM, PATH_BYTES,
    PATH_COMPONENTS_MAX, PATH_IS_BROKEN, PATH_IS_CUT, PATH_START_LIMIT,
};
pub use producer::{
    PRODUCER_SLOTS, ProducerCounts, ProducerKey, ProducerRecord, ProducerSlot, producer_slot,
};
pub use release::ReleaseRecord;
pub use settings::{COMPARISONS, THRESHOLDS_COUNT, TraceFilter, threshold};
pub use stall::{StallRecord, WAS_RUNNABLE_BEFORE};
pub use syscall::{ARGUMENT_BYTES, SyscallRecord, call};
pub use wait::{STACK_DEPTH, WaitRecord, wait_how};
pub use walk::{SYSCALL_UNKNOWN, WalkRecord, slot};
