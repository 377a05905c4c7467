//! Reads `/proc` through a file descriptor that stays open: `/` may be the directory of the next walk.

use std::{
    fs::File,
    io::{self, Read as _},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStringExt as _,
    },
};

use nix::{
    dir::Dir,
    fcntl::{OFlag, open, openat, readlinkat},
    sys::stat::Mode,
};

/// The names of kernel threads are longer than others: 64 bytes with the ending (`proc_task_name()`).
const COMM_BYTES_MAX: u64 = 64;

/// `/proc`, open. Every entry may vanish while it is read: that is none, never an error.
#[derive(Debug)]
pub struct Proc {
    root: OwnedFd,
}

impl AsFd for Proc {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

impl Proc {
    /// Opens it.
    pub fn new() -> io::Result<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let root = open("/proc", flags, Mode::empty())?;
        Ok(Self { root })
    }

    /// Opens a file below it.
    #[must_use]
    pub fn open(&self, path: &str) -> Option<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let file = openat(&self.root, path, flags, Mode::empty()).ok()?;
        Some(File::from(file))
    }

    /// A file's text. None where it is longer than this: then it is not what was expected.
    #[must_use]
    pub fn read(&self, path: &str, bytes_max: u64) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        let mut file = self.open(path)?.take(bytes_max + 1);
        file.read_to_end(&mut text).ok()?;
        (u64::try_from(text.len()).ok()? <= bytes_max).then_some(text)
    }

    /// The name of a process (`PID`) or of a task (`PID/task/TID`): proc_pid_comm(5).
    #[must_use]
    pub fn comm(&self, task: &str) -> Option<Vec<u8>> {
        let text = self.read(&format!("{task}/comm"), COMM_BYTES_MAX)?;
        Some(text.trim_ascii_end().to_vec())
    }

    /// What a link says.
    #[must_use]
    pub fn link(&self, path: &str) -> Option<Vec<u8>> {
        Some(readlinkat(&self.root, path).ok()?.into_vec())
    }

    /// The entries of a directory below it (`.` is itself) whose names are numbers.
    pub fn numbers(&self, path: &str) -> impl Iterator<Item = u32> + use<> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let entries = Dir::openat(self.root.as_fd(), path, flags, Mode::empty()).ok();
        let entries = entries.into_iter().flat_map(Dir::into_iter);
        entries.filter_map(|entry| entry.ok()?.file_name().to_str().ok()?.parse().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_read() {
        let proc = Proc::new().expect("/proc");
        let own = std::process::id();
        assert!(proc.numbers(".").any(|pid| pid == own));
        assert!(proc.numbers("self/fd").count() >= 3);
        assert_eq!(proc.link("self"), Some(own.to_string().into_bytes()));
        assert!(proc.read("self/stat", 4096).is_some());
        assert_eq!(proc.read("self/stat", 3), None);
    }

    #[test]
    fn what_has_vanished_is_nothing() {
        let proc = Proc::new().expect("/proc");
        assert_eq!(proc.numbers("4294967295/fd").count(), 0);
        assert_eq!(proc.link("4294967295/exe"), None);
        assert_eq!(proc.read("4294967295/stat", 4096), None);
    }
}
