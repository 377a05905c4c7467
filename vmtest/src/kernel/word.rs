//! The word behind `--kernel`, parsed once: what it names, as far as the word itself says.

use std::{fmt, path::Path};

use super::KernelError;
use crate::packages::is_package;

/// The word for this machine's own kernel.
pub const HOST: &str = "host";

/// What a user names as a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelWord {
    /// A name of the list; before the choice also a tag or a glob.
    Listed(String),
    /// This machine's own kernel.
    Host,
    /// Several package files, joined by commas, which no distribution has in their names (`+` they have).
    Packages(String),
    /// One path. Only the disk says whether it is a bootable file, a package, a directory of packages or a build
    /// tree. A path with a comma in it that is no list of packages is one path.
    Path(String),
}

impl KernelWord {
    /// The word as the user wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Listed(text) | Self::Packages(text) | Self::Path(text) => text,
            Self::Host => HOST,
        }
    }

    /// The name in the list; none for a kernel that is given in another way.
    #[must_use]
    pub fn listed(&self) -> Option<&str> {
        match self {
            Self::Listed(name) => Some(name),
            Self::Host | Self::Packages(_) | Self::Path(_) => None,
        }
    }

    /// Its files; none for a name of the list and for this machine's own kernel.
    #[must_use]
    pub fn files(&self) -> Vec<&str> {
        match self {
            Self::Listed(_) | Self::Host => Vec::new(),
            Self::Packages(list) => list.split(',').collect(),
            Self::Path(path) => vec![path],
        }
    }

    /// What the kernel is called in results and directories: its name, of files the first one's last part.
    #[must_use]
    pub fn label(&self) -> &str {
        match self.files().first() {
            None => self.as_str(),
            Some(file) => last_part(file).unwrap_or(HOST),
        }
    }

    /// That all files are there, and that results can be named after them.
    ///
    /// # Errors
    /// When not.
    pub fn check(&self) -> Result<(), KernelError> {
        let files = self.files();
        for file in &files {
            if !Path::new(file).exists() {
                return Err(KernelError::NoSuchFile((*file).to_owned()));
            }
        }
        // A directory for results that is called `..` would be another one.
        match files.first() {
            Some(first) if Path::new(first).file_name().is_none() => {
                Err(KernelError::NoName(self.as_str().to_owned()))
            }
            _ => Ok(()),
        }
    }
}

fn last_part(path: &str) -> Option<&str> {
    Path::new(path).file_name().and_then(|name| name.to_str())
}

impl From<&str> for KernelWord {
    fn from(word: &str) -> Self {
        let parts_count = word.split(',').count();
        let are_packages = word.split(',').all(|part| is_package(Path::new(part)));
        if are_packages && parts_count > 1 {
            Self::Packages(word.to_owned())
        } else if are_packages || word.contains('/') {
            Self::Path(word.to_owned())
        } else if word == HOST {
            Self::Host
        } else {
            Self::Listed(word.to_owned())
        }
    }
}

impl fmt::Display for KernelWord {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_from_names_and_named_by_their_last_part() {
        for (word, expected) in [
            ("./vmlinuz", "vmlinuz"),
            ("/boot/vmlinuz-6.1+x,y", "vmlinuz-6.1+x,y"),
            ("/a,b/x.deb", "x.deb"),
            ("x.deb", "x.deb"),
            ("kernel-core.rpm,kernel-modules.rpm", "kernel-core.rpm"),
            ("/a/x.deb,/b/y.deb", "x.deb"),
            ("packages/", "packages"),
            (
                "linux-6.17.arch1-1-x86_64.pkg.tar.zst",
                "linux-6.17.arch1-1-x86_64.pkg.tar.zst",
            ),
        ] {
            let parsed = KernelWord::from(word);
            assert!(
                matches!(parsed, KernelWord::Packages(_) | KernelWord::Path(_)),
                "{parsed:?}"
            );
            assert_eq!((parsed.label(), parsed.as_str()), (expected, word));
        }
        for word in ["6.1", "6.12-rt", "6.*", "lts"] {
            let parsed = KernelWord::from(word);
            assert_eq!(parsed, KernelWord::Listed(word.to_owned()));
            assert_eq!(parsed.label(), word);
        }
        let host = KernelWord::from(HOST);
        assert_eq!((&host, host.label()), (&KernelWord::Host, HOST));
    }

    #[test]
    fn a_word_without_a_name_of_its_own_is_refused() {
        for word in ["/", "./..", "../"] {
            let error = KernelWord::from(word).check().expect_err(word).to_string();
            assert!(error.starts_with(&format!("kernel {word}: ")), "{error}");
        }
        KernelWord::from("6.1").check().expect("no path");
        KernelWord::from("/dev/null").check().expect("there");
    }
}
