//! Evidence made of the corpus: lines as a run would have left them, as they are or changed.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    io::Cursor,
    path::{Path, PathBuf},
};

use fslockup::{
    evidence::{
        history::{History, Keep, Now},
        reader,
    },
    output::{Format, html},
};
use serde_json::Value;

use crate::corpus::{corpus, replay};

/// The line of a run that started and never said goodbye.
const RUN: &str = r#"{"schema":"fslockup/1","type":"run","state":"started","at":"2026-11-23T12:00:00.000Z","host":"guest","kernel":"k","boot_id":"a","fslockup_version":"0","pid":1}"#;

pub fn recording(name: &str) -> PathBuf {
    corpus().join(name)
}

/// What `run` prints of a recording, and the history that its lines of walks and incidents are.
pub fn played(file: &Path) -> (String, String, History) {
    let [text, json] = [Format::Text, Format::Json].map(|format| replay(file, format));
    let kept: String = json
        .lines()
        .filter(|line| line.contains(r#""type":"walk""#) || line.contains(r#""type":"incident""#))
        .flat_map(|line| [line, "\n"])
        .collect();
    let history = read(&kept);
    (text, kept, history)
}

/// What a state directory with these lines of a run says.
fn read(lines: &str) -> History {
    let mut history = History::new(Keep::Latest(usize::MAX));
    let lines = format!("{RUN}\n{lines}");
    reader::read(&mut history, "file", Cursor::new(&lines)).expect("memory");
    history.finish()
}

/// The lines of this type that a recording leads to.
fn lines_of(name: &str, kind: &str) -> Vec<Value> {
    let (_, lines, _) = played(&recording(&format!("{name}.recording")));
    let values = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let found: Vec<_> = values.filter(|line| line["type"] == kind).collect();
    assert!(!found.is_empty(), "{name} has no {kind}");
    found
}

/// The incidents of a recording.
pub fn incidents(name: &str) -> Vec<Value> {
    lines_of(name, "incident")
}

/// The line about a walk that is seen running.
pub fn running_walk(name: &str) -> Value {
    let mut walks = lines_of(name, "walk");
    walks.retain(|walk| walk["state"] == "running");
    walks.remove(0)
}

/// What a state directory with these lines says; every line can be read.
pub fn history(lines: &[Value]) -> History {
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let history = read(&lines);
    assert!(history.unreadable.is_empty(), "{:?}", history.unreadable);
    history
}

/// The page about it.
pub fn page(history: &History) -> String {
    let mut to = Vec::new();
    html::page(&mut to, history, &Now::default()).expect("memory");
    String::from_utf8(to).expect("text")
}
