//! Names and paths in records: how much room they have, and what is said of one that is not whole.

/// Longest name of one path component (`NAME_MAX` in limits.h).
pub const NAME_BYTES_MAX: usize = 255;
/// A component of a path starts below this place, a power of two.
pub const PATH_START_LIMIT: usize = 1024;
/// Bytes for the components of a path, each `len: u8` then its name, from the leaf upwards.
pub const PATH_BYTES: usize = PATH_START_LIMIT + 1 + NAME_BYTES_MAX;
/// Most components read of one path. What is above them is cut, and [`PATH_IS_CUT`] says so.
pub const PATH_COMPONENTS_MAX: u32 = 24;
/// The same of a program's path, which is shorter: `/usr/lib/jvm/java-17-openjdk-amd64/bin/java` has six. The verifier looks
/// at each of them in each program that counts producers.
pub const EXE_COMPONENTS_MAX: u32 = 16;
/// `TASK_COMM_LEN` (linux/sched.h).
pub const COMM_BYTES: usize = 16;
/// Bytes kept of a file system type's name.
pub const FSTYPE_BYTES: usize = 16;

/// [`crate::WalkRecord::path_flags`]: components above the ones given were left out.
pub const PATH_IS_CUT: u16 = 1;
/// [`crate::WalkRecord::path_flags`]: reading the path failed on the way up.
pub const PATH_IS_BROKEN: u16 = 2;

/// Bytes for one name: [`NAME_BYTES_MAX`] and one more, up to a power of two.
pub const NAME_ROOM: usize = NAME_BYTES_MAX + 1;
