//! The examples in `examples/`: their commands are commands of `vmtest`, and the script does what it says.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use clap::Parser as _;
use vmtest::cli::Cli;

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

/// Writes a program that can be run at once. Another process writes it: a child that another test of this
/// process starts meanwhile would hold a file of ours open for writing, and execve(2) refuses such a
/// file with ETXTBSY.
fn install(program: &Path, text: &str) {
    let mut child = Command::new("install")
        .args(["-m", "755", "/dev/stdin"])
        .arg(program)
        .stdin(Stdio::piped())
        .spawn()
        .expect("install");
    let mut stdin = child.stdin.take().expect("its input");
    stdin.write_all(text.as_bytes()).expect("written");
    drop(stdin);
    assert!(child.wait().expect("it ends").success());
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
