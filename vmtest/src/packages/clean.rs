//! What of the cache nothing needs any more.

use std::{
    collections::BTreeSet,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use super::{cache, store};
use crate::{leftovers, manifest::kernels::Kernels};

/// What may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unneeded {
    /// A file or directory.
    pub path: PathBuf,
    /// What it takes on the disk.
    pub size_bytes: u64,
}

/// Removes what killed processes left in the user's cache.
pub fn sweep() {
    for part in [cache::KERNELS, cache::ROOTS] {
        for path in leftovers::sweep(&cache::directory().join(part)) {
            log::info!("removed {}, which an earlier run left", path.display());
        }
    }
}

/// What no pin, no suite of the manifest and none of these roots' file names needs; all of it when `is_all`.
/// What others keep below the same directory (`justw`) is theirs.
#[must_use]
pub fn unneeded(cache: &Path, kernels: &Kernels, roots: &[String], is_all: bool) -> Vec<Unneeded> {
    let needed_kernels = store::needed(&cache.join(cache::KERNELS), kernels);
    let is_needed_kernel = |name: &str| needed_kernels.iter().any(|suffix| name.ends_with(suffix));
    let suites: BTreeSet<&str> = kernels
        .entries
        .iter()
        .map(|entry| entry.suite.as_str())
        .collect();
    let in_cache = |part: &str, is_needed: &dyn Fn(&str) -> bool| {
        let entries = fs::read_dir(cache.join(part))
            .into_iter()
            .flatten()
            .flatten();
        let paths = entries.map(|entry| entry.path()).filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            is_all || !is_needed(&name)
        });
        paths.collect::<Vec<_>>()
    };
    let mut paths = in_cache(cache::KERNELS, &is_needed_kernel);
    paths.extend(in_cache(cache::ROOTS, &|name| {
        roots.iter().any(|root| root == name)
    }));
    paths.extend(in_cache(cache::LISTS, &|name| suites.contains(name)));
    paths.sort();
    let sized = paths.into_iter().map(|path| Unneeded {
        size_bytes: size_bytes(&path),
        path,
    });
    sized.collect()
}

/// Removes a file, or a directory with all that is in it.
///
/// # Errors
/// When something of it can't be removed.
pub fn remove(path: &Path) -> io::Result<()> {
    if path.symlink_metadata()?.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}

/// Blocks on the disk, not the length: images of roots are sparse.
fn size_bytes(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(metadata) = path.symlink_metadata() else {
        return 0;
    };
    let own = metadata.blocks() * 512;
    if !metadata.is_dir() {
        return own;
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    own + entries.map(|entry| size_bytes(&entry.path())).sum::<u64>()
}

/// Held as long as a command uses what is in the cache.
#[derive(Debug)]
pub struct InUse {
    _lock: File,
}

impl InUse {
    /// Says that the cache is in use; none where it can't be written, so that nobody can clean it either.
    #[must_use]
    pub fn mark(cache: &Path) -> Option<Self> {
        let lock = open(cache).ok()?;
        lock.lock_shared().ok()?;
        Some(Self { _lock: lock })
    }

    /// Sees to it that no other process uses it, and none will until this goes.
    ///
    /// # Errors
    /// When one does, or the cache can't be written.
    pub fn nobody(cache: &Path) -> io::Result<Self> {
        let lock = open(cache)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(io::Error::other(
                "in use by another vmtest (wait for its end)",
            )),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

fn open(cache: &Path) -> io::Result<File> {
    fs::create_dir_all(cache)?;
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(cache.join("in-use.lock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_manifest_needs_stays() {
        let directory = tempfile::tempdir().expect("a directory");
        let cache = directory.path();
        let kernels = Kernels::load(None).expect("built in");
        let pin = kernels.pin("6.1").expect("pinned");
        let pinned = store::directory_name("6.1", &store::digests_of(pin));
        let add = |file: &str| {
            let path = cache.join(file);
            fs::create_dir_all(path.parent().expect("one")).expect("made");
            fs::write(&path, "x").expect("written");
        };
        let instead = "kernels/6.1-cccccccc/vmlinuz";
        for file in [
            &*format!("kernels/{pinned}/vmlinuz"),
            "kernels/6.1-aaaaaaaa/vmlinuz",
            "kernels/x.deb-bbbbbbbb/vmlinuz",
            instead,
            "roots/bookworm-1.img",
            "roots/old-1.img",
            "apt/sid/sources.list",
            "apt/lists/x",
            "prometheus/prometheus",
            // Of a killed run: the cache is this process's alone when it is cleaned.
            "kernels/vmtest-private-x/unpacked/vmlinuz",
        ] {
            add(file);
        }
        let names = |is_all| {
            let roots = ["bookworm-1.img".to_owned()];
            let all = unneeded(cache, &kernels, &roots, is_all);
            let names = all.into_iter().filter_map(|one| {
                assert!(one.size_bytes >= 512, "{one:?}");
                let path = one.path.strip_prefix(cache).ok()?;
                Some(path.display().to_string())
            });
            names.collect::<Vec<_>>()
        };
        assert_eq!(
            names(false),
            [
                "apt/lists",
                "kernels/6.1-aaaaaaaa",
                "kernels/6.1-cccccccc",
                "kernels/vmtest-private-x",
                "kernels/x.deb-bbbbbbbb",
                "roots/old-1.img"
            ]
        );
        assert_eq!(names(true).len(), 9, "all but what isn't vmtest's");
    }

    #[test]
    fn what_is_used_instead_of_a_pin_stays_as_long_as_the_pin() {
        let directory = tempfile::tempdir().expect("a directory");
        let cache = directory.path();
        let mut kernels = Kernels::load(None).expect("built in");
        let mut instead = kernels.pin("6.1").expect("pinned").clone();
        instead.package[0].sha256 = "a".repeat(64);
        let own = store::directory_name("6.1", &store::digests_of(&instead));
        fs::create_dir_all(cache.join("kernels").join(&own)).expect("made");
        let pin = kernels.pin("6.1").expect("pinned");
        let remembered = store::directory_name("6.1", &store::digests_of(pin)) + ".instead";
        let text = toml::to_string(&instead).expect("TOML");
        fs::write(cache.join("kernels").join(remembered), text).expect("written");
        assert!(
            unneeded(cache, &kernels, &[], false)
                .iter()
                .all(|one| !one.path.starts_with(cache))
        );
        kernels.pinned.retain(|pin| pin.name != "6.1");
        let mut other = instead.clone();
        other.package[0].sha256 = "b".repeat(64);
        kernels.set_pin(other);
        let gone = unneeded(cache, &kernels, &[], false);
        assert_eq!(
            gone.iter()
                .filter(|one| one.path.starts_with(cache))
                .count(),
            2
        );
    }

    #[test]
    fn a_cache_in_use_is_not_cleaned() {
        let cache = tempfile::tempdir().expect("a directory");
        let used = InUse::mark(cache.path()).expect("marked");
        let other = InUse::mark(cache.path()).expect("two may use it");
        let error = InUse::nobody(cache.path()).expect_err("in use").to_string();
        assert_eq!(error, "in use by another vmtest (wait for its end)");
        drop((used, other));
        InUse::nobody(cache.path()).expect("free");
    }
}
