//! Every recording of the corpus, made in a guest by a real kernel, judged again on the host.

mod corpus;

use std::fs;

use corpus::{corpus, recordings, replay, replay_changed};
use fslockup::{
    event,
    output::Format,
    plan::{Wishes, plan},
    recording::Reader,
};
use serde_json::{Value, json};

#[test]
fn the_corpus_has_every_kernel_of_the_manifest() {
    let kernels = vmtest::manifest::kernels::Kernels::load(None).expect("the manifest");
    // What an optional entry means changes with the archive.
    let pinned = kernels.entries.iter().filter(|entry| !entry.is_optional);
    for kernel in pinned.map(|entry| &entry.name) {
        // Where spinlocks sleep there are no stalls.
        let damage = if kernel.ends_with("-rt") {
            "rt"
        } else {
            "stall"
        };
        for scenario in ["negative-flood", "running-walk", "contention", damage] {
            let file = corpus().join(kernel).join(format!("{scenario}.recording"));
            assert!(file.exists(), "{}: missing (just corpus)", file.display());
        }
    }
}

#[test]
fn check_called_every_kernel_of_the_corpus_full() {
    for kernel in fs::read_dir(corpus()).expect("the corpus") {
        let path = kernel.expect("a kernel").path().join("facts.json");
        let facts: Value = serde_json::from_slice(&fs::read(&path).expect("facts")).expect("JSON");
        assert_eq!(facts["verdict"], "full", "{}", path.display());
        assert_eq!(
            facts["exposure"]["walk_on_first_watch"],
            "yes",
            "{}",
            path.display()
        );
    }
}

#[test]
fn recordings_replay_to_the_same_text() {
    for (name, file) in recordings() {
        insta::assert_snapshot!(format!("text {name}"), replay(&file, Format::Text));
    }
}

#[test]
fn recordings_replay_to_the_same_json() {
    for (name, file) in recordings() {
        let lines = lines(&replay(&file, Format::Json));
        insta::assert_json_snapshot!(format!("json {name}"), lines);
    }
}

#[test]
fn replaying_twice_gives_the_same() {
    for (_, file) in recordings() {
        assert_eq!(replay(&file, Format::Json), replay(&file, Format::Json));
    }
}

/// A later version writes more behind each record.
#[test]
fn records_that_are_longer_than_this_version_knows_replay_the_same() {
    for (name, file) in recordings() {
        let padded = |record: &mut Vec<u8>| record.extend([0xa5; 24]);
        assert_eq!(
            replay_changed(&file, Format::Json, padded),
            replay(&file, Format::Json),
            "{name}"
        );
    }
}

/// An earlier version wrote less of each record: what it lacks is not known, and nothing else changes.
#[test]
fn records_that_are_shorter_than_this_version_writes_still_make_their_incidents() {
    let cut = |record: &mut Vec<u8>| {
        let least = (0..=record.len()).find(|end| event::decode(&record[..*end]).is_ok());
        record.truncate(least.expect("a whole record decodes"));
    };
    let types = |lines: &[Value]| -> Vec<String> {
        let name = |line: &Value| line["type"].as_str().expect("a type").to_owned();
        lines.iter().map(name).collect()
    };
    for (name, file) in recordings() {
        let whole = lines(&replay(&file, Format::Json));
        let lacking = lines(&replay_changed(&file, Format::Json, cut));
        assert_eq!(types(&lacking), types(&whole), "{name}");
        let summary = lacking.last().expect("a summary");
        assert_eq!(summary["bad_records_count"], 0, "{name}");
        for (cut, whole) in lacking.iter().zip(&whole) {
            let (path, was) = (&cut["walk"]["path"], &whole["walk"]["path"]);
            // The root of a file system has no names, so nothing of it was cut.
            let is_said = *path == Value::Null && cut["degraded"] != json!([]);
            assert!(path == was || is_said, "{name}: {cut}");
        }
    }
}

fn lines(text: &str) -> Vec<Value> {
    let line = |line: &str| serde_json::from_str(line).expect("JSON");
    text.lines().map(line).collect()
}

#[test]
fn each_kernel_gets_the_plan_that_its_facts_allow() {
    for (name, file) in recordings() {
        // One recording a kernel: its facts are the same in all.
        let Some(name) = name.strip_suffix(" negative-flood") else {
            continue;
        };
        let bytes = fs::read(&file).expect("a recording");
        let (_, session) = Reader::open(bytes.as_slice()).expect("a recording");
        let plan = plan(&session.facts, &Wishes::default()).expect("a plan");
        insta::assert_json_snapshot!(format!("plan {name}"), plan);
    }
}
