//! Makes the guest's disk: a sparse file with a fresh file system.

use std::{ffi::OsString, fs::File, path::Path, process::Command};

use serde::{Deserialize, Serialize};

/// A file system that a disk may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum FileSystem {
    /// ext4, by `mke2fs`.
    Ext4,
    /// XFS, by `mkfs.xfs`.
    Xfs,
    /// btrfs, by `mkfs.btrfs`.
    Btrfs,
}

impl FileSystem {
    /// The kernel's name for it, which is also its module's.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// Program, package and arguments that make it.
    fn maker(self) -> (&'static str, &'static str, &'static [&'static str]) {
        match self {
            // Not lazily: a kernel thread that writes inode tables would disturb every measurement.
            Self::Ext4 => (
                "mke2fs",
                "e2fsprogs",
                &[
                    "-q",
                    "-F",
                    "-t",
                    "ext4",
                    "-E",
                    "lazy_itable_init=0,lazy_journal_init=0",
                ],
            ),
            // What kernels from 5.10 on can mount: mkfs.xfs's newer defaults are unknown to them. Its own
            // list of that (lts_5.10.conf) is one that mkfs.xfs 6.1 of Debian 12 itself refuses.
            Self::Xfs => (
                "mkfs.xfs",
                "xfsprogs",
                &[
                    "-q",
                    "-f",
                    "-m",
                    "crc=1,finobt=1,rmapbt=0,reflink=1,bigtime=0,inobtcount=0",
                    "-i",
                    "sparse=1,nrext64=0",
                ],
            ),
            Self::Btrfs => ("mkfs.btrfs", "btrfs-progs", &["-q", "-f"]),
        }
    }
}

/// Why a disk can't be made.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The program isn't there.
    #[error("{program}: {error} (install {package}, or choose another --fs)")]
    NoMaker {
        /// The program.
        program: &'static str,
        /// The package that has it.
        package: &'static str,
        /// What happened.
        error: std::io::Error,
    },
    /// The program failed.
    #[error("{program}: {reason}")]
    Failed {
        /// The program.
        program: &'static str,
        /// Its own words.
        reason: String,
    },
    /// The file can't be made.
    #[error("disk image: {0}")]
    Io(#[from] std::io::Error),
}

/// Makes the disk at `image`.
///
/// # Errors
/// When the file system's program isn't installed or fails.
pub fn make(image: &Path, fs: FileSystem, size_mib: u64) -> Result<(), DiskError> {
    File::create(image)?.set_len(size_mib << 20)?;
    let (program, package, arguments) = fs.maker();
    let output = Command::new(program)
        .args(arguments)
        .arg(image)
        .env("PATH", administrators_path())
        .output()
        .map_err(|error| DiskError::NoMaker {
            program,
            package,
            error,
        })?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let reason = stderr
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("failed without a word")
        .to_owned();
    Err(DiskError::Failed { program, reason })
}

/// Where programs for disks are looked up: users who are not root often lack their directories.
pub(super) fn administrators_path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}
