//! Every recording of the corpus, made in a guest by a real kernel, judged again on the host.

mod corpus;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use corpus::{beside, corpus, kernels, recordings, replay, replay_changed};
use fslockup::{
    event,
    facts::Answer,
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
    for kernel in kernels() {
        let path = kernel.join("facts.json");
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
    for (_, file) in recordings() {
        beside(&file, |name| {
            insta::assert_snapshot!(format!("{name}.text"), replay(&file, Format::Text));
        });
    }
}

/// The kernels whose JSON is kept, one for each scenario: `rt` is recorded under PREEMPT_RT alone. What those of the other
/// kernels have in common with it is in `all_kernels_have_the_same_keys`, and the values are in their text.
fn has_json(file: &Path) -> bool {
    file.ends_with("6.12-rt/rt.recording")
        || file.parent().is_some_and(|folder| folder.ends_with("6.12"))
}

#[test]
fn recordings_replay_to_the_same_json() {
    let kept = recordings().into_iter().filter(|(_, file)| has_json(file));
    for (_, file) in kept {
        let lines = lines(&replay(&file, Format::Json));
        beside(&file, |name| {
            insta::assert_json_snapshot!(format!("{name}.json"), lines);
        });
    }
}

/// Keys that are there only where they apply: a running walk's waiters, a count that is an estimate.
const SOMETIMES: [&str; 2] = ["waiters", "is_estimated"];

/// The keys of each object in a line, by where it stands in it.
type Keys = BTreeMap<String, BTreeSet<String>>;

fn add_keys(value: &Value, place: &str, keys: &mut Keys) {
    match value {
        Value::Object(object) => {
            let own = object
                .keys()
                .filter(|key| !SOMETIMES.contains(&key.as_str()));
            let known = keys.entry(place.to_owned()).or_default();
            known.extend(own.cloned());
            for (key, value) in object {
                add_keys(value, &format!("{place}.{key}"), keys);
            }
        }
        Value::Array(values) => {
            for value in values {
                add_keys(value, &format!("{place}[]"), keys);
            }
        }
        _ => {}
    }
}

#[test]
fn all_kernels_have_the_same_keys() {
    // What the facts hold is the kernel's: names of its functions, sysctls that it has.
    let keys_of = |file: &Path| {
        let mut keys = Keys::new();
        for line in lines(&replay(file, Format::Json)) {
            let kind = line["type"].as_str().expect("a type").to_owned();
            if kind != "facts" {
                add_keys(&line, &kind, &mut keys);
            }
        }
        keys
    };
    let mut expected: BTreeMap<_, Keys> = BTreeMap::new();
    let mut compared_count = 0;
    let (kept, others): (Vec<_>, Vec<_>) = recordings()
        .into_iter()
        .partition(|(_, file)| has_json(file));
    for (_, file) in kept {
        expected.insert(file.file_name().expect("a name").to_owned(), keys_of(&file));
    }
    for (name, file) in others {
        let expected = &expected[file.file_name().expect("a name")];
        for (place, keys) in keys_of(&file) {
            // An array may be empty on one kernel and not on another: stalls are.
            if let Some(expected) = expected.get(&place) {
                assert_eq!(keys, *expected, "{name}: {place}");
                compared_count += 1;
            }
        }
    }
    assert!(compared_count > 300, "{compared_count} objects");
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
        // Behind what this version writes, of which the corpus may lack the last fields: no record has grown by more.
        let padded = |record: &mut Vec<u8>| {
            record.extend([0; 64]);
            record.extend([0xa5; 24]);
        };
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
        if !name.ends_with(" negative-flood") {
            continue;
        }
        let bytes = fs::read(&file).expect("a recording");
        let (_, mut session) = Reader::open(bytes.as_slice()).expect("a recording");
        // Nothing asked for it when these were recorded; of the kernels of the list no ring buffer's lock sleeps.
        if matches!(session.facts.ring_lock_sleeps, Answer::Unknown(_)) {
            session.facts.ring_lock_sleeps = Answer::No;
        }
        let plan = plan(&session.facts, &Wishes::default()).expect("a plan");
        beside(&file, |_| insta::assert_json_snapshot!("plan", plan));
    }
}
