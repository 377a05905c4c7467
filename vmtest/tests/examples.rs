//! The examples in `examples/` and in docs/vmtest.md: their commands are commands of `vmtest`, and the script does what
//! it says.

#[path = "support/install.rs"]
mod install;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use clap::{CommandFactory as _, Parser as _};
use vmtest::cli::Cli;

use self::install::install;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples")
        .join(name)
}

/// Each line that calls `vmtest`, as words: a shard for the variable that a shard is in.
fn calls(text: &str) -> Vec<Vec<String>> {
    let calls = text.lines().filter_map(|line| {
        let words = line
            .trim()
            .strip_prefix("target/x86_64-unknown-linux-gnu/release/")?;
        let words = words.split(" || ").next()?.split(' ');
        let plain = words.map(|word| word.trim_matches('"').replace("$SHARD", "1/3"));
        Some(plain.collect())
    });
    calls.collect()
}

#[test]
fn the_workflow_calls_what_there_is() {
    let text = fs::read_to_string(example("github-kernel-gate.yml")).expect("the workflow");
    let calls = calls(&text);
    let commands: Vec<&str> = calls.iter().map(|words| words[1].as_str()).collect();
    assert_eq!(commands, ["run", "merge", "gate"]);
    for words in calls {
        let parsed = Cli::try_parse_from(&words);
        assert!(parsed.is_ok(), "{words:?}: {:?}", parsed.err());
    }
}

/// What stands between backquotes, or alone on a line, and calls `vmtest`.
fn documented(text: &str) -> Vec<Vec<String>> {
    let spans = text.lines().flat_map(|line| line.split('`'));
    let calls = spans.filter(|span| span.starts_with("vmtest ") && !span.contains("COMMAND"));
    calls
        .map(|call| call.split_whitespace().map(str::to_owned).collect())
        .collect()
}

#[test]
fn the_introduction_has_an_example_of_each_command() {
    let text = fs::read_to_string(example("../docs/vmtest.md")).expect("the document");
    let calls = documented(&text);
    for words in &calls {
        let parsed = Cli::try_parse_from(words);
        assert!(parsed.is_ok(), "{words:?}: {:?}", parsed.err());
    }
    for command in Cli::command().get_subcommands() {
        let is_shown = calls.iter().any(|words| words[1] == command.get_name());
        assert!(is_shown, "{}", command.get_name());
    }
}

/// A program in the place of `vmtest` that says how it was called and exits with a code of ours.
fn script(code: i32) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("vmtest");
    let called = directory.path().join("called");
    let text = format!(
        "#!/bin/sh\necho \"$@\" >> {}\nexit {code}\n",
        called.display()
    );
    install(&program, &text);
    let status = Command::new(example("kernel-gate.sh"))
        .args(["6.1", "/boot/vmlinuz-x", "out", "2"])
        .env("VMTEST", &program)
        .status()
        .expect("the script");
    (
        status.code(),
        fs::read_to_string(called).expect("it was called"),
    )
}

#[test]
fn the_script_runs_all_shards_and_exits_as_the_gate() {
    // A scenario that failed ends nothing before the gate.
    let (code, called) = script(1);
    assert_eq!(code, Some(1));
    let commands: Vec<&str> = called
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(commands, ["run", "run", "merge", "gate"]);
    assert!(
        called.contains("--candidate out/whole/results.json:vmlinuz-x"),
        "{called}"
    );
    for line in called.lines() {
        let parsed = Cli::try_parse_from(
            [&["vmtest"], line.split(' ').collect::<Vec<_>>().as_slice()].concat(),
        );
        assert!(parsed.is_ok(), "{line}: {:?}", parsed.err());
    }
}

#[test]
fn the_script_ends_where_nothing_could_run() {
    let (code, called) = script(2);
    assert_eq!((code, called.lines().count()), (Some(2), 1));
}
