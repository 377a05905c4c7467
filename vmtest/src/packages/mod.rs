//! Kernels out of distribution packages: those of the manifest through the machine's own apt set-up
//! but without touching the system, others from files.

use std::{
    io,
    path::{Path, PathBuf},
};

pub mod apt;
pub mod cache;
pub mod clean;
pub mod compression;
mod deb;
mod download;
mod error;
mod kernel;
mod lack;
pub mod lists;
pub mod mirrors;
mod rpm;
mod rpm_index;
mod sink;
pub mod store;
mod tarball;
pub mod update;

pub use error::StoreError;
pub use kernel::{Kernel, Meaning};
pub use lack::Lack;

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

/// What a package is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Debian, Ubuntu.
    Deb,
    /// Fedora, RHEL, SUSE.
    Rpm,
    /// Arch Linux.
    Arch,
}

impl Form {
    /// The form of a file with this name; none when it is no package's.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let is_arch = |compression| name.ends_with(&format!(".pkg.tar.{compression}"));
        match name.rsplit_once('.')?.1 {
            "deb" => Some(Self::Deb),
            "rpm" => Some(Self::Rpm),
            "zst" | "xz" | "gz" if ["zst", "xz", "gz"].into_iter().any(is_arch) => Some(Self::Arch),
            _ => None,
        }
    }
}

/// Gives the files of a package to `sink`.
fn unpack(package: &Path, sink: &mut Sink) -> Result<(), PackageError> {
    match Form::of(package) {
        Some(Form::Rpm) => rpm::unpack(package, sink),
        Some(Form::Arch) => tarball::unpack(package, sink),
        Some(Form::Deb) | None => deb::unpack(package, sink),
    }
}

/// Whether a file goes by the name of a package.
#[must_use]
pub fn is_package(path: &Path) -> bool {
    Form::of(path).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_the_form() {
        for (name, form) in [
            ("a/linux-6.17.arch1-1-x86_64.pkg.tar.zst", Some(Form::Arch)),
            ("linux.pkg.tar.xz", Some(Form::Arch)),
            ("linux.tar.zst", None),
            ("vmlinuz.zst", None),
            ("x.deb", Some(Form::Deb)),
            ("x.rpm", Some(Form::Rpm)),
            ("deb", None),
        ] {
            assert_eq!(Form::of(Path::new(name)), form, "{name}");
        }
    }
}
