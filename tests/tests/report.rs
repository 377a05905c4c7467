//! Evidence made of the corpus: each recording's lines as a run would have left them, read back and shown.

mod corpus;
mod evidence;

use std::path::PathBuf;

use evidence::{played, recording};
use fslockup::{
    evidence::history::{Now, RunEnd},
    output::{history_json, history_text, html, perfetto},
};

/// The files, of which there are many.
fn recordings() -> Vec<PathBuf> {
    let found: Vec<_> = corpus::recordings()
        .into_iter()
        .map(|(_, file)| file)
        .collect();
    assert!(found.len() > 30, "{}", found.len());
    found
}

fn rendered(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut to = Vec::new();
    write(&mut to).expect("memory");
    String::from_utf8(to).expect("text")
}

#[test]
fn every_incident_comes_back_as_it_was_printed() {
    let mut count = 0;
    for file in recordings() {
        let (text, lines, history) = played(&file);
        assert!(history.unreadable.is_empty(), "{:?}", history.unreadable);
        let json = rendered(|to| history_json::incidents(to, &history));
        for line in json.lines() {
            assert!(lines.contains(line), "{line}");
        }
        let shown = rendered(|to| history_text::shown(to, &history, false));
        // Between the incidents `run` printed the walks.
        for block in shown.split_inclusive('\n') {
            assert!(text.contains(block), "{}: {block}", file.display());
        }
        count += history.rows.len();
        assert_eq!(json.lines().count(), history.rows.len());
    }
    assert!(count > 50, "{count}");
}

#[test]
fn no_walk_of_the_corpus_is_left_running() {
    for file in recordings() {
        let (_, _, history) = played(&file);
        let ends: Vec<_> = history.ends(&Now::default()).map(|(_, end)| end).collect();
        assert_eq!(ends, [RunEnd::NoGoodbye]);
        assert_eq!(history.runs[0].running.len(), 0, "{}", file.display());
    }
}

#[test]
fn a_real_incident_in_every_form() {
    let file = recording("6.1/stall.recording");
    let (_, _, history) = played(&file);
    let now = Now::default();
    let list = rendered(|to| history_text::list(to, &history, &now));
    let page = rendered(|to| html::page(to, &history, &now));
    let (_, body) = page.split_once("</style>").expect("a page");
    let incidents = || history.incidents.iter().map(|(incident, _)| incident);
    let trace = rendered(|to| perfetto::trace(to, incidents()));
    let trace: serde_json::Value = serde_json::from_str(&trace).expect("JSON");
    corpus::beside(&file, |name| {
        insta::assert_snapshot!(format!("{name}.list"), list);
        insta::assert_snapshot!(format!("{name}.page"), body);
        insta::assert_json_snapshot!(format!("{name}.perfetto"), trace);
    });
}
