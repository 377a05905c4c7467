//! What happens to a cached dentry.

/// A lookup found nothing: a negative dentry was made.
pub const MADE_NEGATIVE: u32 = 0;
/// A lookup found an inode: a positive dentry was made.
pub const MADE_POSITIVE: u32 = 1;
/// A negative dentry got an inode: something was created under its name.
pub const FILLED: u32 = 2;
/// A positive dentry lost its inode and stays as a negative one: unlink(2), rmdir(2).
pub const EMPTIED: u32 = 3;
/// A negative dentry left the cache.
pub const REMOVED_NEGATIVE: u32 = 4;
/// A positive dentry left the cache.
pub const REMOVED_POSITIVE: u32 = 5;
/// How many there are.
pub const LEN: usize = 6;
