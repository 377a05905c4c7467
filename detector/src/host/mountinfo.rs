//! Mount tables (proc_pid_mountinfo(5)), each error with the file that was really read.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _},
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
};

use crate::error::CommandError;

/// That of the first process, which anybody may read: a service and a container have mount tables of their
/// own, in which half of the host is missing or somewhere else.
const HOST: &str = "/proc/1/mountinfo";

/// This process's own.
const OWN: &str = "/proc/self/mountinfo";

/// A hundred thousand mounts (`fs.mount-max`) of 160 bytes each; a recording has room for as much.
const TEXT_BYTES_MAX: u64 = 16 << 20;

/// The text, if it is no longer than that.
fn bounded(text: Vec<u8>) -> io::Result<Vec<u8>> {
    if text.len() as u64 > TEXT_BYTES_MAX {
        let why = format!("longer than {} MiB", TEXT_BYTES_MAX >> 20);
        return Err(io::Error::other(why));
    }
    Ok(text)
}

/// A mount table that stays open, so that no path is looked up during a walk. The kernel reports a change of it
/// as an exceptional condition (proc_pid_mounts(5)).
#[derive(Debug)]
pub struct MountTable {
    file: File,
    path: &'static str,
}

impl MountTable {
    /// The host's; this process's own where `/proc` hides other users' processes.
    ///
    /// # Errors
    /// When neither can be opened.
    pub fn of_host() -> Result<Self, CommandError> {
        Self::open(HOST).or_else(|_| Self::own())
    }

    /// The one that this process finds paths by.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn own() -> Result<Self, CommandError> {
        Self::open(OWN)
    }

    fn open(path: &'static str) -> Result<Self, CommandError> {
        let file = File::open(path).map_err(CommandError::io(path))?;
        Ok(Self { file, path })
    }

    /// Its text as it is now.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn read(&mut self) -> Result<Vec<u8>, CommandError> {
        let mut text = Vec::new();
        self.file
            .rewind()
            .and_then(|()| (&self.file).take(TEXT_BYTES_MAX + 1).read_to_end(&mut text))
            .and_then(|_| bounded(text))
            .map_err(CommandError::io(self.path))
    }
}

impl AsFd for MountTable {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsRawFd for MountTable {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}
