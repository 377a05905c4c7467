//! The lock of the kernels, `images/kernels.lock`: exact packages with their digests.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    ManifestError, Names,
    kernels::{KernelEntry, Kernels},
    parse_toml,
};

const LOCK_HEAD: &str =
    "# Written by `vmtest fetch --update [NAME…]`; the kernels are chosen in kernels.toml.\n\n";

/// One pinned package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedPackage {
    /// Its full name.
    pub name: String,
    /// Its full version.
    pub version: String,
    /// Its file's place in the archive.
    pub path: String,
    /// Length of the file.
    pub size_bytes: u64,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
}

/// The pinned packages of one kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedKernel {
    /// The manifest's name for it.
    pub name: String,
    /// Its packages.
    pub package: Vec<PinnedPackage>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LockFile {
    #[serde(default)]
    kernel: Vec<PinnedKernel>,
}

/// What a lock pins.
///
/// # Errors
/// When it makes no sense: a key is unknown, a kernel is pinned twice or without a package, a digest is none.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<PinnedKernel>, ManifestError> {
    let LockFile { kernel: pinned } = parse_toml(path, text)?;
    let mut names = Names::default();
    for pin in &pinned {
        let reason = if !names.is_new(&pin.name) {
            "pinned twice"
        } else if pin.package.is_empty() {
            "no package"
        } else if !pin.package.iter().all(|one| is_sha256(&one.sha256)) {
            "a sha256 that is none"
        } else {
            continue;
        };
        return Err(ManifestError::Parse {
            path: path.to_owned(),
            reason: format!("kernel {}: {reason}", pin.name),
        });
    }

    Ok(pinned)
}

impl Kernels {
    /// What is pinned for the kernel of this name.
    #[must_use]
    pub fn pin(&self, name: &str) -> Option<&PinnedKernel> {
        self.pinned.iter().find(|pinned| pinned.name == name)
    }

    /// What is pinned for this kernel, as the manifest asks for it.
    ///
    /// # Errors
    /// What the lock lacks: a torn lock, or a changed manifest.
    pub(crate) fn valid_pin(&self, entry: &KernelEntry) -> Result<&PinnedKernel, &'static str> {
        let pin = self.pin(&entry.name).ok_or("not in the lock")?;
        entry
            .is_matched_by(pin)
            .then_some(pin)
            .ok_or("the lock has other packages than the manifest asks for")
    }

    /// Replaces or adds a pin; pins of kernels that left the manifest go.
    pub fn set_pin(&mut self, pin: PinnedKernel) {
        self.pinned.retain(|pinned| pinned.name != pin.name);
        self.pinned.push(pin);
        let position = |name: &str| self.entries.iter().position(|entry| entry.name == name);
        self.pinned
            .retain(|pinned| position(&pinned.name).is_some());
        self.pinned.sort_by_key(|pinned| position(&pinned.name));
    }

    /// Where the lock is written.
    ///
    /// # Errors
    /// When the manifest is the built-in one and the current directory isn't its checkout.
    pub fn lock_path(&self) -> Result<PathBuf, ManifestError> {
        let manifest = self
            .path
            .clone()
            .unwrap_or_else(|| PathBuf::from("images/kernels.toml"));
        if manifest.exists() {
            Ok(manifest.with_extension("lock"))
        } else {
            Err(ManifestError::NotInCheckout)
        }
    }

    /// Writes the lock, all of it or nothing.
    ///
    /// # Errors
    /// When there is no place for it or writing fails.
    pub fn write_lock(&self) -> Result<PathBuf, ManifestError> {
        let path = self.lock_path()?;
        let text = toml::to_string(&LockFile {
            kernel: self.pinned.clone(),
        })
        .expect("plain structs always serialize");
        let write = || {
            let directory = path
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty());
            let mut file = tempfile::Builder::new()
                .permissions(fs::Permissions::from_mode(0o666))
                .tempfile_in(directory.unwrap_or(Path::new(".")))?;
            file.write_all(format!("{LOCK_HEAD}{text}").as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(std::io::Error::from)
        };
        match write() {
            Ok(_) => Ok(path),
            Err(error) => Err(ManifestError::Io { path, error }),
        }
    }
}

