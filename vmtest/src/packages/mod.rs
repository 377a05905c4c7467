//! Kernels out of distribution packages: those of the manifest through the machine's own apt set-up
//! but without touching the system, others from files.

use std::{
    io,
    path::{Path, PathBuf},
};

pub mod apt;
pub mod cache;
pub mod compression;
mod deb;
mod download;
mod lack;
mod rpm;
mod rpm_index;
mod sink;
pub mod store;
pub mod update;

pub use lack::Lack;
pub use store::{Kernel, StoreError};

use sink::Sink;

/// What a package may have in it, with what is passed over: a package of debug information has
/// some GB, and reading on costs nothing but time.
const STREAM_LIMIT_BYTES: u64 = 32 << 30;

/// Why a package can't be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// Reading or writing failed, or there is too much in it, or another kernel's.
    #[error("unpack {path}: {error}")]
    Io {
        /// The package.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// There is nothing in it to unpack.
    #[error("unpack {0}: not a Debian package (no data archive in it)")]
    NoData(PathBuf),
    /// It is no RPM package, or a damaged one.
    #[error("unpack {path}: not a whole RPM package ({reason})")]
    Rpm {
        /// The package.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Neither of those that are known.
    #[error("unpack {0}: of unknown compression (gzip, xz and zstd are known)")]
    UnknownCompression(PathBuf),
}

/// Gives the files of a package, an RPM by its name or else a Debian one, to `sink`.
fn unpack(package: &Path, sink: &mut Sink) -> Result<(), PackageError> {
    if is_rpm(package) {
        rpm::unpack(package, sink)
    } else {
        deb::unpack(package, sink)
    }
}

/// Whether a file goes by the name of a package.
#[must_use]
pub fn is_package(path: &Path) -> bool {
    is_rpm(path) || has_extension(path, "deb")
}

fn is_rpm(path: &Path) -> bool {
    has_extension(path, "rpm")
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}
