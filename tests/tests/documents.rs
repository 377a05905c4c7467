//! Lists that must name the same things: docs/reliability.md and the tests, images/scenarios.toml and the program.

mod sources;

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use sources::rust_files;
use vmtest::manifest::scenarios::Scenarios;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn read(path: impl AsRef<Path>) -> String {
    let path = Path::new(ROOT).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands in back quotes in the last column of each table.
fn named(document: &str) -> Vec<(usize, Vec<&str>)> {
    document
        .lines()
        .enumerate()
        .filter(|(_, line)| line.starts_with("| ") && !line.starts_with("| fault "))
        .map(|(index, line)| {
            let cell = line.trim_end_matches(" |").rsplit(" | ").next();
            let quoted = cell.unwrap_or_default().split('`').skip(1).step_by(2);
            (index + 1, quoted.collect())
        })
        .collect()
}

/// Names of all test functions below a folder, with those of the modules that have tests.
fn tests_below(folder: &Path, found: &mut BTreeSet<String>) {
    for path in rust_files(folder) {
        let text = fs::read_to_string(path).expect("text");
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        for pair in lines.windows(2).filter(|pair| pair[0] == "#[test]") {
            let name = pair[1].trim_start_matches("fn ").split('(').next();
            found.extend(name.map(str::to_owned));
        }
    }
}

/// `module::tests` stands for a file of tests or a module inside of its file.
fn is_module_of_tests(name: &str) -> bool {
    let Some((module, _)) = name.rsplit_once("::") else {
        return false;
    };
    let (path, tests) = (module.replace("::", "/"), name.replace("::", "/"));
    let source = Path::new(ROOT).join("detector/src");
    source.join(format!("{tests}.rs")).exists()
        || fs::read_to_string(source.join(format!("{path}.rs")))
            .is_ok_and(|text| text.contains("\nmod tests {"))
}

#[test]
fn each_fault_names_tests_that_exist() {
    let document = read("docs/reliability.md");
    let scenarios = read("images/scenarios.toml");
    let mut tests = BTreeSet::new();
    for folder in ["detector", "tests"] {
        for part in ["src", "tests"] {
            tests_below(&Path::new(ROOT).join(folder).join(part), &mut tests);
        }
    }
    let rows = named(&document);
    assert!(rows.len() > 25, "{} rows", rows.len());
    for (line, names) in rows {
        assert!(!names.is_empty(), "line {line} names no test");
        for name in names {
            let is_there = tests.contains(name)
                || scenarios.contains(&format!("name = \"{name}\""))
                || is_module_of_tests(name)
                || (name.ends_with(".rs") && Path::new(ROOT).join(name).exists())
                || name.starts_with("just ");
            assert!(is_there, "line {line}: {name} is no test");
        }
    }
}

#[test]
fn the_manifest_and_the_program_have_the_same_scenarios() {
    let output = Command::new(env!("CARGO_BIN_EXE_scenario"))
        .arg("--list")
        .output()
        .expect("scenario runs");
    assert!(output.status.success(), "{output:?}");
    let listed = String::from_utf8(output.stdout).expect("text");
    let program: BTreeSet<&str> = listed.lines().collect();
    let manifest = Scenarios::load(None).expect("the list that vmtest was built with");
    let manifest: BTreeSet<&str> = manifest
        .entries
        .iter()
        .map(|entry| entry.name.as_str())
        .collect();
    assert_eq!(program, manifest);
}
