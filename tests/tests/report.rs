//! Evidence made of the corpus: each recording's lines as a run would have left them, read back and shown.

use std::{
    fs,
    io::Cursor,
    path::{Path, PathBuf},
};

use fslockup::{
    evidence::{
        history::{History, Keep, Now, RunEnd},
        reader,
    },
    output::{Format, Printer, history_json, history_text, html, perfetto},
    pipeline::Pipeline,
    recording::Reader,
};

fn recordings() -> Vec<PathBuf> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut found = Vec::new();
    for kernel in fs::read_dir(corpus).expect("the corpus") {
        for file in fs::read_dir(kernel.expect("a kernel").path()).expect("a folder") {
            let file = file.expect("a file").path();
            if file.extension().is_some_and(|end| end == "recording") {
                found.push(file);
            }
        }
    }
    found.sort();
    assert!(found.len() > 30, "{}", found.len());
    found
}

fn recording(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name)
}

/// What `run` prints of a recording, and the history that its lines of walks and incidents are.
fn played(file: &Path) -> (String, String, History) {
    let mut printed = [Format::Text, Format::Json].map(|format| {
        let bytes = fs::read(file).expect("a recording");
        let (mut reader, session) = Reader::open(bytes.as_slice()).expect("a recording");
        let mut output = Vec::new();
        let mut printer = Printer::start(&mut output, format, &session).expect("printed");
        let mut pipeline = Pipeline::new(session);
        while let Some(input) = reader.read().expect("whole") {
            for finding in pipeline.feed(&input) {
                printer.print(&finding).expect("printed");
            }
        }
        drop(printer);
        String::from_utf8(output).expect("text")
    });
    let [text, json] = &mut printed;
    let kept: String = json
        .lines()
        .filter(|line| line.contains(r#""type":"walk""#) || line.contains(r#""type":"incident""#))
        .flat_map(|line| [line, "\n"])
        .collect();
    let run = r#"{"schema":"fslockup/1","type":"run","state":"started","at":"2026-11-23T12:00:00.000Z","host":"guest","kernel":"k","boot_id":"a","fslockup_version":"0","pid":1}"#;
    let lines = format!("{run}\n{kept}");
    let mut history = History::new(Keep::Latest(usize::MAX));
    reader::read(&mut history, "file", Cursor::new(&lines)).expect("memory");
    (std::mem::take(text), kept, history.finish())
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
    let (_, _, history) = played(&recording("6.1/stall.recording"));
    let now = Now::default();
    insta::assert_snapshot!(
        "list 6.1 stall",
        rendered(|to| history_text::list(to, &history, &now))
    );
    let page = rendered(|to| html::page(to, &history, &now));
    let (_, body) = page.split_once("</style>").expect("a page");
    insta::assert_snapshot!("page 6.1 stall", body);
    let incidents = || history.incidents.iter().map(|(incident, _)| incident);
    let trace = rendered(|to| perfetto::trace(to, incidents()));
    let trace: serde_json::Value = serde_json::from_str(&trace).expect("JSON");
    insta::assert_json_snapshot!("perfetto 6.1 stall", trace);
}
