//! First field of every record in the ring buffer: what the bytes behind it are.

/// Nothing yet: a new element of the map of running walks.
pub const NONE: u32 = 0;
/// A [`WalkRecord`](crate::WalkRecord).
pub const WALK: u32 = 1;
/// A [`WaitRecord`](crate::WaitRecord).
pub const WAIT: u32 = 2;
/// A [`StallRecord`](crate::StallRecord).
pub const STALL: u32 = 3;
/// A [`SyscallRecord`](crate::SyscallRecord).
pub const SYSCALL: u32 = 4;
/// A [`ReleaseRecord`](crate::ReleaseRecord).
pub const RELEASE: u32 = 5;
/// A [`ProducerRecord`](crate::ProducerRecord).
pub const PRODUCER: u32 = 6;
/// A [`NameRecord`](crate::NameRecord).
pub const NAME: u32 = 7;
/// A [`DentryRecord`](crate::DentryRecord).
pub const DENTRY: u32 = 8;
