//! The manifest of scenarios and of the guest's programs (`images/scenarios.toml`).

use std::{
    collections::{BTreeMap, BTreeSet},
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

/// What is in every scenario's guest (`[every_guest]`).
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What it shows, a sentence.
    pub summary: String,
    /// What runs in the guest; `scenario NAME` when not given.
    pub command: Vec<String>,
    /// How the guest's time passes.
    pub mode: Mode,
    /// Virtual CPUs.
    pub cpus: u32,
    /// The guest's memory.
    pub memory_mib: u32,
    /// Its disk, or none.
    pub disk: Option<DiskSpec>,
    /// The Debian suite of its root, with systemd as PID 1, instead of a disk.
    pub root: Option<String>,
    /// Files and directories beside the guest's programs, copied to its `/` (with a root: to `/vmtest`).
    pub files: Vec<String>,
    /// More words for the kernel's command line.
    pub kernel_args: Vec<String>,
    /// Kernel modules that it needs beside those of every guest, by name.
    pub modules: Vec<String>,
    /// Whether it may run in one boot with others of equal needs.
    pub is_shared: bool,
    /// Where it comes among those: behind all with a smaller number. One that leaves the guest another than it found
    /// it comes behind those that mind.
    pub order: u32,
    /// Runs only when it is named: it takes too long for every day.
    pub is_optional: bool,
    /// Whether it shows a property of the kernel, by which kernels are compared; most test what `fslockup` does with
    /// its user.
    pub gates: bool,
    /// Guest time after which it has failed.
    pub time_limit_s: u64,
    /// Reports of the kernel that belong to it and are no fault.
    pub expects: Vec<ReportKind>,
    /// The only kernels it runs on, by name.
    pub kernels: Vec<String>,
    /// The only kernels it runs on, by tag.
    pub tags: Vec<String>,
    /// Why it does not run on all.
    pub because: Option<String>,
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
    every_guest: GuestEntry,
    #[serde(default)]
    guest: BTreeMap<String, GuestFields>,
    #[serde(default)]
    scenario: Vec<ScenarioEntry>,
}

/// What a guest is made of, as `[guest.NAME]` says it; what is not said has its default in [`ScenarioEntry::resolve`].
#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct GuestFields {
    mode: Option<Mode>,
    cpus: Option<u32>,
    memory_mib: Option<u32>,
    disk: Option<DiskSpec>,
    root: Option<String>,
    kernel_args: Option<Vec<String>>,
    modules: Option<Vec<String>>,
}

/// A scenario as it is written: with the name of a guest, or with the fields of one of its own. They stand here once
/// more because serde's `flatten` loses the line of a mistake.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScenarioEntry {
    name: String,
    summary: String,
    #[serde(default)]
    command: Vec<String>,
    guest: Option<String>,
    mode: Option<Mode>,
    cpus: Option<u32>,
    memory_mib: Option<u32>,
    disk: Option<DiskSpec>,
    root: Option<String>,
    kernel_args: Option<Vec<String>>,
    modules: Option<Vec<String>>,
    #[serde(default)]
    files: Vec<String>,
    #[serde(default)]
    is_shared: bool,
    #[serde(default)]
    order: u32,
    #[serde(default)]
    is_optional: bool,
    #[serde(default)]
    gates: bool,
    time_limit_s: u64,
    #[serde(default)]
    expects: Vec<ReportKind>,
    #[serde(default)]
    kernels: Vec<String>,
    #[serde(default)]
    tags: Vec<String>,
    because: Option<String>,
}

impl ScenarioEntry {
    /// The scenario with its guest; the error is what is wrong with it.
    fn resolve(self, guests: &BTreeMap<String, GuestFields>) -> Result<Scenario, String> {
        let own = GuestFields {
            mode: self.mode,
            cpus: self.cpus,
            memory_mib: self.memory_mib,
            disk: self.disk,
            root: self.root,
            kernel_args: self.kernel_args,
            modules: self.modules,
        };
        let guest = match &self.guest {
            None => own,
            Some(name) if own != GuestFields::default() => {
                return Err(format!(
                    "guest {name} and fields of a guest of its own: either, not both"
                ));
            }
            Some(name) => guests.get(name).cloned().ok_or_else(|| {
                let known: Vec<&str> = guests.keys().map(String::as_str).collect();
                format!(
                    "guest {name}: not in the manifest (it has: {})",
                    known.join(" ")
                )
            })?,
        };
        Ok(Scenario {
            name: self.name,
            summary: self.summary,
            command: self.command,
            mode: guest.mode.unwrap_or_default(),
            cpus: guest.cpus.unwrap_or(4),
            memory_mib: guest.memory_mib.unwrap_or(1024),
            disk: guest.disk,
            root: guest.root,
            files: self.files,
            kernel_args: guest.kernel_args.unwrap_or_default(),
            modules: guest.modules.unwrap_or_default(),
            is_shared: self.is_shared,
            order: self.order,
            is_optional: self.is_optional,
            gates: self.gates,
            time_limit_s: self.time_limit_s,
            expects: self.expects,
            kernels: self.kernels,
            tags: self.tags,
            because: self.because,
        })
    }
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
        let file: ManifestFile = parse_toml(path, text)?;
        let resolved = file.scenario.into_iter().map(|entry| {
            let name = entry.name.clone();
            let wrong = |reason| ManifestError::Parse {
                path: path.to_owned(),
                reason: format!("scenario {name}: {reason}"),
            };
            entry.resolve(&file.guest).map_err(wrong)
        });
        let entries = resolved.collect::<Result<Vec<_>, _>>()?;
        let mut names = Names::default();
        for entry in &entries {
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
            guest: file.every_guest,
            entries,
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
        [every_guest]
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
    fn a_named_guest_is_as_good_as_its_fields() {
        let disk = r#"disk = { fs = "ext4", size_mib = 512 }"#;
        let fields = format!("{disk}\nmode = \"icount\"\ncpus = 1\nmodules = [\"overlay\"]");
        let with_fields = SAMPLE.replace(disk, &fields);
        let with_name = SAMPLE.replace(disk, "guest = \"timed\"") + "[guest.timed]\n" + &fields;
        let entries = |text: &str| parse(text).expect("parses").entries;
        assert_eq!(entries(&with_name), entries(&with_fields));
        assert_eq!(entries(&with_name)[0].guest().cpus_count, 1);
    }

    #[test]
    fn a_guest_that_is_not_there_or_not_alone_is_one_line() {
        let disk = r#"disk = { fs = "ext4", size_mib = 512 }"#;
        let guests = "[guest.quiet]\ncpus = 2\n[guest.timed]\nmode = \"icount\"\n";
        let cases = [
            (
                "guest = \"quite\"".to_owned(),
                "s.toml: scenario one: guest quite: not in the manifest (it has: quiet timed)",
            ),
            (
                format!("guest = \"quiet\"\n{disk}"),
                "s.toml: scenario one: guest quiet and fields of a guest of its own: either, not both",
            ),
            (
                // What a guest has anyhow is a field as well.
                "guest = \"quiet\"\ncpus = 4".to_owned(),
                "s.toml: scenario one: guest quiet and fields of a guest of its own: either, not both",
            ),
        ];
        for (instead, expected) in cases {
            let text = SAMPLE.replace(disk, &instead) + guests;
            assert_eq!(parse(&text).expect_err("a mistake").to_string(), expected);
        }
        let text = SAMPLE.to_owned() + "[guest.quiet]\ncpu = 2\n";
        let error = parse(&text).expect_err("a mistake").to_string();
        assert!(error.contains("unknown field `cpu`"), "{error}");
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
