//! The manifest of scenarios and of the guest's programs (`images/scenarios.toml`).

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{ManifestError, Names, is_plain_name, parse_toml};
use crate::{
    kernel_log::ReportKind,
    qemu::argv::Mode,
    vm::{DiskSpec, GuestSpec},
};

const DEFAULT_MANIFEST: &str = include_str!("../../../images/scenarios.toml");

/// What is in every scenario's guest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestEntry {
    /// Programs, by file name, from the directory of vmtest's own executable (or `--bin-dir`).
    #[serde(default)]
    pub programs: Vec<String>,
    /// Kernel modules, by name, where the kernel has them: what scenarios that share a guest need between them.
    #[serde(default)]
    pub modules: Vec<String>,
    /// Whether the host's busybox and its applets are there too.
    #[serde(default)]
    pub has_busybox: bool,
}

/// One scenario: a program that runs in a guest and exits 0 when it passed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What it shows, a sentence.
    pub summary: String,
    /// What runs in the guest; `scenario NAME` when not given.
    #[serde(default)]
    pub command: Vec<String>,
    /// How the guest's time passes.
    #[serde(default)]
    pub mode: Mode,
    /// Virtual CPUs.
    #[serde(default = "default_cpus")]
    pub cpus: u32,
    /// The guest's memory.
    #[serde(default = "default_memory_mib")]
    pub memory_mib: u32,
    /// Its disk, or none.
    pub disk: Option<DiskSpec>,
    /// The Debian suite of its root, with systemd as PID 1, instead of a disk.
    pub root: Option<String>,
    /// Files and directories beside the guest's programs, copied to its `/` (with a root: to `/vmtest`).
    #[serde(default)]
    pub files: Vec<String>,
    /// More words for the kernel's command line.
    #[serde(default)]
    pub kernel_args: Vec<String>,
    /// Kernel modules that it needs beside those of every guest, by name.
    #[serde(default)]
    pub modules: Vec<String>,
    /// Whether it may run in one boot with others of equal needs.
    #[serde(default)]
    pub is_shared: bool,
    /// Where it comes among those: behind all with a smaller number. One that leaves the guest another than it found
    /// it comes behind those that mind.
    #[serde(default)]
    pub order: u32,
    /// Runs only when it is named: it takes too long for every day.
    #[serde(default)]
    pub is_optional: bool,
    /// Whether it shows a property of the kernel, by which kernels are compared; most test what `fslockup` does with
    /// its user.
    #[serde(default)]
    pub gates: bool,
    /// Guest time after which it has failed.
    pub time_limit_s: u64,
    /// Reports of the kernel that belong to it and are no fault.
    #[serde(default)]
    pub expects: Vec<ReportKind>,
    /// The only kernels it runs on, by name.
    #[serde(default)]
    pub kernels: Vec<String>,
    /// The only kernels it runs on, by tag.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Why it does not run on all.
    pub because: Option<String>,
}

fn default_cpus() -> u32 {
    4
}

fn default_memory_mib() -> u32 {
    1024
}

impl Scenario {
    /// The command, with its default.
    #[must_use]
    pub fn argv(&self) -> Vec<String> {
        if self.command.is_empty() {
            vec!["scenario".into(), self.name.clone()]
        } else {
            self.command.clone()
        }
    }

    /// The guest it needs.
    #[must_use]
    pub fn guest(&self) -> GuestSpec {
        GuestSpec {
            mode: self.mode,
            cpus_count: self.cpus,
            memory_mib: self.memory_mib,
            disk: self.disk.clone(),
            root: self.root.clone(),
            kernel_args: self.kernel_args.clone(),
            modules: self.modules.clone(),
        }
    }

