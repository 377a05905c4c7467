//! The mount table of the host.

use std::{fs::File, io};

/// That of the first process (proc_pid_mountinfo(5)), which anybody may read: a service and a container
/// have mount tables of their own, in which half of the host is missing or somewhere else.
const HOST: &str = "/proc/1/mountinfo";

/// Where `/proc` hides other users' processes.
const OWN: &str = "/proc/self/mountinfo";

/// The object in errors.
pub const MOUNTINFO: &str = HOST;

/// Opens it.
pub fn open() -> io::Result<File> {
    File::open(HOST).or_else(|_| File::open(OWN))
}
