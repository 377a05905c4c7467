//! Unpacked kernels, ready to boot.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{
    Lack, PackageError,
    apt::{AptError, Mirrors},
    cache,
    download::{digest_of, download},
    is_rpm,
    sink::Sink,
};
use crate::{
    digest::hex,
    kernels::{KernelEntry, Kernels},
};

/// A kernel that can be booted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// The manifest's name for it, or the file's.
    pub name: String,
    /// `uname -r`, where it is known before the boot.
    pub release: Option<String>,
    /// The bootable file.
    pub vmlinuz: PathBuf,
    /// Its modules (`kernel/…`, `modules.builtin`).
    pub modules_dir: Option<PathBuf>,
}

/// Why a kernel can't be had.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The lock has nothing for it.
    #[error("kernel {0}: not in the lock (run: vmtest fetch --update {0})")]
    NotPinned(String),
    /// A pinned version left the archive.
    #[error(
        "kernel {kernel}: {package} {version} has left the archive (run: vmtest fetch --update {kernel})"
    )]
    Gone {
        /// The kernel's name.
        kernel: String,
        /// The package.
        package: String,
        /// Its pinned version.
        version: String,
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
    /// Whether the kernel is just not to be had, through no fault of this machine.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Gone { .. })
    }
}

/// The unpacked kernels of the cache directory.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
}

impl Default for Store {
    fn default() -> Self {
        Self::at(&cache::directory().join("kernels"))
    }
}

impl Store {
    /// A store in another directory than the cache's.
    #[must_use]
    pub fn at(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
        }
    }

    /// The kernel of the manifest, downloaded and unpacked now if it isn't there yet.
    ///
    /// # Errors
    /// When it can't be had.
    pub fn get(&self, kernels: &Kernels, entry: &KernelEntry) -> Result<Kernel, StoreError> {
        let pin = kernels
            .pin(&entry.name)
            .ok_or_else(|| StoreError::NotPinned(entry.name.clone()))?;
        let digests: Vec<&str> = pin
            .package
            .iter()
            .map(|package| package.sha256.as_str())
            .collect();
        let directory = self.directory.join(directory_name(&entry.name, &digests));
        if let Some(kernel) = read_unpacked(&entry.name, &directory) {
            return Ok(kernel);
        }
        let mirrors = Mirrors::of_this_machine().map_err(|error| StoreError::Apt {
            kernel: entry.name.clone(),
            error,
        })?;
        self.unpack(&entry.name, &directory, false, |work| {
            pin.package
                .iter()
                .map(|package| download(entry, package, &mirrors, work))
                .collect()
        })
    }

    /// The kernel in package files; `are_modules_given` says that it needs no modules of its own.
    ///
    /// # Errors
    /// When one can't be unpacked, or a part is in none of them.
    pub fn from_packages(
        &self,
        name: &str,
        packages: &[PathBuf],
        are_modules_given: bool,
    ) -> Result<Kernel, StoreError> {
        let digests = packages
            .iter()
            .map(|package| digest_of(package))
            .collect::<Result<Vec<_>, _>>()?;
        let digests: Vec<_> = digests.iter().map(String::as_str).collect();
        let directory = self.directory.join(directory_name(name, &digests));
        if let Some(kernel) = read_unpacked(name, &directory) {
            check(name, &directory, packages, are_modules_given)?;
            return Ok(kernel);
        }
        self.unpack(name, &directory, are_modules_given, |_| {
            Ok(packages.to_vec())
        })
    }

    /// Unpacks what `packages` puts into a work directory and moves it to `directory` in one
    /// step, so that an interrupted run leaves nothing that looks complete.
    fn unpack(
        &self,
        name: &str,
        directory: &Path,
        are_modules_given: bool,
        packages: impl FnOnce(&Path) -> Result<Vec<PathBuf>, StoreError>,
    ) -> Result<Kernel, StoreError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| StoreError::Io { path, error }
        };
        fs::create_dir_all(&self.directory).map_err(failed(&self.directory))?;
        let work = tempfile::tempdir_in(&self.directory).map_err(failed(&self.directory))?;
        let unpacked = work.path().join("unpacked");
        fs::create_dir(&unpacked).map_err(failed(&unpacked))?;
        let packages = packages(work.path())?;
        let mut sink = Sink::new(&unpacked).map_err(failed(&unpacked))?;
        for package in &packages {
            super::unpack(package, &mut sink).map_err(|error| StoreError::Package {
                kernel: name.to_owned(),
                error,
            })?;
        }
        check(name, &unpacked, &packages, are_modules_given)?;
        let release = sink.into_release().unwrap_or_default();
        fs::write(unpacked.join("release"), release).map_err(failed(&unpacked))?;
        // Another process may have been quicker; its result is the same.
        let moved = fs::rename(&unpacked, directory);
        read_unpacked(name, directory).ok_or_else(|| StoreError::Io {
            path: directory.to_owned(),
            error: moved
                .err()
                .unwrap_or_else(|| io::ErrorKind::NotFound.into()),
        })
    }
}

/// Whether all parts are there.
fn check(
    name: &str,
    directory: &Path,
    packages: &[PathBuf],
    are_modules_given: bool,
) -> Result<(), StoreError> {
    let Some(lack) = Lack::of(directory, are_modules_given) else {
        return Ok(());
    };
    Err(StoreError::Lacks {
        kernel: name.to_owned(),
        lack,
        packages: match packages.len() {
            1 => "its package",
            _ => "its packages",
        },
        remedy: lack.remedy(packages.iter().any(|package| is_rpm(package))),
        otherwise: match lack {
            Lack::Vmlinuz => "",
            _ => ", or give --modules DIR",
        },
    })
}

fn directory_name(name: &str, digests: &[&str]) -> String {
    let all = hex(&Sha256::digest(digests.concat()));
    format!("{name}-{}", &all[..8])
}

fn read_unpacked(name: &str, directory: &Path) -> Option<Kernel> {
    let release = fs::read_to_string(directory.join("release")).ok()?;
    let modules_dir = directory.join("modules");
    let has_modules =
        modules_dir.join("modules.builtin").exists() && modules_dir.join("kernel").exists();
    Some(Kernel {
        name: name.to_owned(),
        release: Some(release),
        vmlinuz: directory.join("vmlinuz"),
        modules_dir: has_modules.then_some(modules_dir),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_packages_get_another_directory() {
        assert_ne!(directory_name("6.1", &["a"]), directory_name("6.1", &["b"]));
        assert!(directory_name("6.1", &["a"]).starts_with("6.1-"));
    }

    #[test]
    fn a_version_that_left_the_archive_says_how_to_go_on() {
        let error = StoreError::Gone {
            kernel: "7.2".into(),
            package: "linux-x".into(),
            version: "7.2.1-1".into(),
        };
        assert_eq!(
            error.to_string(),
            "kernel 7.2: linux-x 7.2.1-1 has left the archive (run: vmtest fetch --update 7.2)"
        );
        assert!(error.is_unavailable());
    }

    #[test]
    fn a_file_that_is_no_package_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("x.deb");
        fs::write(&path, b"!<arch>\n").expect("written");
        let store = Store::at(&directory.path().join("kernels"));
        let error = store
            .from_packages("x", &[path], false)
            .expect_err("no package")
            .to_string();
        assert!(error.contains("not a Debian package"), "{error}");
    }
}
