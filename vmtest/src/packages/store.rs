//! Unpacked kernels, ready to boot.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{
    Form, Kernel, Lack, Meaning, StoreError,
    apt::AptError,
    cache,
    download::{digest_of, download},
    kernel::Pin,
    lists,
    mirrors::Mirrors,
    sink::Sink,
    update::choose,
};
use crate::{
    digest::hex,
    leftovers::Private,
    manifest::{
        kernels::{KernelEntry, Kernels},
        lock::PinnedKernel,
    },
};

/// How the file's name ends that says what is used instead of a pin.
const REMEMBERED: &str = ".instead";

/// The unpacked kernels of the cache directory.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
    lists: PathBuf,
}

impl Default for Store {
    fn default() -> Self {
        Self::at(&cache::directory())
    }
}

impl Store {
    /// A store in another cache directory than this user's.
    #[must_use]
    pub fn at(cache: &Path) -> Self {
        Self {
            directory: cache.join(cache::KERNELS),
            lists: cache.join(cache::LISTS),
        }
    }

    /// The kernel of the manifest, downloaded and unpacked now if it isn't there yet. Where its pinned version has
    /// left the archive, or it has none, it is the newest that matches; which one that was is remembered.
    ///
    /// # Errors
    /// When it can't be had, or another than the pinned one would have to be taken and may not (`--locked`).
    pub fn get(&self, kernels: &Kernels, entry: &KernelEntry) -> Result<Kernel, StoreError> {
        let pin = kernels.valid_pin(entry);
        let gone_pin = || match pin {
            Ok(pin) => Pin::Gone(format!(
                "{} {}",
                pin.package[0].name, pin.package[0].version
            )),
            Err(_) => Pin::None,
        };
        if let Ok(pin) = pin
            && let Some(kernel) = self.unpacked(entry, pin, Pin::Used)
        {
            return Ok(kernel);
        }
        // No network is needed a second time.
        let remembered_at = self.remembered_at(entry, pin.ok());
        if !kernels.is_locked
            && let Some(remembered) = read_remembered(&remembered_at, entry)
            && let Some(kernel) = self.unpacked(entry, &remembered, gone_pin())
        {
            return Ok(kernel);
        }
        let gone = match pin {
            Ok(pin) => match self.download(entry, pin, Pin::Used) {
                Err(StoreError::Gone { .. }) if !kernels.is_locked => gone_pin(),
                result => return result,
            },
            Err(reason) if kernels.is_locked => {
                return Err(StoreError::NotPinned {
                    kernel: entry.name.clone(),
                    reason: reason.to_owned(),
                });
            }
            Err(_) => Pin::None,
        };
        let newest = self.newest(entry, &gone)?;
        let kernel = self.download(entry, &newest, gone)?;
        let text = toml::to_string(&newest).expect("plain structs always serialize");
        fs::write(&remembered_at, text).map_err(|error| StoreError::Io {
            path: remembered_at,
            error,
        })?;
        Ok(kernel)
    }

    /// Where it is remembered what is used instead of this pin.
    fn remembered_at(&self, entry: &KernelEntry, pin: Option<&PinnedKernel>) -> PathBuf {
        let digests = pin.map(digests_of).unwrap_or_default();
        self.directory
            .join(directory_name(&entry.name, &digests) + REMEMBERED)
    }

    /// The newest version that the archive has.
    fn newest(&self, entry: &KernelEntry, pin: &Pin) -> Result<PinnedKernel, StoreError> {
        let named = |error| match error {
            AptError::Gone(what) => StoreError::NoSuite {
                kernel: entry.name.clone(),
                what,
            },
            error => StoreError::Apt {
                kernel: entry.name.clone(),
                error,
            },
        };
        let mirrors = Mirrors::of_this_machine().map_err(named)?;
        let list = lists::packages(&self.lists, &mirrors, &entry.suite).map_err(named)?;
        choose(entry, &list).map_err(|error| StoreError::NoneLeft {
            error,
            pin: match pin {
                Pin::Gone(gone) => Some(gone.clone()),
                Pin::Used | Pin::None => None,
            },
        })
    }

