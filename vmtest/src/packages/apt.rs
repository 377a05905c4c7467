//! The machine's own apt: which mirror it uses, how a file is downloaded through it, and package
//! lists of suites that the machine itself doesn't use, in a private state.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

const HELPER: &str = "/usr/lib/apt/apt-helper";
/// Signs every Debian suite; machines whose sources name it need not have it among apt's general
/// keys.
const DEBIAN_KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Why apt can't serve.
#[derive(Debug, thiserror::Error)]
pub enum AptError {
    /// The program isn't there or can't be started.
    #[error(
        "{program}: {error} (kernels come from packages, which needs apt; or use --kernel PATH)"
    )]
    NotStarted {
        /// The program.
        program: String,
        /// What happened.
        error: std::io::Error,
    },
    /// It ran and failed.
    #[error("{program}: {reason}")]
    Failed {
        /// The program.
        program: String,
        /// Its own last words.
        reason: String,
    },
    /// The archive isn't among the machine's sources.
    #[error(
        "apt: no {0} archive among this machine's package lists (add it to the sources, then run apt-get update)"
    )]
    NoArchive(&'static str),
    /// The archive doesn't have the file.
    #[error("{0}: no longer in the archive")]
    Gone(String),
    /// The private state can't be written.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        error: std::io::Error,
    },
}

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

/// Base addresses of the archives, as this machine's apt has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mirrors {
    main: Option<String>,
    security: Option<String>,
}

impl Mirrors {
    /// Asks the machine's apt.
    ///
    /// # Errors
    /// When there is no apt.
    pub fn of_this_machine() -> Result<Self, AptError> {
        let format = "$(LABEL) $(REPO_URI)";
        let output = run(
            "apt-get",
            &["indextargets", "--format", format, "Created-By: Packages"].map(OsString::from),
        )?;
        Ok(Self::parse(&String::from_utf8_lossy(&output.stdout)))
    }

    fn parse(listing: &str) -> Self {
        let find = |archive: Archive| {
            let mut lines = listing.lines().filter_map(|line| line.split_once(' '));
            lines
                .find(|(label, _)| *label == archive.label())
                .map(|(_, uri)| uri.trim_end_matches('/').to_owned())
        };
        Self {
            main: find(Archive::Main),
            security: find(Archive::Security),
        }
    }

    /// The base address of an archive, without a slash at its end.
    ///
    /// # Errors
    /// When the machine doesn't use that archive.
    pub fn base(&self, archive: Archive) -> Result<&str, AptError> {
        match archive {
            Archive::Main => &self.main,
            Archive::Security => &self.security,
        }
        .as_deref()
        .ok_or(AptError::NoArchive(archive.label()))
    }

    /// The line of sources.list(5) for a suite with these options, signed by Debian's key where this machine
    /// has it.
    ///
    /// # Errors
    /// When the machine doesn't use the suite's archive.
    pub fn source_line(&self, suite: &str, options: &str) -> Result<String, AptError> {
        let base = self.base(Archive::of_suite(suite))?;
        let keyring = if Path::new(DEBIAN_KEYRING).exists() {
            format!(" signed-by={DEBIAN_KEYRING}")
        } else {
            String::new()
        };
        Ok(format!("deb [{options}{keyring}] {base} {suite} main"))
    }
}

/// Downloads a file through apt (its proxies and credentials), which also checks the digest.
///
/// # Errors
/// [`AptError::Gone`] when the archive doesn't have it, else apt's own words.
pub fn download(uri: &str, target: &Path, sha256: &str) -> Result<(), AptError> {
    let arguments = [
        "-o".into(),
        // The target is in a directory of this user, which apt's download user can't write.
        "APT::Sandbox::User=root".into(),
        "download-file".into(),
        uri.into(),
        target.into(),
        format!("SHA256:{sha256}").into(),
    ];
    match run(HELPER, &arguments) {
        Err(AptError::Failed { reason, .. }) if reason.contains("404 ") => {
            Err(AptError::Gone(uri.to_owned()))
        }
        other => other.map(|_| ()),
    }
}

/// A private apt state with lists of chosen suites.
#[derive(Debug)]
pub struct Lists {
    directory: PathBuf,
}