    /// Whether it runs on a kernel with this name and these tags.
    #[must_use]
    pub fn runs_on(&self, name: &str, tags: &[String]) -> bool {
        if self.kernels.is_empty() && self.tags.is_empty() {
            return true;
        }
        self.kernels.iter().any(|kernel| kernel == name)
            || self.tags.iter().any(|tag| tags.contains(tag))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ManifestFile {
    #[serde(default)]
    guest: GuestEntry,
    #[serde(default)]
    scenario: Vec<Scenario>,
}

/// All scenarios.
#[derive(Clone, Debug)]
pub struct Scenarios {
    /// What is in every guest.
    pub guest: GuestEntry,
    /// The scenarios, in the manifest's order.
    pub entries: Vec<Scenario>,
}

impl Scenarios {
    /// The manifest at `path`, or the one built into this program.
    ///
    /// # Errors
    /// When the file can't be read or makes no sense.
    pub fn load(path: Option<&Path>) -> Result<Self, ManifestError> {
        match path {
            None => Self::parse(Path::new("scenarios.toml"), DEFAULT_MANIFEST),
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| ManifestError::Io {
                    path: path.to_owned(),
                    error,
                })?;
                Self::parse(path, &text)
            }
        }
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ManifestError> {
        let ManifestFile { guest, scenario } = parse_toml(path, text)?;
        let mut names = Names::default();
        for entry in &scenario {
            let wrong = |reason: &str| ManifestError::Parse {
                path: path.to_owned(),
                reason: format!("scenario {}: {reason}", entry.name),
            };
            if !names.is_new(&entry.name) {
                return Err(wrong("listed twice"));
            }
            let is_restricted = !(entry.kernels.is_empty() && entry.tags.is_empty());
            if is_restricted && entry.because.is_none() {
                return Err(wrong(
                    "restricted to some kernels, but no `because` says why",
                ));
            }
            // Names become directories on the host and in the guest.
            if !is_plain_name(&entry.name) {
                return Err(wrong("a name is letters, digits, '-', '_' and '.'"));
            }
            // systemd and what it started can't be swept out between two scenarios.
            if entry.root.is_some() && (entry.disk.is_some() || entry.is_shared) {
                return Err(wrong("with a root it has no other disk and shares no boot"));
            }
            if entry.cpus == 0 || entry.memory_mib == 0 || entry.time_limit_s == 0 {
                return Err(wrong("cpus, memory_mib and time_limit_s must not be 0"));
            }
        }
        Ok(Self {
            guest,
            entries: scenario,
        })
    }

    /// The scenarios of these names, or all that are not optional when there are none.
    ///
    /// # Errors
    /// When one isn't there; the error lists those that are.
    pub fn choose(&self, names: &[String]) -> Result<Vec<Scenario>, UnknownScenario> {
        for name in names {
            if !self.entries.iter().any(|entry| entry.name == *name) {
                let known = self
                    .entries
                    .iter()
                    .map(|entry| entry.name.as_str())
                    .collect::<Vec<_>>()
                    .join(" ");
                return Err(UnknownScenario {
                    name: name.clone(),
                    known,
                });
            }
        }
        Ok(self
            .entries
            .iter()
            .filter(|entry| (names.is_empty() && !entry.is_optional) || names.contains(&entry.name))
            .cloned()
            .collect())
    }

    /// Those that any kernel may be judged by: neither optional nor made for kernels that are named, and about
    /// kernels.
    #[must_use]
    pub fn for_comparison(&self) -> Vec<Scenario> {
        let is_for_any =
            |entry: &&Scenario| entry.gates && !entry.is_optional && entry.kernels.is_empty();
        self.entries.iter().filter(is_for_any).cloned().collect()
    }

    /// What these scenarios want copied from `directory`: path here, path in the guest.
    ///
    /// # Errors
    /// When something is missing.
    pub fn files<'a>(
        chosen: impl Iterator<Item = &'a Scenario>,
        directory: &Path,
    ) -> Result<Vec<(PathBuf, String)>, MissingProgram> {
        let names: BTreeSet<&String> = chosen.flat_map(|one| &one.files).collect();
        let paths = names.into_iter().map(|name| {
            let path = directory.join(name);
            if path.exists() {
                Ok((path, format!("/{name}")))
            } else {
                Err(MissingProgram(path))
            }
        });
        paths.collect()
    }

    /// The guest's programs in `directory`.
    ///
    /// # Errors
    /// When one is missing.
    pub fn programs(&self, directory: &Path) -> Result<Vec<PathBuf>, MissingProgram> {
        let paths = self.guest.programs.iter().map(|name| directory.join(name));
        paths
            .map(|path| {
                if path.is_file() {
                    Ok(path)
                } else {
                    Err(MissingProgram(path))
                }
            })
            .collect()
    }
}

/// No scenario has that name.
#[derive(Debug, thiserror::Error)]
#[error("scenario {name}: not in the manifest (it has: {known})")]
pub struct UnknownScenario {
    name: String,
    known: String,
}

