//! The manifest of kernels (`images/kernels.toml`) and its lock (`images/kernels.lock`).

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

const DEFAULT_MANIFEST: &str = include_str!("../../images/kernels.toml");
const DEFAULT_LOCK: &str = include_str!("../../images/kernels.lock");
const LOCK_HEAD: &str =
    "# Written by `vmtest fetch --update [NAME…]`; the kernels are chosen in kernels.toml.\n\n";

/// One kernel of the matrix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelEntry {
    /// What it is called on the command line and in results.
    pub name: String,
    /// The archive's suite that has it, such as `bookworm-security`.
    pub suite: String,
    /// Regular expressions for the names of its packages; of each the newest version in the
    /// suite is the one that `--update` pins.
    pub packages: Vec<String>,
    /// Words to choose kernels by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Why it is in the list, a sentence.
    pub reason: String,
    /// Whether it is no failure when the archive no longer has it.
    #[serde(default)]
    pub may_be_unavailable: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ManifestFile {
    kernel: Vec<KernelEntry>,
}

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

/// Why the list of kernels can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A file can't be read or written.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        error: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path}: {reason}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, on one line.
        reason: String,
    },
    /// No kernel has that name.
    #[error("kernel {name}: not in the manifest (it has: {known}; tags: {tags})")]
    Unknown {
        /// The name.
        name: String,
        /// The names that are there.
        known: String,
        /// The tags that are there.
        tags: String,
    },
    /// The embedded manifest can't be updated in place.
    #[error(
        "images/kernels.toml: not found below this directory (run --update in the checkout, or name the manifest with --kernels FILE)"
    )]
    NotInCheckout,
}

/// Manifest and lock together.
#[derive(Clone, Debug)]
pub struct Kernels {
    /// The kernels, in the manifest's order.
    pub entries: Vec<KernelEntry>,
    /// What is pinned.
    pub pinned: Vec<PinnedKernel>,
    /// Where they came from; `None` for the ones built into this program.
    path: Option<PathBuf>,
}

impl Kernels {
    /// The manifest at `path` with the lock beside it (same name, `.lock`), or the ones built into
    /// this program.
    ///
    /// # Errors
    /// When a file can't be read or has an unknown key. A missing lock is an empty one.
    pub fn load(path: Option<&Path>) -> Result<Self, ManifestError> {
        let Some(path) = path else {
            return Self::parse(
                Path::new("kernels.toml"),
                DEFAULT_MANIFEST,
                DEFAULT_LOCK,
                None,
            );
        };
        let read = |path: &Path| {
            fs::read_to_string(path).map_err(|error| ManifestError::Io {
                path: path.to_owned(),
                error,
            })
        };
        let lock = match read(&path.with_extension("lock")) {
            Err(ManifestError::Io { error, .. })
                if error.kind() == std::io::ErrorKind::NotFound =>
            {
                String::new()
            }
            other => other?,
        };
        Self::parse(path, &read(path)?, &lock, Some(path.to_owned()))
    }

    fn parse(
        name: &Path,
        manifest: &str,
        lock: &str,
        path: Option<PathBuf>,
    ) -> Result<Self, ManifestError> {
        let manifest: ManifestFile = parse_toml(name, manifest)?;
        let lock: LockFile = parse_toml(&name.with_extension("lock"), lock)?;
        let mut names = BTreeSet::new();
        for entry in &manifest.kernel {
            let wrong = |reason: String| ManifestError::Parse {
                path: name.to_owned(),
                reason,
            };
            if !names.insert(&entry.name) {
                return Err(wrong(format!("kernel {}: listed twice", entry.name)));
            }
            if entry.reason.trim().is_empty() {
                return Err(wrong(format!("kernel {}: no reason given", entry.name)));
            }
            for pattern in &entry.packages {
                regex::Regex::new(pattern).map_err(|_| {
                    wrong(format!(
                        "kernel {}: package pattern {pattern:?} is no regular expression",
                        entry.name
                    ))
                })?;
            }
        }
        Ok(Self {
            entries: manifest.kernel,
            pinned: lock.kernel,
            path,
        })
    }

