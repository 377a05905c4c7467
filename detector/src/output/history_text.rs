//! A state directory for people: its incidents in a table, its runs, and what can't be read.

use std::io::{self, Write};

use super::{
    duration,
    incident_text::{counted, incident},
    layout::{WIDTH, shorten},
    text::walk,
};
use crate::evidence::history::{History, Now, Row, Run, RunEnd};

/// Columns of a directory in the table: more than fit into [`WIDTH`], since it is what is looked for.
const PATH_WIDTH: usize = 60;
/// Runs without a goodbye that are told with what was running then.
const SUDDEN_MAX: usize = 5;

/// Writes the table and what there is to say besides.
///
/// # Errors
/// Those of the writer.
pub fn list(to: &mut impl Write, history: &History, now: &Now) -> io::Result<()> {
    if !history.rows.is_empty() {
        let head = format!(
            "{:<20}  {:<8}  {:>7}  {:>7}  {:>4}  {:<22}  DIRECTORY",
            "AT", "SEVERITY", "WALK", "DAMAGE", "CPUS", "ID"
        );
        writeln!(to, "{head}")?;
    }
    for row in &history.rows {
        writeln!(to, "{}", line(row))?;
    }
    runs(to, history, now)
}

/// Writes how the runs ended, and what is missing.
///
/// # Errors
/// Those of the writer.
pub fn runs(to: &mut impl Write, history: &History, now: &Now) -> io::Result<()> {
    let ends: Vec<_> = history.ends(now).collect();
    if let Some((run, end)) = ends.last() {
        told(to, "The last run", run, *end)?;
    }
    let sudden = ends.iter().rev().skip(1).filter(|(_, end)| end.is_sudden());
    for (run, end) in sudden.clone().take(SUDDEN_MAX) {
        told(to, "An earlier run", run, *end)?;
    }
    let more = sudden.count().saturating_sub(SUDDEN_MAX);
    if more > 0 {
        writeln!(to, "Earlier runs without a goodbye besides: {more}")?;
    }
    for ((file, reason), lines_count) in &history.unreadable {
        let lines = counted(*lines_count, "line");
        writeln!(to, "{file}: {lines} skipped: {reason}")?;
    }
    if history.lost_count > 0 {
        writeln!(
            to,
            "lines that the disk did not take, lost: {}",
            history.lost_count
        )?;
    }
    writeln!(
        to,
        "{} in {}",
        counted(history.rows.len(), "incident"),
        counted(history.runs.len(), "run")
    )
}

/// Writes the incidents that were kept, as `run` printed them.
///
/// # Errors
/// Those of the writer.
pub fn shown(to: &mut impl Write, history: &History, is_coloured: bool) -> io::Result<()> {
    for (found, _) in &history.incidents {
        incident(to, found, is_coloured)?;
    }
    Ok(())
}

fn line(row: &Row) -> String {
    let cpus = match row.cpus_blocked_max {
        0 => "-".to_owned(),
        count => count.to_string(),
    };
    let damage = match row.damage_ns {
        0 => "-".to_owned(),
        damage_ns => duration::text(damage_ns),
    };
    let start = format!(
        "{:<20}  {:<8}  {:>7}  {damage:>7}  {cpus:>4}  {:<22}  ",
        second(&row.at),
        row.severity,
        duration::text(row.walk_ns),
        shorten(&row.id, 40),
    );
    let path = row.path.as_deref().unwrap_or("a directory");
    format!("{start}{}", shorten(path, PATH_WIDTH))
}

/// Without the milliseconds.
fn second(at: &str) -> String {
    match at.split_once('.') {
        Some((second, _)) => format!("{second}Z"),
        None => shorten(at, 20),
    }
}

fn told(to: &mut impl Write, which: &str, run: &Run, end: RunEnd) -> io::Result<()> {
    let start = &run.start;
    let since = second(start.started_at.as_ref().unwrap_or(&start.at));
    let how = match end {
        RunEnd::Running => "goes on".to_owned(),
        RunEnd::Ended => run.end.as_ref().map_or_else(String::new, |end| {
            let reason = end.reason.as_deref().unwrap_or("ended");
            format!("ended in order at {} ({reason})", second(&end.at))
        }),
        RunEnd::HostWasReset => {
            "ended without a goodbye; after it the host was started anew".to_owned()
        }
        RunEnd::ProcessDied => {
            "ended without a goodbye; the host ran on, the process was killed or crashed".to_owned()
        }
        RunEnd::NoGoodbye => "ended without a goodbye".to_owned(),
    };
    let text = format!(
        "{which} (fslockup {} on {} {}, since {since}) {how}.",
        start.fslockup_version, start.host, start.kernel
    );
    for line in super::layout::wrap(&text, WIDTH, 4) {
        writeln!(to, "{line}")?;
    }
    if end.is_sudden() {
        if run.running.is_empty() {
            writeln!(to, "  No walk over the threshold was running then.")?;
        }
        for running in &run.running {
            writeln!(to, "  Running then:")?;
            let mut text = Vec::new();
            walk(&mut text, running)?;
            for line in String::from_utf8_lossy(&text).lines() {
                writeln!(to, "  {line}")?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
