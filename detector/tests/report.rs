//! `fslockup report` over files as a run leaves them, on any machine.

use std::{
    fs::{self, File},
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::{fs::symlink, net::UnixListener},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use nix::{sys::stat::Mode, unistd::mkfifo};

const START: &str = r#"{"schema":"fslockup/1","type":"run","state":"started","at":"2026-11-23T12:00:00.000Z","host":"guest","kernel":"6.1","boot_id":"another","fslockup_version":"0","pid":1}"#;

fn fslockup(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fslockup"))
        .args(arguments)
        .output()
        .expect("it starts")
}

/// The walk and the incident of a real recording, as lines.
fn lines() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/6.1/stall.recording");
    let output = fslockup(&["replay", "--format", "json", path.to_str().expect("text")]);
    assert!(output.status.success());
    String::from_utf8(output.stdout)
        .expect("text")
        .lines()
        .filter(|line| line.contains(r#""type":"incident""#))
        .map(str::to_owned)
        .collect()
}

struct State {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

/// A state directory with this in its only file.
fn state(text: &str) -> State {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_owned();
    fs::write(path.join("evidence-00000001.jsonl"), text).expect("written");
    State { _dir: dir, path }
}

fn report(state: &State, options: &[&str]) -> String {
    let path = state.path.to_str().expect("text");
    let output = fslockup(&[&["report", "--state-dir", path], options].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert_eq!(said, "");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn an_incident_is_listed_and_shown_in_every_form() {
    let lines = lines();
    let text = format!("{START}\n{}\n", lines.join("\n"));
    let state = state(&text);
    let listed = report(&state, &[]);
    assert!(
        listed.contains("ended without a goodbye; after it"),
        "{listed}"
    );
    let json = report(&state, &["--format", "json"]);
    let found: Vec<_> = json.lines().collect();
    assert_eq!(found[..lines.len()], lines);
    let last: serde_json::Value = serde_json::from_str(found[lines.len()]).expect("JSON");
    assert_eq!(last["runs"][0]["end"], "host_was_reset");
    let first: serde_json::Value = serde_json::from_str(&lines[0]).expect("JSON");
    let id = first["id"].as_str().expect("an id");
    assert!(listed.contains(id), "{listed}");
    let shown = report(&state, &["--id", id]);
    assert!(shown.contains("  mechanism  "), "{shown}");
    assert_eq!(
        report(&state, &["--id", id, "--format", "json"]).trim_end(),
        lines[0]
    );
    let page = report(&state, &["--id", id, "--format", "html"]);
    assert_eq!(page.matches("<section ").count(), 1);
    let file = state.path.join("trace.json");
    let name = file.to_str().expect("text");
    assert_eq!(report(&state, &["--format", "perfetto", "-o", name]), "");
    let trace: serde_json::Value =
        serde_json::from_slice(&fs::read(&file).expect("written")).expect("JSON");
    assert!(
        trace["traceEvents"]
            .as_array()
            .is_some_and(|events| events.len() > 4)
    );
}

#[test]
fn what_cannot_be_read_is_told_and_takes_nothing_with_it() {
    let incident = &lines()[0];
    let other = incident.replacen("fslockup/1", "fslockup/2", 1);
    let text = format!("{START}\n{other}\n{incident}\n{}", &incident[..99]);
    let listed = report(&state(&text), &[]);
    assert!(listed.contains("1 incident in 1 run"), "{listed}");
    assert!(
        listed.contains("evidence-00000001.jsonl: 1 line skipped: torn"),
        "{listed}"
    );
    assert!(
        listed.contains("1 line skipped: of schema fslockup/2"),
        "{listed}"
    );
}

#[test]
fn mistakes_are_one_line() {
    let state = state("");
    let path = state.path.to_str().expect("text");
    let file = state.path.join("evidence-00000001.jsonl");
    for (arguments, words) in [
        (
            ["report", "--state-dir", "/nowhere", "--format", "text"],
            "/nowhere: ",
        ),
        (
            ["report", "--state-dir", path, "--id", "12"],
            "--id 12: no such incident",
        ),
        (
            ["report", "--state-dir", path, "-o", "/nowhere/page"],
            "/nowhere/page: ",
        ),
        (
            [
                "report",
                "--state-dir",
                file.to_str().expect("text"),
                "--format",
                "html",
            ],
            "Not a directory",
        ),
        (["report", "--state-dir", path, "--format", "pdf"], "'pdf'"),
    ] {
        let output = fslockup(&arguments);
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn what_has_the_name_of_a_file_but_is_none_is_left_alone() {
    let incident = &lines()[0];
    let state = state(&format!("{START}\n{incident}\n"));
    let name = |number: u32| state.path.join(format!("evidence-{number:08}.jsonl"));
    fs::create_dir(name(2)).expect("made");
    mkfifo(&name(3), Mode::S_IRWXU).expect("made");
    symlink(name(4), name(4)).expect("made");
    symlink("/dev/zero", name(5)).expect("made");
    symlink(name(1), name(6)).expect("made");
    let _socket = UnixListener::bind(name(7)).expect("made");
    fs::write(state.path.join("evidence-1.jsonl"), incident).expect("written");
    for format in ["text", "json", "html", "perfetto"] {
        let shown = report(&state, &["--format", format]);
        assert!(!shown.is_empty());
    }
    let listed = report(&state, &[]);
    assert!(listed.contains("1 incident in 1 run"), "{listed}");
    assert!(!listed.contains("skipped"), "{listed}");
}

#[test]
fn a_file_of_a_gibibyte_is_read_in_256_mib() {
    let lines = lines();
    let state = state(&format!("{START}\n{}\n", lines[0]));
    let mut huge = File::create(state.path.join("evidence-00000002.jsonl")).expect("made");
    huge.seek(SeekFrom::Start(1 << 30)).expect("a sparse file");
    writeln!(huge, "\n{}", lines[1]).expect("written");
    for format in ["text", "html"] {
        let output = Command::new("sh")
            .args(["-c", r#"ulimit -v 262144; exec "$0" "$@""#])
            .arg(env!("CARGO_BIN_EXE_fslockup"))
            .args(["report", "--format", format, "--state-dir"])
            .arg(&state.path)
            .output()
            .expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        if format == "text" {
            let listed = String::from_utf8_lossy(&output.stdout);
            assert!(listed.contains("2 incidents in 1 run"), "{listed}");
            assert!(
                listed.contains("evidence-00000002.jsonl: 1 line skipped: "),
                "{listed}"
            );
        }
    }
}
