//! Gets packages of the manifest and holds them against their digests.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{
    StoreError,
    apt::{self, AptError},
    mirrors::{Archive, Mirrors},
};
use crate::{
    digest::hex,
    manifest::{kernels::KernelEntry, lock::PinnedPackage},
};

/// Downloads a package of this digest into `directory`.
///
/// # Errors
/// [`StoreError::Gone`] when the archive doesn't have it, another when it can't be had.
pub fn download(
    entry: &KernelEntry,
    package: &PinnedPackage,
    mirrors: &Mirrors,
    directory: &Path,
) -> Result<PathBuf, StoreError> {
    let named = |error| match error {
        AptError::Gone(_) => StoreError::Gone {
            kernel: entry.name.clone(),
            package: package.name.clone(),
            version: package.version.clone(),
        },
        error => StoreError::Apt {
            kernel: entry.name.clone(),
            error,
        },
    };
    let base = mirrors
        .base(Archive::of_suite(&entry.suite))
        .map_err(named)?;
    let file = package.path.rsplit('/').next().unwrap_or(&package.path);
    let target = directory.join(file);
    log::info!("downloading {} {}", package.name, package.version);
    apt::download(
        &format!("{base}/{}", package.path),
        &target,
        &package.sha256,
    )
    .map_err(named)?;
    let found = digest_of(&target)?;
    if found != package.sha256 {
        return Err(StoreError::Digest {
            kernel: entry.name.clone(),
            package: package.name.clone(),
            found,
            expected: package.sha256.clone(),
        });
    }
    Ok(target)
}

/// The SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// When it can't be read.
pub fn digest_of(path: &Path) -> Result<String, StoreError> {
    let failed = |error| StoreError::Io {
        path: path.to_owned(),
        error,
    };
    let mut hasher = Sha256::new();
    let mut file = fs::File::open(path).map_err(failed)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let length = io::Read::read(&mut file, &mut buffer).map_err(failed)?;
        if length == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&buffer[..length]);
    }
}
