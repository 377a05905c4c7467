//! What is read of this host besides the kernel's facts: processes, watchers, mounts, the kernel's log, the terminal.

pub mod boot_id;
pub mod cgroups;
pub mod identity;
pub mod kmsg;
pub mod mountinfo;
pub mod proc;
pub mod terminal;
pub mod watchers;
