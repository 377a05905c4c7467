//! Why a kernel can't be had.

use std::{io, path::PathBuf};

use super::{Lack, PackageError, apt::AptError, update::ChoiceError};

/// Why a kernel can't be had.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The lock has nothing for it, or not what the manifest asks for, and it must be pinned (`--locked`).
    #[error("kernel {kernel}: {reason} (run: vmtest fetch --update {kernel})")]
    NotPinned {
        /// The kernel's name.
        kernel: String,
        /// What the lock lacks.
        reason: String,
    },
    /// A pinned version left the archive, and no other may be taken (`--locked`).
    #[error(
        "kernel {kernel}: {package} {version} has left the archive (run: vmtest fetch --update {kernel}, or go without --locked)"
    )]
    Gone {
        /// The kernel's name.
        kernel: String,
        /// The package.
        package: String,
        /// Its pinned version.
        version: String,
    },
    /// There is neither a pinned version nor another.
    #[error("{error}{}", .pin.as_ref().map(|pin| format!("; its pin {pin} has left the archive")).unwrap_or_default())]
    NoneLeft {
        /// What was looked for.
        error: ChoiceError,
        /// What was pinned.
        pin: Option<String>,
    },
    /// The archive doesn't have the kernel's suite any more.
    #[error("kernel {kernel}: {what} is no longer in the archive")]
    NoSuite {
        /// The kernel's name.
        kernel: String,
        /// The archive's address and the suite.
        what: String,
    },
    /// apt failed.
    #[error("kernel {kernel}: {error}")]
    Apt {
        /// The kernel's name.
        kernel: String,
        /// What happened.
        error: AptError,
    },
    /// The file isn't the pinned one.
    #[error(
        "kernel {kernel}: {package}: the download's digest is {found}, the lock says {expected}"
    )]
    Digest {
        /// The kernel's name.
        kernel: String,
        /// The package.
        package: String,
        /// Of the file.
        found: String,
        /// Of the lock.
        expected: String,
    },
    /// A package can't be unpacked.
    #[error("kernel {kernel}: {error}")]
    Package {
        /// The kernel's name.
        kernel: String,
        /// What happened.
        error: PackageError,
    },
    /// A part of the kernel is in none of its packages.
    #[error("kernel {kernel}: no {lack} in {packages} (add {remedy}: FILE,FILE{otherwise})")]
    Lacks {
        /// The kernel's name.
        kernel: String,
        /// The part.
        lack: Lack,
        /// Where it was looked for.
        packages: &'static str,
        /// The packages that have such a part.
        remedy: &'static str,
        /// What else would do.
        otherwise: &'static str,
    },
    /// A file can't be read or written.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
}

impl StoreError {
    /// Whether the archive just doesn't have the kernel any more, through no fault of this machine. That it
    /// can't be reached is another thing: somebody here can do something about it.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(
            self,
            Self::Gone { .. } | Self::NoneLeft { .. } | Self::NoSuite { .. }
        )
    }

    /// The kernel and the rest of the line, where the same may be true of other kernels.
    #[must_use]
    pub fn in_common(&self) -> Option<(&str, String)> {
        match self {
            Self::Apt { kernel, error } => Some((kernel, error.to_string())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_left_the_archive_says_how_to_go_on() {
        let error = StoreError::Gone {
            kernel: "7.2".into(),
            package: "linux-x".into(),
            version: "7.2.1-1".into(),
        };
        assert_eq!(
            error.to_string(),
            "kernel 7.2: linux-x 7.2.1-1 has left the archive (run: vmtest fetch --update 7.2, or go without --locked)"
        );
        assert!(error.is_unavailable());
    }
}