    /// The kernel in these packages, if it is in the cache.
    fn unpacked(&self, entry: &KernelEntry, chosen: &PinnedKernel, pin: Pin) -> Option<Kernel> {
        let directory = self.directory_of(&entry.name, &digests_of(chosen));
        let mut kernel = read_unpacked(&entry.name, &directory)?;
        kernel.meaning = Some(Meaning::of(chosen, pin));
        Some(kernel)
    }

    /// The kernel in these packages, downloaded if need be.
    fn download(
        &self,
        entry: &KernelEntry,
        chosen: &PinnedKernel,
        pin: Pin,
    ) -> Result<Kernel, StoreError> {
        if let Some(kernel) = self.unpacked(entry, chosen, pin.clone()) {
            return Ok(kernel);
        }
        let directory = self.directory_of(&entry.name, &digests_of(chosen));
        let mirrors = Mirrors::of_this_machine().map_err(|error| StoreError::Apt {
            kernel: entry.name.clone(),
            error,
        })?;
        let mut kernel = self.unpack(&entry.name, &directory, false, |work| {
            chosen
                .package
                .iter()
                .map(|package| download(entry, package, &mirrors, work))
                .collect()
        })?;
        kernel.meaning = Some(Meaning::of(chosen, pin));
        Ok(kernel)
    }

    /// Where a kernel is unpacked: two names may mean the same packages.
    fn directory_of(&self, name: &str, digests: &[&str]) -> PathBuf {
        let own = self.directory.join(directory_name(name, digests));
        if own.exists() {
            return own;
        }
        let suffix = format!("-{}", short_digest(digests));
        let entries = fs::read_dir(&self.directory)
            .into_iter()
            .flatten()
            .flatten();
        let same = entries
            .map(|entry| entry.path())
            .find(|path| path.to_string_lossy().ends_with(&suffix) && path.is_dir());
        same.unwrap_or(own)
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
        let work = Private::below(&self.directory).map_err(failed(&self.directory))?;
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
        remedy: lack.remedy(Form::of(&packages[0]).unwrap_or(Form::Deb)),
        otherwise: match lack {
            Lack::Vmlinuz => "",
            _ => ", or give --modules DIR",
        },
    })
}

/// How the names end of what the cache should keep in its directory of kernels: the pinned ones, and what
/// is used instead of one.
pub(super) fn needed(directory: &Path, kernels: &Kernels) -> Vec<String> {
    let mut suffixes = Vec::new();
    for entry in &kernels.entries {
        let pin = kernels.valid_pin(entry).ok();
        let digests = pin.map(digests_of).unwrap_or_default();
        suffixes.push(format!("-{}", short_digest(&digests)));
        let remembered_at = directory_name(&entry.name, &digests) + REMEMBERED;
        if let Some(instead) = read_remembered(&directory.join(&remembered_at), entry) {
            suffixes.push(format!("-{}", short_digest(&digests_of(&instead))));
            suffixes.push(remembered_at);
        }
    }
    suffixes
}

pub(super) fn digests_of(kernel: &PinnedKernel) -> Vec<&str> {
    let packages = kernel.package.iter();
    packages.map(|package| package.sha256.as_str()).collect()
}

pub(super) fn directory_name(name: &str, digests: &[&str]) -> String {
    format!("{name}-{}", short_digest(digests))
}

fn short_digest(digests: &[&str]) -> String {
    hex(&Sha256::digest(digests.concat())[..4])
}

/// What was used instead of a pin, if it still is what the manifest asks for.
fn read_remembered(path: &Path, entry: &KernelEntry) -> Option<PinnedKernel> {
    let remembered: PinnedKernel = toml::from_str(&fs::read_to_string(path).ok()?).ok()?;
    entry.is_matched_by(&remembered).then_some(remembered)
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
        meaning: None,
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
    fn a_file_that_is_no_package_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("x.deb");
        fs::write(&path, b"!<arch>\n").expect("written");
        let store = Store::at(directory.path());
        let error = store
            .from_packages("x", &[path], false)
            .expect_err("no package")
            .to_string();
        assert!(error.contains("not a Debian package"), "{error}");
    }
}