    /// The kernel of this name.
    ///
    /// # Errors
    /// When there is none; the error lists those that are there.
    pub fn get(&self, name: &str) -> Result<&KernelEntry, ManifestError> {
        self.entries
            .iter()
            .find(|entry| entry.name == name)
            .ok_or_else(|| self.unknown(name))
    }

    /// That something is no kernel here, with all that is.
    #[must_use]
    pub fn unknown(&self, name: &str) -> ManifestError {
        let names: Vec<_> = self.entries.iter().map(|one| one.name.as_str()).collect();
        let tags: BTreeSet<_> = self.entries.iter().flat_map(|one| &one.tags).collect();
        let tags: Vec<_> = tags.into_iter().map(String::as_str).collect();
        ManifestError::Unknown {
            name: name.to_owned(),
            known: names.join(" "),
            tags: tags.join(" "),
        }
    }

    /// What is pinned for the kernel of this name.
    #[must_use]
    pub fn pin(&self, name: &str) -> Option<&PinnedKernel> {
        self.pinned.iter().find(|pinned| pinned.name == name)
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

    /// Writes the lock.
    ///
    /// # Errors
    /// When there is no place for it or writing fails.
    pub fn write_lock(&self) -> Result<PathBuf, ManifestError> {
        let path = self.lock_path()?;
        let text = toml::to_string(&LockFile {
            kernel: self.pinned.clone(),
        })
        .expect("plain structs always serialize");
        fs::write(&path, format!("{LOCK_HEAD}{text}")).map_err(|error| ManifestError::Io {
            path: path.clone(),
            error,
        })?;
        Ok(path)
    }
}

/// Parses TOML; the error is one line.
pub(crate) fn parse_toml<T: serde::de::DeserializeOwned>(
    path: &Path,
    text: &str,
) -> Result<T, ManifestError> {
    toml::from_str(text).map_err(|error| {
        let line = error
            .span()
            .map_or(0, |span| text[..span.start].matches('\n').count() + 1);
        let reason = error.message().replace('\n', " ");
        ManifestError::Parse {
            path: path.to_owned(),
            reason: format!("line {line}: {reason}"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_of_the_matrix_has_a_reason_and_a_pin() {
        let kernels = Kernels::load(None).expect("the built-in manifest");
        assert!(!kernels.entries.is_empty());
        for entry in &kernels.entries {
            assert!(
                entry.reason.ends_with('.'),
                "{}: {}",
                entry.name,
                entry.reason
            );
            let pin = kernels
                .pin(&entry.name)
                .unwrap_or_else(|| panic!("{}: not in the lock", entry.name));
            assert_eq!(pin.package.len(), entry.packages.len(), "{}", entry.name);
            for (package, pattern) in pin.package.iter().zip(&entry.packages) {
                let pattern =
                    regex::Regex::new(&format!("^(?:{pattern})$")).expect("checked when loaded");
                assert!(
                    pattern.is_match(&package.name),
                    "{}: {}",
                    entry.name,
                    package.name
                );
                assert_eq!(package.sha256.len(), 64, "{}", package.name);
            }
        }
        assert_eq!(kernels.entries.len(), kernels.pinned.len());
    }

    #[test]
    fn mistakes_in_a_manifest_are_one_line_that_names_the_place() {
        let entry =
            "[[kernel]]\nname = \"a\"\nsuite = \"s\"\npackages = [\"p\"]\nreason = \"r.\"\n";
        let cases = [
            (
                format!("{entry}colour = 1\n"),
                "k.toml: line 6: unknown field `colour`",
            ),
            (format!("{entry}{entry}"), "k.toml: kernel a: listed twice"),
            (
                entry.replace("r.", " "),
                "k.toml: kernel a: no reason given",
            ),
            (
                entry.replace("\"p\"", "\"(\""),
                "k.toml: kernel a: package pattern",
            ),
            ("kernel = 1".to_owned(), "k.toml: line 1: "),
        ];
        for (text, start) in cases {
            let error = Kernels::parse(Path::new("k.toml"), &text, "", None)
                .expect_err("a mistake")
                .to_string();
            assert!(error.starts_with(start), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
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
