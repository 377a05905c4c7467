//! Pins the newest packages that match the manifest.

use std::cmp::Ordering;

use debversion::Version;
use regex::Regex;

use crate::kernels::{KernelEntry, PinnedKernel, PinnedPackage};

/// Why nothing can be pinned.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// No package matches.
    #[error("kernel {kernel}: no package in {suite} matches {pattern} (did its name change?)")]
    NoMatch {
        /// The kernel's name.
        kernel: String,
        /// The suite.
        suite: String,
        /// The manifest's pattern.
        pattern: String,
    },
    /// The packages of a split kernel are not of one version.
    #[error("kernel {kernel}: its packages in {suite} have no version in common")]
    NoCommonVersion {
        /// The kernel's name.
        kernel: String,
        /// The suite.
        suite: String,
    },
}

/// Chooses a kernel's packages out of a suite's package list (`Packages`, stanzas of
/// `Field: value` lines): the newest version that every pattern has a match of.
///
/// # Errors
/// When there is none.
pub fn choose(entry: &KernelEntry, packages: &str) -> Result<PinnedKernel, UpdateError> {
    let mut matches = Vec::new();
    for pattern in &entry.packages {
        let whole =
            Regex::new(&format!("^(?:{pattern})$")).expect("checked when the manifest was loaded");
        let mut found: Vec<_> = packages
            .split("\n\n")
            .filter_map(|stanza| parse(stanza, &whole))
            .collect();
        // Of one version there may be several names when the pattern is loose: the last wins.
        found.sort_by(|a, b| compare(&b.version, &a.version).then_with(|| b.name.cmp(&a.name)));
        if found.is_empty() {
            return Err(UpdateError::NoMatch {
                kernel: entry.name.clone(),
                suite: entry.suite.clone(),
                pattern: pattern.clone(),
            });
        }
        matches.push(found);
    }
    let of_version = |version: &str| -> Option<Vec<PinnedPackage>> {
        matches
            .iter()
            .map(|found| {
                found
                    .iter()
                    .find(|package| package.version == version)
                    .cloned()
            })
            .collect()
    };
    let newest = matches
        .first()
        .into_iter()
        .flatten()
        .find_map(|package| of_version(&package.version));
    let package = newest.ok_or_else(|| UpdateError::NoCommonVersion {
        kernel: entry.name.clone(),
        suite: entry.suite.clone(),
    })?;
    Ok(PinnedKernel {
        name: entry.name.clone(),
        package,
    })
}

fn parse(stanza: &str, name_pattern: &Regex) -> Option<PinnedPackage> {
    let field = |name: &str| {
        stanza
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .map(str::to_owned)
    };
    let name = field("Package").filter(|name| name_pattern.is_match(name))?;
    Some(PinnedPackage {
        name,
        version: field("Version")?,
        path: field("Filename")?,
        size_bytes: field("Size")?.parse().ok()?,
        sha256: field("SHA256")?,
    })
}

fn compare(a: &str, b: &str) -> Ordering {
    match (a.parse::<Version>(), b.parse::<Version>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        _ => a.cmp(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stanza(name: &str, version: &str) -> String {
        format!(
            "Package: {name}\nVersion: {version}\nFilename: pool/{name}_{version}.deb\nSize: 5\nSHA256: abc"
        )
    }

    fn entry(packages: &[&str]) -> KernelEntry {
        KernelEntry {
            name: "k".into(),
            suite: "s".into(),
            packages: packages
                .iter()
                .map(|pattern| (*pattern).to_owned())
                .collect(),
            tags: Vec::new(),
            reason: "r.".into(),
            may_be_unavailable: false,
        }
    }

    #[test]
    fn the_newest_version_is_pinned_whatever_the_order_of_names() {
        let list = [
            stanza("image-9", "6.1.9-1"),
            stanza("image-56", "6.1.192-2"),
            stanza("image-56-dbg", "6.1.999-1"),
        ]
        .join("\n\n");
        let pin = choose(&entry(&[r"image-\d+"]), &list).expect("a match");
        assert_eq!(
            (
                pin.package[0].name.as_str(),
                pin.package[0].version.as_str()
            ),
            ("image-56", "6.1.192-2")
        );
    }

    #[test]
    fn split_packages_are_pinned_at_one_version() {
        let list = [
            stanza("binary-2", "7.3-2"),
            stanza("binary-1", "7.3-1"),
            stanza("modules-1", "7.3-1"),
        ]
        .join("\n\n");
        let pin = choose(&entry(&[r"binary-\d", r"modules-\d"]), &list).expect("a common version");
        assert!(pin.package.iter().all(|package| package.version == "7.3-1"));
        let error = choose(&entry(&["binary-2", r"modules-\d"]), &list)
            .expect_err("none in common")
            .to_string();
        assert_eq!(
            error,
            "kernel k: its packages in s have no version in common"
        );
    }

    #[test]
    fn a_pattern_without_match_is_named() {
        let error = choose(&entry(&["nothing"]), &stanza("x", "1"))
            .expect_err("no match")
            .to_string();
        assert_eq!(
            error,
            "kernel k: no package in s matches nothing (did its name change?)"
        );
    }
}