/// A program for the guest is missing.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0}: not found (build the whole workspace and `just packages` first, or say where with --bin-dir DIR)"
)]
pub struct MissingProgram(PathBuf);

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = r#"
        [guest]
        programs = ["fslockup"]
        [[scenario]]
        name = "one"
        summary = "Shows one thing."
        time_limit_s = 60
        is_shared = true
        disk = { fs = "ext4", size_mib = 512 }
        expects = ["soft-lockup"]
        [[scenario]]
        name = "two"
        summary = "Shows another."
        command = ["true", "x"]
        mode = "icount"
        time_limit_s = 5
        tags = ["rt"]
        because = "It is about PREEMPT_RT."
    "#;

    fn parse(text: &str) -> Result<Scenarios, ManifestError> {
        Scenarios::parse(Path::new("s.toml"), text)
    }

    #[test]
    fn a_manifest_gives_scenarios_with_their_defaults() {
        let scenarios = parse(SAMPLE).expect("parses");
        let [one, two] = &scenarios.entries[..] else {
            panic!("two")
        };
        assert_eq!(one.argv(), ["scenario", "one"]);
        assert_eq!((one.cpus, one.memory_mib, one.mode), (4, 1024, Mode::Multi));
        assert_eq!(one.expects, [ReportKind::SoftLockup]);
        assert_eq!(two.argv(), ["true", "x"]);
        assert!(two.runs_on("7.3-rt", &["rt".into()]) && !two.runs_on("6.1", &["lts".into()]));
        assert!(one.runs_on("6.1", &[]));
    }

    #[test]
    fn mistakes_are_one_line_that_names_the_scenario() {
        let cases = [
            (
                SAMPLE.replace("because", "becuase"),
                "s.toml: line 18: unknown field `becuase`",
            ),
            (
                SAMPLE.replace("because = \"It is about PREEMPT_RT.\"", ""),
                "s.toml: scenario two: restricted to some kernels",
            ),
            (
                SAMPLE.replace("two", "one"),
                "s.toml: scenario one: listed twice",
            ),
            (
                SAMPLE.replace("\"two\"", "\"../two\""),
                "s.toml: scenario ../two: a name is letters",
            ),
            (
                SAMPLE.replace("is_shared = true", "root = \"bookworm\""),
                "s.toml: scenario one: with a root it has no other disk",
            ),
            (
                SAMPLE.replace("= 60", "= 0"),
                "s.toml: scenario one: cpus, memory_mib and time_limit_s",
            ),
            (
                SAMPLE.replace("soft-lockup", "softlockup"),
                "s.toml: line 10: unknown variant `softlockup`",
            ),
        ];
        for (text, start) in cases {
            let error = parse(&text).expect_err("a mistake").to_string();
            assert!(error.starts_with(start), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }

    #[test]
    fn an_unknown_scenario_is_answered_with_the_known_ones() {
        let error = parse(SAMPLE)
            .expect("parses")
            .choose(&["three".into()])
            .expect_err("unknown")
            .to_string();
        assert_eq!(
            error,
            "scenario three: not in the manifest (it has: one two)"
        );
    }

    #[test]
    fn an_optional_scenario_runs_only_when_it_is_named() {
        let text = SAMPLE.replace("mode = \"icount\"", "is_optional = true");
        let scenarios = parse(&text).expect("parses");
        let chosen = |names: &[String]| -> Vec<_> {
            let chosen = scenarios.choose(names).expect("known");
            chosen.into_iter().map(|entry| entry.name).collect()
        };
        assert_eq!(chosen(&[]), ["one"]);
        assert_eq!(chosen(&["two".into()]), ["two"]);
    }

    #[test]
    fn a_file_that_is_missing_matters_only_where_it_is_wanted() {
        let text = SAMPLE.replace("mode = \"icount\"", "files = [\"package\"]");
        let scenarios = parse(&text).expect("parses");
        let directory = tempfile::tempdir().expect("a directory");
        let files = |entries: &[Scenario]| Scenarios::files(entries.iter(), directory.path());
        assert!(files(&scenarios.entries[..1]).expect("none").is_empty());
        let error = files(&scenarios.entries).expect_err("missing").to_string();
        assert!(error.contains("/package: not found"), "{error}");
        std::fs::create_dir(directory.path().join("package")).expect("made");
        let found = files(&scenarios.entries).expect("there");
        assert_eq!(found[0].1, "/package");
    }

    #[test]
    fn the_built_in_manifest_parses() {
        assert!(!Scenarios::load(None).expect("parses").entries.is_empty());
    }
}
