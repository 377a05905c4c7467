//! One name out of many.

use super::{NAME_ROOM, ProducerKey};

/// One name out of many: written when a count of a [`crate::ProducerKey`] reaches a power of two.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct NameRecord {
    /// [`crate::kind::NAME`].
    pub kind: u32,
    /// [`crate::change`].
    pub change: u32,
    /// Process and directory.
    pub key: ProducerKey,
    /// Bytes used in `name`.
    pub name_len: u32,
    /// Not used.
    pub padding: u32,
    /// The name.
    pub name: [u8; NAME_ROOM],
}

const _: () = assert!(size_of::<NameRecord>() == 32 + NAME_ROOM);
