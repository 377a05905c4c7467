//! Mistakes as users make them, on any machine: one line on stderr, exit 2, no panic.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

fn fslockup(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fslockup"))
        .args(arguments)
        .output()
        .expect("it starts")
}

/// The one line on stderr of a call that must fail.
fn mistake(arguments: &[&str]) -> String {
    let output = fslockup(arguments);
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    assert!(said.starts_with("fslockup: "), "{said}");
    said
}

/// A recording of a real walk.
fn recording() -> Vec<u8> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/6.1/negative-flood.recording");
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What replaying these bytes says.
fn replay_mistake(bytes: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), bytes).expect("written");
    mistake(&["replay", file.path().to_str().expect("text")])
}

#[test]
fn options_that_do_not_exist_are_named() {
    assert!(mistake(&["run", "--walk-treshold", "1ms"]).contains("'--walk-treshold'"));
    assert!(mistake(&["walk"]).contains("'walk'"));
    let said = mistake(&["run", "--format", "xml"]);
    assert!(
        said.contains("'xml'") && said.contains("text, json"),
        "{said}"
    );
    assert!(mistake(&["replay"]).contains("<FILE>"));
}

#[test]
fn durations_need_a_unit_and_a_number() {
    for bad in ["5", "abc", "-1s", "99999999999999y", ""] {
        let said = mistake(&["run", "--duration", bad]);
        assert!(said.contains("--duration"), "{said}");
    }
    assert!(mistake(&["run", "--walk-threshold", "10"]).contains("time unit needed"));
}

#[test]
fn help_and_version_are_no_mistakes() {
    for arguments in [["--help"], ["--version"]] {
        let output = fslockup(&arguments);
        assert!(output.status.success());
        assert!(!output.stdout.is_empty());
        assert!(output.stderr.is_empty());
    }
}

#[test]
fn type_information_that_is_not_there_is_named() {
    assert!(mistake(&["run", "--btf", "/nowhere/btf"]).contains("/nowhere/btf: "));
}

#[test]
fn a_census_wants_a_directory() {
    assert!(mistake(&["census"]).contains("DIR"));
    assert!(mistake(&["census", "--deadline", "10", "/"]).contains("--deadline"));
    assert!(mistake(&["census", "--btf", "/nowhere/btf", "/"]).contains("/nowhere/btf: "));
}

#[test]
fn a_recording_that_is_not_there_or_none_is_named() {
    assert!(mistake(&["replay", "/nowhere/recording"]).contains("/nowhere/recording: "));
    assert!(replay_mistake(b"").contains("the recording is cut"));
    assert!(replay_mistake(b"something else entirely").contains("the recording is corrupt"));
    assert!(replay_mistake(&[0xff; 4096]).contains("the recording is corrupt"));
}

#[test]
fn a_recording_cut_after_its_header_is_printed_as_far_as_it_goes() {
    let whole = recording();
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), &whole[..whole.len() - 1]).expect("written");
    let output = fslockup(&["replay", file.path().to_str().expect("text")]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("walk of /mnt/disk/"), "{text}");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("the recording is cut"));
}

#[test]
fn a_damaged_recording_says_so() {
    let mut damaged = recording();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x40;
    assert!(replay_mistake(&damaged).contains("the recording is corrupt"));
}

#[test]
fn a_recording_of_a_newer_schema_asks_for_a_newer_program() {
    let mut newer = Vec::new();
    fslockup::recording::frame::write(&mut newer, 1, br#"{"schema":99}"#).expect("written");
    let said = replay_mistake(&newer);
    assert!(
        said.contains("schema 99") && said.contains("use a newer one"),
        "{said}"
    );
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), recording()).expect("written");
    let command = format!(
        "{} replay {} | true; exit ${{PIPESTATUS[0]}}",
        env!("CARGO_BIN_EXE_fslockup"),
        file.path().display()
    );
    let output = Command::new("bash")
        .args(["-c", &command])
        .output()
        .expect("it starts");
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.stderr.is_empty());
}

#[test]
fn what_cannot_be_traced_is_named() {
    assert!(mistake(&["trace", "--dir", "/nowhere/dir"]).starts_with("fslockup: /nowhere/dir: "));
    assert!(mistake(&["trace", "--dir", "/proc/version"]).contains("/proc/version: "));
    for bad in ["0", "-1", "many", "5/m"] {
        assert!(mistake(&["trace", "--rate", bad]).contains("--rate"));
    }
    assert!(mistake(&["trace", "--comm", "longer-than-15-bytes"]).contains("--comm"));
}
