//! The manifest of kernels, `images/kernels.toml`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    ManifestError, Names, is_plain_name,
    lock::{self, PinnedKernel},
    parse_toml,
};

const DEFAULT_MANIFEST: &str = include_str!("../../../images/kernels.toml");
const DEFAULT_LOCK: &str = include_str!("../../../images/kernels.lock");

/// One kernel of the matrix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelEntry {
    /// What it is called on the command line and in results.
    pub name: String,
    /// The archive's suite that has it, such as `bookworm-security`.
    pub suite: String,
    /// Regular expressions for the names of its packages; the newest version in the suite that each has a match
    /// of is the one that `--update` pins, and the one that is used when the pinned one has left the archive.
    pub packages: Vec<String>,
    /// Words to choose kernels by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Why it is in the list, a sentence.
    pub reason: String,
    /// Only used when it is named: neither a tag, a glob nor "all" means it.
    #[serde(default)]
    pub is_optional: bool,
}

impl KernelEntry {
    /// The patterns of its packages, each for a whole name.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = regex::Regex> + '_ {
        let whole = |pattern: &String| regex::Regex::new(&format!("^(?:{pattern})$"));
        self.packages
            .iter()
            .map(move |pattern| whole(pattern).expect("checked when the manifest was loaded"))
    }

    /// Whether these are the packages that it asks for.
    pub(crate) fn is_matched_by(&self, pin: &PinnedKernel) -> bool {
        let mut pairs = pin.package.iter().zip(self.patterns());
        pin.package.len() == self.packages.len()
            && pairs.all(|(package, pattern)| pattern.is_match(&package.name))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ManifestFile {
    kernel: Vec<KernelEntry>,
}

/// Manifest and lock together.
#[derive(Clone, Debug)]
pub struct Kernels {
    /// The kernels, in the manifest's order.
    pub entries: Vec<KernelEntry>,
    /// What is pinned.
    pub pinned: Vec<PinnedKernel>,
    /// Whether nothing but the pinned packages will do (`--locked`).
    pub is_locked: bool,
    /// Where they came from; `None` for the ones built into this program.
    pub(super) path: Option<PathBuf>,
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

    pub(super) fn parse(
        name: &Path,
        manifest: &str,
        lock: &str,
        path: Option<PathBuf>,
    ) -> Result<Self, ManifestError> {
        let ManifestFile { kernel: entries } = parse_toml(name, manifest)?;
        let mut names = Names::default();
        for entry in &entries {
            let reason = match mistake(entry) {
                _ if !names.is_new(&entry.name) => "listed twice".to_owned(),
                Some(mistake) => mistake,
                None => continue,
            };
            return Err(ManifestError::Parse {
                path: name.to_owned(),
                reason: format!("kernel {}: {reason}", entry.name),
            });
        }
        Ok(Self {
            entries,
            pinned: lock::parse(&name.with_extension("lock"), lock)?,
            is_locked: false,
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

    /// Whether they are those built into this program.
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        self.path.is_none()
    }
}

/// What is wrong with an entry.
fn mistake(entry: &KernelEntry) -> Option<String> {
    if !is_plain_name(&entry.name) || !is_plain_name(&entry.suite) {
        return Some("name and suite are letters, digits, '-', '_' and '.'".to_owned());
    }
    if entry.name == crate::kernel::HOST {
        return Some("that word means this machine's own kernel".to_owned());
    }
    if entry.reason.trim().is_empty() {
        return Some("no reason given".to_owned());
    }
    if entry.packages.is_empty() {
        return Some("no packages".to_owned());
    }
    let is_wrong = |pattern: &&String| regex::Regex::new(&format!("^(?:{pattern})$")).is_err();
    let wrong = entry.packages.iter().find(is_wrong)?;
    Some(format!(
        "package pattern {wrong:?} is no regular expression"
    ))
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
            kernels
                .valid_pin(entry)
                .unwrap_or_else(|why| panic!("{}: {why}", entry.name));
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
            (
                entry.replace("\"a\"", "\"../a\""),
                "k.toml: kernel ../a: name and suite are letters",
            ),
            (
                entry.replace("\"s\"", "\"s main\\ndeb\""),
                "k.toml: kernel a: name and suite are letters",
            ),
            (
                entry.replace("\"a\"", "\"host\""),
                "k.toml: kernel host: that word means",
            ),
            (
                entry.replace("[\"p\"]", "[]"),
                "k.toml: kernel a: no packages",
            ),
        ];
        for (text, start) in cases {
            let error = Kernels::parse(Path::new("k.toml"), &text, "", None)
                .expect_err("a mistake")
                .to_string();
            assert!(error.starts_with(start), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}
