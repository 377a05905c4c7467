//! The list of fields against facts of real kernels, and against the probe table.

use std::{collections::BTreeSet, fs::File, path::Path};

use super::*;
use crate::{
    facts::tests::facts_with,
    probes::{PROBES, TRACE_PROBES},
    recording::Reader,
};

/// Facts of every kernel in the corpus.
fn facts_of_the_corpus() -> Vec<(String, Facts)> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus");
    corpus
        .read_dir()
        .expect("the corpus")
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| entry.path().is_dir())
        .map(|kernel| {
            let recording = File::open(kernel.path().join("origin.recording")).expect("opened");
            let (_, session) = Reader::open(recording).expect("a recording");
            let name = kernel.file_name().to_string_lossy().into_owned();
            (name, session.facts)
        })
        .collect()
}

#[test]
fn every_field_has_a_name_and_a_place_of_its_own() {
    let names: BTreeSet<_> = FIELDS.iter().map(|field| field.name).collect();
    assert_eq!(names.len(), FIELDS.len());
    let facts = Facts {
        offsets: (100..)
            .zip(FIELDS)
            .map(|(offset, field)| (field.name.to_owned(), offset))
            .collect(),
        ..facts_with(&[])
    };
    let mut offsets = to_offsets(&facts);
    for (offset, field) in (100..).zip(FIELDS) {
        assert_eq!(*(field.place)(&mut offsets), offset, "{}", field.name);
    }
    assert!(missing(&facts).is_empty());
    assert_eq!(missing(&facts_with(&[])).len(), FIELDS.len());
}

/// Fields in the recordings of the corpus. One that is read since then is in none of them.
const RECORDED_COUNT: usize = 38;

#[test]
fn every_name_that_a_recording_has_is_in_the_list() {
    let known: BTreeSet<_> = FIELDS.iter().map(|field| field.name).collect();
    let corpus = facts_of_the_corpus();
    assert!(corpus.len() >= 9, "{}", corpus.len());
    for (kernel, facts) in corpus {
        let others = [PT_REGS_BYTES, NO_CHILD];
        let mut names = facts.offsets.keys().map(String::as_str);
        let unknown = names.find(|name| !known.contains(name) && !others.contains(name));
        assert_eq!(unknown, None, "{kernel}");
        let found_count = FIELDS.len() - missing(&facts).len();
        assert!(found_count >= RECORDED_COUNT, "{kernel}: {found_count}");
    }
}

#[test]
fn what_probes_need_is_in_the_list() {
    let mut needed_count = 0;
    for probe in PROBES.iter().chain(TRACE_PROBES) {
        for needed in probe.fields {
            assert!(
                FIELDS.iter().any(|field| field.name == *needed),
                "{}: {needed}",
                probe.name
            );
            needed_count += 1;
        }
    }
    assert!(needed_count > 0);
}
