//! The word behind `--baseline` and `--candidate`, parsed once.

use std::{fmt, path::PathBuf};

use crate::kernel::KernelWord;

/// A side of a comparison, as the user names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SideWord {
    /// Kernels to be run here.
    Live(KernelWord),
    /// Results of an earlier run or gate.
    Saved {
        /// The word itself.
        text: String,
        /// The file.
        path: PathBuf,
        /// Which kernel of it; none where it has only one.
        kernel: Option<String>,
    },
}

impl From<&str> for SideWord {
    fn from(word: &str) -> Self {
        let (path, kernel) = match word.split_once(".json:") {
            Some((path, kernel)) => (format!("{path}.json"), Some(kernel.to_owned())),
            None if word.ends_with(".json") => (word.to_owned(), None),
            None => return Self::Live(word.into()),
        };
        Self::Saved {
            text: word.to_owned(),
            path: path.into(),
            kernel,
        }
    }
}

impl fmt::Display for SideWord {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Live(word) => word.fmt(to),
            Self::Saved { text, .. } => to.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_a_file_with_or_without_a_kernel_of_it() {
        let saved = |path: &str, kernel: Option<&str>, text: &str| SideWord::Saved {
            text: text.to_owned(),
            path: path.into(),
            kernel: kernel.map(str::to_owned),
        };
        for (word, expected) in [
            ("a/r.json", saved("a/r.json", None, "a/r.json")),
            ("r.json:6.1", saved("r.json", Some("6.1"), "r.json:6.1")),
            ("6.1", SideWord::Live("6.1".into())),
            ("./vmlinuz", SideWord::Live("./vmlinuz".into())),
        ] {
            let parsed = SideWord::from(word);
            assert_eq!(parsed, expected);
            assert_eq!(parsed.to_string(), word);
        }
    }
}
