//! The records and settings that the eBPF programs and `fslockup` share.

#![no_std]

mod fields;
mod wire;

pub use fields::{FIELDS, Field, OFFSET_UNKNOWN, Offsets};
pub use wire::*;
