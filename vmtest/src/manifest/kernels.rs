//! The manifest of kernels (`images/kernels.toml`) and its lock (`images/kernels.lock`).

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

const DEFAULT_MANIFEST: &str = include_str!("../../../images/kernels.toml");
const DEFAULT_LOCK: &str = include_str!("../../../images/kernels.lock");
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
    /// Whether nothing but the pinned packages will do (`--locked`).
    pub is_locked: bool,
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
        let ManifestFile { kernel: entries } = parse_toml(name, manifest)?;
        let lock_name = name.with_extension("lock");
        let LockFile { kernel: pinned } = parse_toml(&lock_name, lock)?;
        let mut names = BTreeSet::new();
        for entry in &entries {
            let reason = match mistake(entry) {
                _ if !names.insert(&entry.name) => "listed twice".to_owned(),
                Some(mistake) => mistake,
                None => continue,
            };
            return Err(ManifestError::Parse {
                path: name.to_owned(),
                reason: format!("kernel {}: {reason}", entry.name),
            });
        }
        let mut names = BTreeSet::new();
        for pin in &pinned {
            let reason = if !names.insert(&pin.name) {
                "pinned twice"
            } else if pin.package.is_empty() {
                "no package"
            } else if !pin.package.iter().all(|one| is_sha256(&one.sha256)) {
                "a sha256 that is none"
            } else {
                continue;
            };
            return Err(ManifestError::Parse {
                path: lock_name,
                reason: format!("kernel {}: {reason}", pin.name),
            });
        }
        Ok(Self {
            entries,
            pinned,
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

/// Names become directories, and words of sources.list.
fn is_plain_name(name: &str) -> bool {
    let is_plain =
        |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
    !name.is_empty() && !name.starts_with('.') && name.chars().all(is_plain)
}

/// Whether it is a SHA-256 in lower-case hexadecimal.
pub(crate) fn is_sha256(text: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == 64 && text.bytes().all(is_digit)
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
