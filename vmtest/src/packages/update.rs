//! Finds the newest packages that match the manifest.

use debversion::Version;
use regex::Regex;

use crate::manifest::{
    kernels::KernelEntry,
    lock::{PinnedKernel, PinnedPackage, is_sha256},
};

/// Why there is nothing to choose.
#[derive(Debug, thiserror::Error)]
pub enum ChoiceError {
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
/// `Field: value` lines): the newest version, as Debian compares them, that every pattern has a match of.
///
/// # Errors
/// When there is none.
pub fn choose(entry: &KernelEntry, packages: &str) -> Result<PinnedKernel, ChoiceError> {
    let mut matches = Vec::new();
    for (pattern, whole) in entry.packages.iter().zip(entry.patterns()) {
        let mut found: Vec<_> = packages
            .split("\n\n")
            .filter_map(|stanza| parse(stanza, &whole))
            .collect();
        // Of one version there may be several names when the pattern is loose: that of the newest ABI wins.
        found.sort_by(|(version, name, _), (other, other_name, _)| {
            (other, other_name).cmp(&(version, name))
        });
        let found: Vec<PinnedPackage> = found.into_iter().map(|(_, _, package)| package).collect();
        if found.is_empty() {
            return Err(ChoiceError::NoMatch {
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
    let package = newest.ok_or_else(|| ChoiceError::NoCommonVersion {
        kernel: entry.name.clone(),
        suite: entry.suite.clone(),
    })?;
    Ok(PinnedKernel {
        name: entry.name.clone(),
        package,
    })
}

/// A package by what it is sorted by: its version and its name, in which numbers count as such ("…-9" is before
/// "…-10") when it is read as a version. What has no version in Debian's form can't be compared and is left out.
fn parse(stanza: &str, name_pattern: &Regex) -> Option<(Version, Version, PinnedPackage)> {
    let field = |name: &str| {
        stanza
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .map(str::to_owned)
    };
    let name = field("Package").filter(|name| name_pattern.is_match(name))?;
    let package = PinnedPackage {
        name,
        version: field("Version")?,
        path: field("Filename")?,
        size_bytes: field("Size")?.parse().ok()?,
        sha256: field("SHA256").filter(|digest| is_sha256(digest))?,
    };
    let in_name = Version {
        epoch: None,
        upstream_version: package.name.clone(),
        debian_revision: None,
    };
    Some((package.version.parse().ok()?, in_name, package))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stanza(name: &str, version: &str) -> String {
        format!(
            "Package: {name}\nVersion: {version}\nFilename: pool/{name}_{version}.deb\nSize: 5\nSHA256: {:064}",
            0
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
            is_optional: false,
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
    fn numbers_count_as_such_in_versions_and_in_names() {
        let newest = |stanzas: &[String]| {
            let pin = choose(&entry(&[r"image-[\d.-]+"]), &stanzas.join("\n\n")).expect("a match");
            let package = &pin.package[0];
            format!("{} {}", package.name, package.version)
        };
        // As strings each of the second ones would be the greater.
        for (newer, older) in [
            (stanza("image-10", "7-1"), stanza("image-9", "7-1")),
            (stanza("image-1", "7.10.1-1"), stanza("image-2", "7.9.3-1")),
            (
                stanza("image-1", "7.3-1"),
                stanza("image-2", "7.3~rc7-1~exp1"),
            ),
            (
                stanza("image-1", "7.3.4-1"),
                stanza("image-2", "7.3.4-1~bpo13+1"),
            ),
            (stanza("image-1", "1:1-1"), stanza("image-2", "7-1")),
        ] {
            let expected = newest(std::slice::from_ref(&newer));
            assert_eq!(newest(&[newer.clone(), older.clone()]), expected);
            assert_eq!(newest(&[older, newer]), expected);
        }
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
