//! Package lists of suites that the machine itself may not use, in a private state of apt.

use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
};

use super::{
    apt::{AptError, HELPER, run},
    mirrors::Mirrors,
};
use crate::arch::GUEST;

/// The text of a suite's package list as the archive has it now, verified by apt: `Release` is signed, and has the
/// list's digest. Kept below `directory`, so that one that has not changed isn't downloaded again.
///
/// # Errors
/// When the machine's apt doesn't know the archive, can't reach it or doesn't trust it.
pub fn packages(directory: &Path, mirrors: &Mirrors, suite: &str) -> Result<String, AptError> {
    let lists = Lists {
        directory: directory.join(suite),
        suite,
    };
    // A state for each suite: one that can't be had is no hindrance to others.
    for part in ["lists/partial", "archives/partial"] {
        let path = lists.directory.join(part);
        fs::create_dir_all(&path).map_err(|error| AptError::Io { path, error })?;
    }
    // apt's own lock makes a second process fail; this one makes it wait.
    let path = lists.directory.join("vmtest.lock");
    let _turn = File::create(&path)
        .and_then(|file| file.lock().map(|()| file))
        .map_err(|error| AptError::Io { path, error })?;
    lists.update(mirrors)?;
    lists.read()
}

struct Lists<'a> {
    directory: PathBuf,
    suite: &'a str,
}

impl Lists<'_> {
    fn update(&self, mirrors: &Mirrors) -> Result<(), AptError> {
        // Only the package lists: neither descriptions nor desktop metadata.
        let source = mirrors.source_line(
            self.suite,
            &format!("target=Packages arch={}", GUEST.debian),
        )?;
        let path = self.directory.join("sources.list");
        fs::write(&path, format!("{source}\n")).map_err(|error| AptError::Io { path, error })?;
        run("apt-get", &self.options(&["-qq", "update"])).map(|_| ())
    }

    fn read(&self) -> Result<String, AptError> {
        let format = "$(RELEASE) $(FILENAME)";
        let output = run(
            "apt-get",
            &self.options(&["indextargets", "--format", format, "Created-By: Packages"]),
        )?;
        let listing = String::from_utf8_lossy(&output.stdout).into_owned();
        let file = listing
            .lines()
            .filter_map(|line| line.split_once(' '))
            .find(|(release, _)| *release == self.suite);
        // apt keeps no empty list, and that all could be fetched is known.
        let Some((_, file)) = file else {
            return Ok(String::new());
        };
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
            // Without this, mirrors that have not renewed an old suite's file are refused.
            ("Acquire::Check-Valid-Until=", PathBuf::from("false")),
            // Without this, apt warns that nothing answers, keeps the old list and ends with 0.
            ("APT::Update::Error-Mode=", PathBuf::from("any")),
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
