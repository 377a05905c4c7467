//! The two lists that a user keeps: `images/kernels.toml` with its lock, and `images/scenarios.toml`.

pub mod kernels;
pub mod lock;
pub mod scenarios;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// Why a list can't be used.
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

/// The names of a list's entries, each of which may be there once.
#[derive(Default)]
struct Names<'a>(BTreeSet<&'a str>);

impl<'a> Names<'a> {
    /// Whether this name comes for the first time.
    fn is_new(&mut self, name: &'a str) -> bool {
        self.0.insert(name)
    }
}

/// Names become directories, and words of sources.list.
fn is_plain_name(name: &str) -> bool {
    let is_plain =
        |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
    !name.is_empty() && !name.starts_with('.') && name.chars().all(is_plain)
}

/// Parses TOML; the error is one line.
fn parse_toml<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<T, ManifestError> {
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
