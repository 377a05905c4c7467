//! Incidents as a page with a timeline each. It has no script and loads nothing: what is on it can be
//! read wherever the file is, and its own policy forbids everything else.
//!
//! Names in it are chosen by others. `escape.rs` made them harmless on a terminal, [`markup`] makes them
//! text here.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use super::{
    duration, history_text, incident_text,
    timeline::{Bar, Kind, Timeline},
};
use crate::{
    evidence::history::{History, Now},
    schema::incident::IncidentBody,
};

const STYLE: &str = include_str!("page.css");

/// Marks on a time axis, at most.
const MARKS_MAX: u64 = 8;
/// A mark this far to the right has no room for its text, in percent.
const LABEL_PERCENT: f64 = 93.0;

/// Writes the page.
///
/// # Errors
/// Those of the writer.
pub fn page(to: &mut impl Write, history: &History, now: &Now) -> io::Result<()> {
    write!(
        to,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>fslockup: incidents</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<h1>Incidents</h1>\n"
    )?;
    let shown = history.incidents.len();
    if shown < history.rows.len() {
        writeln!(
            to,
            "<p>{shown} of {} are on this page (fslockup report --id).</p>",
            history.rows.len()
        )?;
    }
    if !history.incidents.is_empty() {
        table(to, history)?;
    }
    runs(to, history, now)?;
    if !history.incidents.is_empty() {
        legend(to)?;
    }
    for (number, (incident, _)) in history.incidents.iter().rev().enumerate() {
        section(to, number, incident)?;
    }
    writeln!(to, "</body>\n</html>")
}

fn table(to: &mut impl Write, history: &History) -> io::Result<()> {
    writeln!(
        to,
        "<div class=\"table\"><table>\n<tr><th>at</th><th>severity</th><th>walk</th><th>CPUs</th>\
         <th>host</th><th>directory</th></tr>"
    )?;
    for (number, (incident, _)) in history.incidents.iter().rev().enumerate() {
        let walk = &incident.walk.walk;
        writeln!(
            to,
            "<tr class=\"{}\"><td><a href=\"#i{number}\">{}</a></td><td>{}</td><td>{}</td>\
             <td>{}</td><td>{}</td><td>{}</td></tr>",
            incident.severity.name(),
            markup(&incident.at),
            incident.severity.name(),
            duration::text(walk.walk_ns),
            incident.impact.cpus_blocked_max,
            name(&incident.host),
            name(walk.path.as_deref().unwrap_or("a directory")),
        )?;
    }
    writeln!(to, "</table></div>")
}

/// How the runs ended; marked where a walk was running at an end without a goodbye.
fn runs(to: &mut impl Write, history: &History, now: &Now) -> io::Result<()> {
    let mut text = Vec::new();
    history_text::runs(&mut text, history, now)?;
    let is_cut_short = history
        .ends(now)
        .last()
        .is_some_and(|(run, end)| end.is_sudden() && !run.running.is_empty());
    let class = if is_cut_short { "runs sudden" } else { "runs" };
    writeln!(
        to,
        "<pre class=\"{class}\">{}</pre>",
        markup(&String::from_utf8_lossy(&text))
    )
}

fn legend(to: &mut impl Write) -> io::Result<()> {
    writeln!(
        to,
        "<p class=\"legend\"><span><i class=\"walk\"></i>walk</span> \
         <span><i class=\"wait\"></i>wait for its locks, spinning</span> \
         <span><i class=\"sleeping\"></i>wait, sleeping</span> \
         <span><i class=\"stall\"></i>task kept from running</span></p>\n\
         <p>Details of a bar are shown when it is pointed at, or reached with the Tab key.</p>"
    )
}

/// An incident is named by its number on the page: its own name could be anybody's.
fn section(to: &mut impl Write, number: usize, incident: &IncidentBody) -> io::Result<()> {
    let walk = &incident.walk.walk;
    writeln!(
        to,
        "<section id=\"i{number}\" class=\"{}\">\n<h2>{}: walk of {} for {}</h2>\n\
         <p>{} on {}, kernel {}, {}</p>",
        incident.severity.name(),
        incident.severity.name(),
        name(walk.path.as_deref().unwrap_or("a directory")),
        duration::text(walk.walk_ns),
        markup(&incident.at),
        name(&incident.host),
        name(&incident.kernel),
        name(&incident.id),
    )?;
    let timeline = Timeline::of(incident);
    writeln!(to, "<div class=\"timeline\">")?;
    axis(to, &timeline, walk.start_ns)?;
    for lane in &timeline.lanes {
        writeln!(
            to,
            "<div class=\"lane\"><div class=\"cpu\">CPU {}</div><div class=\"rows\">",
            lane.cpu
        )?;
        for row in &lane.rows {
            let class = if row.is_stalls { "row stalls" } else { "row" };
            write!(to, "<div class=\"{class}\">")?;
            for entry in &row.bars {
                bar(to, &timeline, walk.start_ns, entry)?;
            }
            writeln!(to, "</div>")?;
        }
        writeln!(to, "</div></div>")?;
    }
    writeln!(to, "</div>")?;
    let omitted_count = incident.waiters_omitted_count + incident.stalls_omitted_count;
    if omitted_count > 0 {
        writeln!(
            to,
            "<p>{omitted_count} shorter waits and stalls are left out.</p>"
        )?;
    }
    let mut text = Vec::new();
    incident_text::incident(&mut text, incident, false)?;
    writeln!(
        to,
        "<pre>{}</pre>\n</section>",
        markup(&String::from_utf8_lossy(&text))
    )
}

