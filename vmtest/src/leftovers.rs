//! Private directories that don't stay: what a killed vmtest leaves, a later one takes away.
//!
//! Each is locked (flock(2)) for as long as its process lives. The kernel gives the lock back whatever the
//! process's end, so one that can be locked belongs to nobody any more.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use nix::libc;
use tempfile::TempDir;

/// How the names begin. No user calls a directory of results that, and what doesn't begin so is never swept.
pub const PREFIX: &str = "vmtest-private-";

/// A private directory of this process, removed when dropped.
#[derive(Debug)]
pub struct Private {
    // In this order: it is gone before the lock is.
    directory: TempDir,
    _lock: File,
}

impl Private {
    /// A fresh one among the machine's temporary files.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn temporary() -> io::Result<Self> {
        Self::below(&std::env::temp_dir())
    }

    /// A fresh one in a directory that is there.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn below(parent: &Path) -> io::Result<Self> {
        const TRIES_MAX: usize = 10;
        for _ in 0..TRIES_MAX {
            let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
            // A sweep between these two steps holds the lock while it removes the directory.
            let Ok(lock) = open(directory.path()) else {
                continue;
            };
            lock.lock()?;
            if directory.path().exists() {
                return Ok(Self {
                    directory,
                    _lock: lock,
                });
            }
        }
        Err(io::Error::other(
            "private directories are swept away as they are made",
        ))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Removes the private directories in `parent` that no living process holds; returns those that went. Other
/// users' are left alone, and so is what can't be looked at.
pub fn sweep(parent: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else {
        return Vec::new();
    };
    let ours = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    ours.map(|entry| entry.path())
        .filter(|path| remove_unheld(path))
        .collect()
}

fn remove_unheld(path: &Path) -> bool {
    let Ok(directory) = open(path) else {
        return false;
    };
    // SAFETY: has no arguments and can't fail.
    let user = unsafe { libc::geteuid() };
    let is_own = directory.metadata().is_ok_and(|found| found.uid() == user);
    if !is_own {
        return false;
    }
    match directory.try_lock() {
        Ok(()) => fs::remove_dir_all(path).is_ok(),
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
    }
}

/// In a directory that all may write to, a symbolic link could lead anywhere.
fn open(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW)
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_holds_is_swept() {
        let parent = tempfile::tempdir().expect("a directory");
        let held = Private::below(parent.path()).expect("made");
        fs::write(held.path().join("disk.img"), "x").expect("written");
        // What a process leaves that was killed: a directory without its lock.
        let left = parent.path().join(format!("{PREFIX}left"));
        fs::create_dir(&left).expect("made");
        fs::write(left.join("initramfs.cpio"), "x").expect("written");
        let results = parent.path().join("vmtest-results");
        fs::create_dir(&results).expect("made");
        let elsewhere = tempfile::tempdir().expect("a directory");
        let link = parent.path().join(format!("{PREFIX}link"));
        std::os::unix::fs::symlink(elsewhere.path(), &link).expect("made");

        assert_eq!(sweep(parent.path()), [left.clone()]);
        assert!(!left.exists() && results.exists() && elsewhere.path().exists());
        assert!(held.path().join("disk.img").exists());

        let path = held.path().to_owned();
        drop(held);
        assert!(!path.exists());
        assert!(sweep(parent.path()).is_empty());
    }

    #[test]
    fn a_parent_that_is_not_there_has_no_leftovers() {
        assert!(sweep(Path::new("/nowhere")).is_empty());
    }
}
