//! A state directory for programs: the lines of its incidents, then one about its runs.

use std::io::{self, Write};

use serde::Serialize;

use crate::{
    escape::escape_rest,
    evidence::{
        history::{History, Now, RunEnd},
        line::RunBody,
    },
    schema::{self, walk::WalkBody},
};

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Body<'a> {
    Incident(&'a schema::incident::IncidentBody),
    History(HistoryBody<'a>),
}

/// Body of `history`.
#[derive(Serialize)]
struct HistoryBody<'a> {
    incidents_count: usize,
    runs: Vec<Run<'a>>,
    unreadable: Vec<Unreadable<'a>>,
    lost_count: u64,
}

#[derive(Serialize)]
struct Run<'a> {
    end: RunEnd,
    started: &'a RunBody,
    ended: Option<&'a RunBody>,
    incidents_count: u64,
    /// Walks whose end was never told.
    running: &'a [WalkBody],
}

#[derive(Serialize)]
struct Unreadable<'a> {
    file: &'a str,
    reason: String,
    lines_count: u64,
}

/// Writes the incidents that were kept, each as the line that it is in its file.
///
/// # Errors
/// Those of the writer.
pub fn incidents(to: &mut impl Write, history: &History) -> io::Result<()> {
    for (incident, line) in &history.incidents {
        let is_harmless = std::str::from_utf8(line).is_ok_and(|text| escape_rest(text) == text);
        if is_harmless {
            to.write_all(line)?;
            to.write_all(b"\n")?;
        } else {
            schema::line(to, &Body::Incident(incident))?;
        }
    }
    Ok(())
}

/// Writes the line about the runs.
///
/// # Errors
/// Those of the writer.
pub fn history(to: &mut impl Write, history: &History, now: &Now) -> io::Result<()> {
    let runs = history.ends(now).map(|(run, end)| Run {
        end,
        started: &run.start,
        ended: run.end.as_ref(),
        incidents_count: run.incidents_count,
        running: &run.running,
    });
    let unreadable = history
        .unreadable
        .iter()
        .map(|((file, reason), lines_count)| Unreadable {
            file,
            reason: reason.to_string(),
            lines_count: *lines_count,
        });
    schema::line(
        to,
        &Body::History(HistoryBody {
            incidents_count: history.rows.len(),
            runs: runs.collect(),
            unreadable: unreadable.collect(),
            lost_count: history.lost_count,
        }),
    )
}
