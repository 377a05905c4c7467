//! What a user may name as a kernel: a name of the manifest, a bootable file, packages, a build tree, this host.

use std::{io, path::PathBuf};

use crate::{arch::GUEST, manifest::ManifestError, packages::StoreError};

mod build;
mod file;
mod host;
mod resolve;
mod tags;
pub mod word;

pub use resolve::resolve;
pub use tags::tags;
pub use word::{HOST, KernelWord};

/// Why a kernel can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The manifest doesn't have it.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Its packages can't be had.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing of that path.
    #[error("kernel {0}: no such file")]
    NoSuchFile(String),
    /// A path like `..`.
    #[error("kernel {0}: its results would have no name (give the directory by its name)")]
    NoName(String),
    /// A directory without packages.
    #[error(
        "kernel {0}: no package in it (.deb, .rpm, .pkg.tar.zst), and no {built} (a build tree needs: make {target} modules)",
        built = GUEST.image.built,
        target = GUEST.image.target
    )]
    NoPackages(String),
    /// A file that can't be read.
    #[error("kernel {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// A file that is no kernel.
    #[error(
        "kernel {path}: not a bootable {kernel} kernel ({target}, vmlinux), nor a package (.deb, .rpm, .pkg.tar.zst)",
        path = .0.display(),
        kernel = GUEST.kernel,
        target = GUEST.image.target
    )]
    NotAKernel(PathBuf),
    /// This machine has no file of its kernel.
    #[error(
        "kernel host: neither {} nor {} is there (install the kernel's package, or give its file)",
        .0[0].display(), .0[1].display()
    )]
    NoHostFile([PathBuf; 2]),
    /// This machine's kernel may not be read.
    #[error("kernel host: {path}: {error} (run it as root, or give a copy that you may read)")]
    HostFile {
        /// The file.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// The module directory is not one.
    #[error(
        "modules {0}: no modules.builtin in it (it should be a lib/modules/RELEASE directory or a build tree)"
    )]
    NotModules(PathBuf),
    /// A build tree that is half built.
    #[error("kernel {0}: its modules are not built (run there: make modules)")]
    NotBuilt(String),
}

impl KernelError {
    /// Whether the kernel is just not to be had, through no fault of this machine.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_unavailable())
    }
}
