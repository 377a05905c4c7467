//! One line of evidence: made by this version, or read back, whoever wrote it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    escape::escape_rest,
    schema::{self, incident::IncidentBody, walk::WalkBody},
};

/// Longest line that is looked at, in bytes: an incident with full lists has some 50 KiB.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Everything is attached.
    Started,
    /// The first line of a later file: the run's start may be in a file that is gone.
    Continued,
    /// The goodbye.
    Ended,
}

/// Body of `run`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunBody {
    /// Which of its lines this is.
    pub state: RunState,
    /// When it was written. RFC 3339 in UTC.
    pub at: String,
    /// Only of a continued run: when it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// The host's name.
    pub host: String,
    /// The kernel's release.
    pub kernel: String,
    /// The kernel's random name of this boot (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: Option<String>,
    /// Version of the `fslockup` that runs.
    pub fslockup_version: String,
    /// Its process id.
    pub pid: u32,
    /// Only of a run that ended: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Body of `loss`: lines that could not be written, told when writing worked again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossBody {
    /// When writing worked again. RFC 3339 in UTC.
    pub at: String,
    /// Lines lost since the loss told before.
    pub lost_count: u64,
}

/// What only stands in a state directory.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Own<'a> {
    Run(&'a RunBody),
    Loss(&'a LossBody),
}

/// What a line says.
#[derive(Clone, Debug)]
pub enum Line {
    /// A run started, goes on, or ended.
    Run(RunBody),
    /// A walk that ran over the threshold, or its end.
    Walk(Box<WalkBody>),
    /// An incident.
    Incident(Box<IncidentBody>),
    /// Lines that are not here.
    Loss(LossBody),
}

/// Why a line says nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Unreadable {
    /// Cut by a crash, or damaged.
    #[error("torn")]
    Torn,
    /// Longer than [`LINE_BYTES_MAX`].
    #[error("longer than {} KiB", LINE_BYTES_MAX >> 10)]
    Long,
    /// Another version's.
    #[error("of schema {0}, which this fslockup doesn't know")]
    Schema(String),
    /// A type that this version doesn't keep.
    #[error("of type {0}, which this fslockup doesn't know")]
    Type(String),
    /// A field is missing or is something else.
    #[error("not understood: {0}")]
    Field(String),
    /// The system refused it, and all behind it.
    #[error("it and what follows: {0}")]
    File(String),
}

/// A run's line, with its end of line.
#[must_use]
pub fn run(body: &RunBody) -> Vec<u8> {
    own(&Own::Run(body))
}

/// A line about lost lines, with its end of line.
#[must_use]
pub fn loss(body: &LossBody) -> Vec<u8> {
    own(&Own::Loss(body))
}

fn own(body: &Own) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Strings and numbers into memory: there is nothing that could fail.
    let _ = schema::line(&mut bytes, body);
    bytes
}

/// Reads a line. All text in it is harmless on a terminal afterwards, whoever wrote the file.
///
/// # Errors
/// When it is cut, damaged, or not for this version.
pub fn read(bytes: &[u8]) -> Result<Line, Unreadable> {
    if bytes.len() > LINE_BYTES_MAX {
        return Err(Unreadable::Long);
    }
    let mut value: Value = serde_json::from_slice(bytes).map_err(|_| Unreadable::Torn)?;
    make_harmless(&mut value);
    let word = |name: &str| value[name].as_str().map(str::to_owned);
    match word("schema") {
        Some(schema) if schema == schema::SCHEMA => {}
        Some(schema) => return Err(Unreadable::Schema(shortened(schema))),
        None => return Err(Unreadable::Torn),
    }
    match word("type").unwrap_or_default().as_str() {
        "run" => body(value).map(Line::Run),
        "walk" => body(value).map(Line::Walk),
        "incident" => body(value).map(Line::Incident),
        "loss" => body(value).map(Line::Loss),
        other => Err(Unreadable::Type(shortened(other.to_owned()))),
    }
}

fn body<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Unreadable> {
    serde_json::from_value(value).map_err(|error| Unreadable::Field(escape_rest(error.to_string())))
}

/// Enough to recognize it by.
fn shortened(text: String) -> String {
    text.chars().take(40).collect()
}

fn make_harmless(value: &mut Value) {
    match value {
        Value::String(text) => *text = escape_rest(&*text),
        Value::Array(values) => values.iter_mut().for_each(make_harmless),
        Value::Object(values) => values.values_mut().for_each(make_harmless),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A run's line of one boot.
    pub fn run_body(state: RunState, boot_id: &str) -> RunBody {
        RunBody {
            state,
            at: "2026-11-23T12:00:00.000Z".to_owned(),
            started_at: None,
            host: "host".to_owned(),
            kernel: "6.1.0".to_owned(),
            boot_id: Some(boot_id.to_owned()),
            fslockup_version: "0".to_owned(),
            pid: 7,
            reason: (state == RunState::Ended).then(|| "stopped".to_owned()),
        }
    }

    #[test]
    fn own_lines_come_back() {
        for state in [RunState::Started, RunState::Continued, RunState::Ended] {
            let body = run_body(state, "a");
            match read(&run(&body)) {
                Ok(Line::Run(found)) => assert_eq!(found, body),
                other => panic!("{other:?}"),
            }
        }
        let body = LossBody {
            at: "2026-11-23T12:00:00.000Z".to_owned(),
            lost_count: 3,
        };
        assert!(matches!(read(&loss(&body)), Ok(Line::Loss(found)) if found == body));
    }

    #[test]
    fn a_line_cut_anywhere_is_torn() {
        let line = run(&run_body(RunState::Started, "a"));
        let whole = line.trim_ascii_end();
        for end in 0..whole.len() {
            assert_eq!(read(&whole[..end]).map(drop).err(), Some(Unreadable::Torn));
        }
        assert!(read(whole).is_ok());
    }

    #[test]
    fn what_others_wrote_is_named_and_skipped() {
        let cases: [(&[u8], Unreadable); 6] = [
            (
                br#"{"schema":"fslockup/9","type":"run"}"#,
                Unreadable::Schema("fslockup/9".to_owned()),
            ),
            (
                br#"{"schema":"fslockup/1","type":"dream"}"#,
                Unreadable::Type("dream".to_owned()),
            ),
            (
                br#"{"schema":"fslockup/1"}"#,
                Unreadable::Type(String::new()),
            ),
            (br#"{"a":1}"#, Unreadable::Torn),
            (b"\0\0\0\0", Unreadable::Torn),
            (b"[1", Unreadable::Torn),
        ];
        for (bytes, expected) in cases {
            assert_eq!(read(bytes).map(drop).err(), Some(expected));
        }
        let missing = read(br#"{"schema":"fslockup/1","type":"incident","id":3}"#);
        assert!(matches!(missing, Err(Unreadable::Field(_))), "{missing:?}");
        let long = vec![b' '; LINE_BYTES_MAX + 1];
        assert_eq!(read(&long).map(drop).err(), Some(Unreadable::Long));
    }

    #[test]
    fn a_tampered_file_does_not_reach_the_terminal() {
        let mut body = run_body(RunState::Started, "a");
        body.host = "a\x1b[2J\u{202e}b".to_owned();
        match read(&run(&body)) {
            Ok(Line::Run(found)) => assert_eq!(found.host, "a\\x1b[2J\\u{202e}b"),
            other => panic!("{other:?}"),
        }
    }
}