impl Lists {
    /// Fetches the package lists of `suites`, in a state of their own below `directory`.
    ///
    /// # Errors
    /// When the machine's apt doesn't know the archives or a list can't be had.
    pub fn fetch(directory: &Path, mirrors: &Mirrors, suites: &[&str]) -> Result<Self, AptError> {
        let lists = Self {
            directory: directory.to_owned(),
        };
        for part in ["lists/partial", "archives/partial"] {
            let path = directory.join(part);
            fs::create_dir_all(&path).map_err(|error| AptError::Io { path, error })?;
        }
        let mut sources = String::new();
        for suite in suites {
            // Only the package lists: neither descriptions nor desktop metadata.
            sources.push_str(&mirrors.source_line(suite, "target=Packages arch=amd64")?);
            sources.push('\n');
        }
        let path = directory.join("sources.list");
        fs::write(&path, sources).map_err(|error| AptError::Io { path, error })?;
        run("apt-get", &lists.options(&["-qq", "update"]))?;
        Ok(lists)
    }

    /// The text of a suite's package list.
    ///
    /// # Errors
    /// When the list isn't there.
    pub fn packages(&self, suite: &str) -> Result<String, AptError> {
        let format = "$(RELEASE) $(FILENAME)";
        let output = run(
            "apt-get",
            &self.options(&["indextargets", "--format", format, "Created-By: Packages"]),
        )?;
        let listing = String::from_utf8_lossy(&output.stdout).into_owned();
        let file = listing
            .lines()
            .filter_map(|line| line.split_once(' '))
            .find(|(release, _)| *release == suite);
        let (_, file) = file.ok_or_else(|| AptError::Failed {
            program: "apt-get".into(),
            reason: format!("no package list of suite {suite}"),
        })?;
        // Lists are kept compressed, in whatever way apt prefers.
        let output = run(HELPER, &["cat-file", file].map(OsString::from))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn options(&self, command: &[&str]) -> Vec<OsString> {
        let settings = [
            ("Dir::Etc::SourceList=", self.directory.join("sources.list")),
            ("Dir::Etc::SourceParts=", PathBuf::from("-")),
            ("Dir::State::Lists=", self.directory.join("lists")),
            ("Dir::Cache=", self.directory.clone()),
            ("Acquire::Languages=", PathBuf::from("none")),
            ("APT::Sandbox::User=", PathBuf::from("root")),
            // Some machines run desktop hooks after each update.
            ("APT::Update::Post-Invoke-Success=", PathBuf::new()),
            // Without this, mirrors that have not renewed an old suite's file are refused, and the
            // digests that matter are in the lock.
            ("Acquire::Check-Valid-Until=", PathBuf::from("false")),
        ];
        let mut options: Vec<OsString> = Vec::new();
        for (name, value) in settings {
            let mut setting = OsString::from(name);
            setting.push(value);
            options.extend(["-o".into(), setting]);
        }
        options.extend(command.iter().map(OsString::from));
        options
    }
}

fn run(program: &str, arguments: &[OsString]) -> Result<Output, AptError> {
    let output = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .output()
        .map_err(|error| AptError::NotStarted {
            program: program.to_owned(),
            error,
        })?;
    if output.status.success() {
        return Ok(output);
    }
    Err(AptError::Failed {
        program: program.to_owned(),
        reason: last_words(&String::from_utf8_lossy(&output.stderr)),
    })
}

/// The first `E:` line of apt and its kind says what happened; the later ones only that something did.
pub(crate) fn last_words(stderr: &str) -> String {
    let line = stderr
        .lines()
        .find(|line| line.starts_with("E: "))
        .or_else(|| stderr.lines().rfind(|line| !line.trim().is_empty()));
    line.unwrap_or("failed without a word")
        .trim_start_matches("E: ")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_told_apart_by_label() {
        let mirrors = Mirrors::parse(
            "Other http://o/\nDebian-Security http://s/\nDebian http://m/debian/\nDebian http://n/\n",
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
    fn a_machine_without_lists_is_told_what_to_do() {
        let error = Mirrors::parse("")
            .base(Archive::Main)
            .expect_err("none")
            .to_string();
        assert!(error.contains("run apt-get update"), "{error}");
    }

    #[test]
    fn apts_first_error_line_is_kept() {
        assert_eq!(
            last_words("W: x\nE: Failed to fetch u  404  Not Found\nE: Download Failed\n"),
            "Failed to fetch u  404  Not Found"
        );
        assert_eq!(last_words(""), "failed without a word");
    }
}