/// Marks at round times, in milliseconds from the walk's start, and a line at each through all lanes.
fn axis(to: &mut impl Write, timeline: &Timeline, zero_ns: u64) -> io::Result<()> {
    let step_ns = step_ns(timeline.length_ns());
    let before = zero_ns.saturating_sub(timeline.start_ns) / step_ns;
    let first_ns = zero_ns.saturating_sub(before.saturating_mul(step_ns));
    let marks = || {
        std::iter::successors(Some(first_ns), |at_ns| at_ns.checked_add(step_ns))
            .take_while(|at_ns| *at_ns <= timeline.end_ns)
            .map(|at_ns| (at_ns, percent(timeline, at_ns)))
    };
    write!(to, "<div class=\"grid\">")?;
    for (_, left) in marks() {
        write!(to, "<i style=\"left:{left:.3}%\"></i>")?;
    }
    write!(
        to,
        "</div>\n<div class=\"lane axis\"><div class=\"cpu\">ms</div><div class=\"rows\">"
    )?;
    for (at_ns, left) in marks().filter(|(_, left)| *left < LABEL_PERCENT) {
        let text = milliseconds(i128::from(at_ns) - i128::from(zero_ns));
        write!(to, "<span style=\"left:{left:.3}%\">{text}</span>")?;
    }
    writeln!(to, "</div></div>")
}

/// The shortest figure that is exact.
#[expect(
    clippy::cast_precision_loss,
    reason = "a mark has one digit that counts"
)]
fn milliseconds(ns: i128) -> String {
    (ns as f64 / 1e6).to_string()
}

/// 1, 2 or 5 times a power of ten.
fn step_ns(length_ns: u64) -> u64 {
    let least_ns = length_ns / MARKS_MAX + 1;
    let mut power: u64 = 1;
    loop {
        for factor in [1, 2, 5] {
            let step_ns = power.saturating_mul(factor);
            if step_ns >= least_ns {
                return step_ns;
            }
        }
        power = power.saturating_mul(10);
    }
}

/// The details of a bar are on the page all the time, for those who have it read to them; `page.css`
/// shows those of the bar that is pointed at or has the focus. A bar too short to be seen stays inside.
fn bar(to: &mut impl Write, timeline: &Timeline, zero_ns: u64, bar: &Bar) -> io::Result<()> {
    let class = match bar.kind {
        Kind::Walk => "walk",
        Kind::Wait => "wait",
        Kind::SleepingWait => "sleeping",
        Kind::Stall => "stall",
    };
    let left = percent(timeline, bar.start_ns);
    let width = percent(timeline, bar.end_ns()) - left;
    let start = if bar.start_ns < zero_ns {
        format!("{} before the walk", duration::text(zero_ns - bar.start_ns))
    } else {
        format!("{} into the walk", duration::text(bar.start_ns - zero_ns))
    };
    let mut details = format!("<b>{}</b><br>begins: {start}", name(&bar.name));
    for (word, text) in &bar.details {
        let _ = write!(details, "<br>{word}: {}", name(text));
    }
    write!(
        to,
        "<div class=\"bar {class}\" role=\"note\" tabindex=\"0\" \
         style=\"left:min({left:.3}%,100% - 2px);width:{width:.3}%\">\
         <span class=\"name\" aria-hidden=\"true\">{}</span>\
         <span class=\"details\">{details}</span></div>",
        markup(&bar.name)
    )
}

/// Where a time is on the axis.
#[expect(clippy::cast_precision_loss, reason = "a place on a screen")]
fn percent(timeline: &Timeline, at_ns: u64) -> f64 {
    let whole_ns = timeline.length_ns().max(1);
    at_ns.saturating_sub(timeline.start_ns) as f64 / whole_ns as f64 * 100.0
}

/// Text that somebody chose: the direction in which it is written ends with it.
fn name(text: &str) -> String {
    format!("<bdi>{}</bdi>", markup(text))
}

/// The text, and nothing but text, between tags or in quotes.
fn markup(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(character),
        }
    }
    safe
}

#[cfg(test)]
mod tests;
