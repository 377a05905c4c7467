//! Where the archives are: as this machine's apt has them, or as one variable says.

use std::{env, ffi::OsString, path::Path};

use super::apt::{AptError, run};

/// Names an archive, on machines whose apt has none of Debian's, or another one than theirs: `ADDRESS`, or
/// `[OPTIONS] ADDRESS` as in sources.list(5). A second address behind it is that of security updates, else it is
/// the first one with `-security` at its end, as on Debian's own mirrors.
pub const VARIABLE: &str = "FSLOCKUP_MIRROR";

/// Signs every Debian suite; machines whose sources name it need not have it among apt's general
/// keys.
pub const DEBIAN_KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// One of the distribution's archives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Archive {
    /// Releases, backports, unstable.
    Main,
    /// Security updates.
    Security,
}

impl Archive {
    /// The archive that has a suite.
    #[must_use]
    pub fn of_suite(suite: &str) -> Self {
        if suite.ends_with("-security") {
            Self::Security
        } else {
            Self::Main
        }
    }

    /// The `Label` in the archive's `Release` files.
    fn label(self) -> &'static str {
        match self {
            Self::Main => "Debian",
            Self::Security => "Debian-Security",
        }
    }
}

/// Base addresses of the archives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mirrors {
    main: Option<String>,
    security: Option<String>,
    /// More options for lines of sources.list(5).
    options: String,
}

impl Mirrors {
    /// What the variable says, else what the machine's apt has.
    ///
    /// # Errors
    /// When the variable is no address, or there is no apt.
    pub fn of_this_machine() -> Result<Self, AptError> {
        if let Some(value) = env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
            return Self::of_variable(&value.to_string_lossy());
        }
        let format = "$(LABEL) $(REPO_URI)";
        let output = run(
            "apt-get",
            &["indextargets", "--format", format, "Created-By: Packages"].map(OsString::from),
        )?;
        Ok(Self::parse(&String::from_utf8_lossy(&output.stdout)))
    }

    fn of_variable(value: &str) -> Result<Self, AptError> {
        let wrong = || AptError::NoAddress(value.to_owned());
        let trimmed = value.trim();
        let (options, addresses) = match trimmed.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or_else(wrong)?,
            None => ("", trimmed),
        };
        let addresses: Vec<&str> = addresses
            .split_whitespace()
            .map(|address| address.trim_end_matches('/'))
            .collect();
        // A line of sources.list must stay one.
        let is_plain = |text: &str| !text.contains(['[', ']', '\n', '\r', '#']);
        let is_usable = |address: &&str| {
            is_plain(address)
                && !address.starts_with("cdrom:")
                && address
                    .split_once(":/")
                    .is_some_and(|(scheme, path)| !scheme.is_empty() && !path.is_empty())
        };
        if !addresses.iter().all(is_usable) || !is_plain(options) {
            return Err(wrong());
        }
        let (main, security) = match addresses.as_slice() {
            [main] => (*main, format!("{main}-security")),
            [main, security] => (*main, (*security).to_owned()),
            _ => return Err(wrong()),
        };
        Ok(Self {
            main: Some(main.to_owned()),
            security: Some(security),
            options: options.trim().to_owned(),
        })
    }

    fn parse(listing: &str) -> Self {
        let find = |archive: Archive| {
            let mut lines = listing.lines().filter_map(|line| line.split_once(' '));
            lines
                // A disc has packages of one release only, and apt doesn't download from it.
                .find(|(label, uri)| *label == archive.label() && !uri.starts_with("cdrom:"))
                .map(|(_, uri)| uri.trim_end_matches('/').to_owned())
        };
        Self {
            main: find(Archive::Main),
            security: find(Archive::Security),
            options: String::new(),
        }
    }

    /// The base address of an archive, without a slash at its end.
    ///
    /// # Errors
    /// When the machine doesn't use that archive, or it is a directory that isn't there.
    pub fn base(&self, archive: Archive) -> Result<&str, AptError> {
        let base = match archive {
            Archive::Main => &self.main,
            Archive::Security => &self.security,
        }
        .as_deref()
        .ok_or(AptError::NoArchive(archive.label()))?;
        // Else every file in it would seem to have left the archive.
        if let Some(directory) = base.strip_prefix("file:") {
            let path = Path::new("/").join(directory.trim_start_matches('/'));
            if let Err(error) = path.metadata() {
                return Err(AptError::Io { path, error });
            }
        }
        Ok(base)
    }

    /// The line of sources.list(5) for a suite with these options, signed by Debian's key where this machine
    /// has it and the variable says nothing else.
    ///
    /// # Errors
    /// When the machine doesn't use the suite's archive.
    pub fn source_line(&self, suite: &str, options: &str) -> Result<String, AptError> {
        let base = self.base(Archive::of_suite(suite))?;
        let mut options = format!("{options} {}", self.options).trim_end().to_owned();
        let is_trust_said = ["signed-by=", "trusted="]
            .iter()
            .any(|option| self.options.contains(option));
        if !is_trust_said && Path::new(DEBIAN_KEYRING).exists() {
            options += &format!(" signed-by={DEBIAN_KEYRING}");
        }
        Ok(format!("deb [{options}] {base} {suite} main"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_distinguished_by_label() {
        let mirrors = Mirrors::parse(
            "Other http://o/\nDebian-Security http://s/\nDebian cdrom://[d]/\nDebian http://m/debian/\nDebian http://n/\n",
        );
        assert_eq!(
            mirrors.base(Archive::of_suite("sid")).expect("there"),
            "http://m/debian"
        );
        assert_eq!(
            mirrors
                .base(Archive::of_suite("trixie-security"))
                .expect("there"),
            "http://s"
        );
    }

    #[test]
    fn a_machine_without_debians_lists_learns_what_to_set() {
        for listing in ["", "Ubuntu http://u/ubuntu/\n", "Debian cdrom://[d]/\n"] {
            let error = Mirrors::parse(listing)
                .base(Archive::Main)
                .expect_err("none")
                .to_string();
            assert!(error.contains("set FSLOCKUP_MIRROR to"), "{error}");
        }
    }

    #[test]
    fn one_variable_names_both_archives() {
        let both = |value: &str| {
            let mirrors = Mirrors::of_variable(value).map_err(|error| error.to_string())?;
            let line = |suite| {
                mirrors
                    .source_line(suite, "arch=amd64")
                    .map_err(|error| error.to_string())
            };
            Ok::<_, String>([line("sid")?, line("trixie-security")?])
        };
        assert_eq!(
            both("[trusted=yes] http://h/debian/").expect("an address"),
            [
                "deb [arch=amd64 trusted=yes] http://h/debian sid main",
                "deb [arch=amd64 trusted=yes] http://h/debian-security trixie-security main"
            ]
        );
        let error = both("file:///no/such/directory").expect_err("not there");
        assert!(
            error.starts_with("/no/such/directory: No such file"),
            "{error}"
        );
        let [main, security] = both("http://a/debian http://b/security/").expect("addresses");
        assert!(main.contains("] http://a/debian sid main"), "{main}");
        assert!(
            security.contains("] http://b/security trixie-security main"),
            "{security}"
        );
        for wrong in [
            "debian",
            "cdrom:/x",
            "[trusted=yes file:/x",
            "http:/a b:/c d:/e",
            "file:/x\n#",
            "http://[x",
        ] {
            let error = both(wrong).expect_err(wrong);
            assert!(error.starts_with("FSLOCKUP_MIRROR="), "{error}");
        }
    }
}
