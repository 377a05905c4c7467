//! Reads a configuration file.

use std::{
    fs::OpenOptions,
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use nix::fcntl::OFlag;

use crate::escape::escape;

/// Read where it exists and the command line says nothing else.
pub const DEFAULT_FILE: &str = "/etc/fslockup.toml";

/// Longest file that is read.
const BYTES_MAX: u64 = 1 << 20;

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It can't be read.
    #[error("{}: {source}", name(.path))]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A device, pipe or directory.
    #[error("{}: not a regular file, which it must be to be read again", name(.0))]
    NotAFile(PathBuf),
    /// Too long to be one.
    #[error("{}: longer than 1 MiB, so it is no configuration file", name(.0))]
    TooLong(PathBuf),
    /// What is in it is wrong.
    #[error("{}:{line}: {reason}", name(.path))]
    Mistake {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// In one line, escaped.
        reason: String,
    },
}

fn name(path: &Path) -> String {
    escape(path.as_os_str().as_encoded_bytes())
}

/// The bytes of a file.
///
/// # Errors
/// When it can't be read, is no regular file, or is too long.
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let failed = |source| FileError::Io {
        path: path.to_owned(),
        source,
    };
    // Opening a pipe that nobody writes to would wait for ever.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)
        .map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(FileError::NotAFile(path.to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(FileError::TooLong(path.to_owned()));
    }
    Ok(bytes)
}

/// [`DEFAULT_FILE`], if it exists.
///
/// # Errors
/// As [`read`].
pub fn read_default() -> Result<Option<(PathBuf, Vec<u8>)>, FileError> {
    let path = PathBuf::from(DEFAULT_FILE);
    match read(&path) {
        Ok(bytes) => Ok(Some((path, bytes))),
        Err(FileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