/// Whether it is a SHA-256 in lower-case hexadecimal.
pub(crate) fn is_sha256(text: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == 64 && text.bytes().all(is_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A manifest with one kernel of two packages, beside this lock.
    fn with_lock(lock: &str) -> Result<Kernels, String> {
        let manifest =
            "[[kernel]]\nname = \"a\"\nsuite = \"s\"\npackages = [\"p\", \"q\"]\nreason = \"r.\"\n";
        Kernels::parse(Path::new("k.toml"), manifest, lock, None).map_err(|error| error.to_string())
    }

    fn pin(packages: &[&str]) -> String {
        let mut text = "[[kernel]]\nname = \"a\"\n".to_owned();
        for name in packages {
            text += &format!(
                "[[kernel.package]]\nname = \"{name}\"\nversion = \"1\"\npath = \"pool/{name}.deb\"\n\
                 size_bytes = 1\nsha256 = \"{:064}\"\n",
                0
            );
        }
        text
    }

    #[test]
    fn a_torn_lock_is_a_mistake_or_no_pin_wherever_it_was_cut() {
        let whole = pin(&["p", "q"]);
        let is_pinned = |lock: &str| {
            let kernels = with_lock(lock)?;
            Ok::<_, String>(kernels.valid_pin(&kernels.entries[0]).is_ok())
        };
        assert_eq!(is_pinned(&whole), Ok(true));
        for length in 0..whole.trim_end().len() {
            match is_pinned(&whole[..length]) {
                Ok(is_pinned) => assert!(!is_pinned, "{length}"),
                Err(error) => {
                    assert!(error.starts_with("k.lock: "), "{error}");
                    assert_eq!(error.lines().count(), 1, "{error}");
                }
            }
        }
    }

    #[test]
    fn two_pins_of_one_kernel_are_a_mistake() {
        let twice = format!("{0}{0}", pin(&["p", "q"]));
        assert_eq!(
            with_lock(&twice).expect_err("two"),
            "k.lock: kernel a: pinned twice"
        );
        let error = with_lock(&pin(&["p", "q"]).replace("0000", "00_0")).expect_err("a digest");
        assert_eq!(error, "k.lock: kernel a: a sha256 that is none");
        let kernels = with_lock(&pin(&["q", "p"])).expect("parsed");
        let why = kernels.valid_pin(&kernels.entries[0]).expect_err("others");
        assert!(why.contains("other packages"), "{why}");
    }

    #[test]
    fn the_lock_is_replaced_in_one_step() {
        let directory = tempfile::tempdir().expect("a directory");
        let manifest = directory.path().join("k.toml");
        let lock = manifest.with_extension("lock");
        let one = "[[kernel]]\nname = \"a\"\nsuite = \"s\"\npackages = [\"p\"]\nreason = \"r.\"\n";
        fs::write(&manifest, one).expect("written");
        fs::write(&lock, pin(&["p"])).expect("written");
        let kernels = Kernels::load(Some(&manifest)).expect("loaded");
        // Who has the old file open still reads all of it.
        let mut old = fs::File::open(&lock).expect("there");
        assert_eq!(kernels.write_lock().expect("written"), lock);
        let mut text = String::new();
        std::io::Read::read_to_string(&mut old, &mut text).expect("read");
        assert_eq!(text, pin(&["p"]));
        let again = Kernels::load(Some(&manifest)).expect("loaded");
        assert_eq!(again.pinned, kernels.pinned);
        assert_eq!(directory.path().read_dir().expect("read").count(), 2);
        let mode = |path: &Path| path.metadata().expect("there").permissions().mode();
        assert_eq!(mode(&lock), mode(&manifest), "as any file of this user");
    }

    #[test]
    fn pins_keep_the_manifests_order() {
        let mut kernels = Kernels::load(None).expect("the built-in manifest");
        let names: Vec<_> = kernels
            .pinned
            .iter()
            .map(|pinned| pinned.name.clone())
            .collect();
        let first = kernels.pinned[0].clone();
        kernels.set_pin(first);
        assert_eq!(
            kernels
                .pinned
                .iter()
                .map(|pinned| pinned.name.clone())
                .collect::<Vec<_>>(),
            names
        );
    }
}
