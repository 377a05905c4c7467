//! Every recording of the corpus, made in a guest by a real kernel, judged again on the host.

mod corpus;

use std::fs;

use corpus::{corpus, recordings, replay};
use fslockup::{
    output::Format,
    plan::{Wishes, plan},
    recording::Reader,
};

#[test]
fn the_corpus_has_every_kernel_of_the_manifest() {
    let kernels = vmtest::kernels::Kernels::load(None).expect("the manifest");
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
        let facts: serde_json::Value =
            serde_json::from_slice(&fs::read(&path).expect("facts")).expect("JSON");
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
        let text = replay(&file, Format::Json);
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        insta::assert_json_snapshot!(format!("json {name}"), lines);
    }
}

#[test]
fn replaying_twice_gives_the_same() {
    for (_, file) in recordings() {
        assert_eq!(replay(&file, Format::Json), replay(&file, Format::Json));
    }
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
