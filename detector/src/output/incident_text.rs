//! An incident for an engineer at three in the morning: one block, what happened first, what to
//! do last; fewer than 40 lines of at most 100 columns, whatever the names in it.

use std::{
    fmt,
    io::{self, Write},
};

use anstyle::{AnsiColor, Style};

use super::{
    duration,
    layout::{WIDTH, columns, shorten, styled, wrap},
    origin,
};
use crate::{
    model::{HoldEnd, Lock, Severity},
    schema::incident::{IncidentBody, Section, StallBody, WaiterBody},
};

/// Entries shown of each list.
const SHOWN_MAX: usize = 3;
/// Columns before the text of a section.
const INDENT: usize = 13;
/// Columns of the text of a section.
const TEXT_WIDTH: usize = WIDTH - INDENT;
/// Columns of a name that somebody chose.
const NAME_WIDTH: usize = 40;
/// Columns of a file system type: real ones are shorter.
const FSTYPE_WIDTH: usize = 12;
/// Functions shown of a stack.
const FRAMES_MAX: usize = 4;

/// Writes the block.
pub fn incident(to: &mut impl Write, found: &IncidentBody, is_coloured: bool) -> io::Result<()> {
    headline(to, found, is_coloured)?;
    let sections = [
        ("cause", cause(found)),
        ("mechanism", mechanism(found)),
        ("damage", damage(found)),
        ("origin", origin(found)),
        ("kernel", kernel_reports(found)),
        ("to do", bounded(&found.advice, 7, 3)),
        ("not known", bounded(&found.degraded, 4, 2)),
    ];
    for (name, lines) in sections {
        for (number, line) in lines.iter().enumerate() {
            let label = if number == 0 { name } else { "" };
            // Two columns in front, and the label's own up to the text.
            let label = styled(&format!("{label:<11}"), Style::new().bold(), is_coloured);
            writeln!(to, "{}", format!("  {label}{line}").trim_end())?;
        }
    }
    if found.lost_count > 0 {
        writeln!(
            to,
            "  {:<11}{} records since the incident before: there may be more to it",
            "lost", found.lost_count
        )?;
    }
    Ok(())
}

fn headline(to: &mut impl Write, found: &IncidentBody, is_coloured: bool) -> io::Result<()> {
    let colour = match found.severity {
        Severity::Info => AnsiColor::Cyan,
        Severity::Warning => AnsiColor::Yellow,
        Severity::Critical => AnsiColor::Red,
    };
    let severity = found.severity.name().to_uppercase();
    let start = format!("{severity}  {}  ", found.at);
    let length = duration::text(found.walk.walk.walk_ns);
    let comm = name(&found.walk.walk.comm);
    let before = match found.impact.cpus_blocked_max {
        0 => format!("{comm} walked for {length}: "),
        1 => format!("{comm} froze 1 CPU for {length}: "),
        count => format!("{comm} froze up to {count} CPUs for {length}: "),
    };
    let room = WIDTH.saturating_sub(columns(&start) + columns(&before));
    let path = shorten(&path(found), room.max(NAME_WIDTH / 2));
    let text = shorten(&format!("{before}{path}"), WIDTH - columns(&start));
    let style = Style::new().bold().fg_color(Some(colour.into()));
    writeln!(
        to,
        "{}  {}  {}",
        styled(&severity, style, is_coloured),
        found.at,
        styled(text.trim_end(), Style::new().bold(), is_coloured)
    )
}

fn cause(found: &IncidentBody) -> Vec<String> {
    let walk = &found.walk.walk;
    let who = format!("{} (pid {}, tid {})", name(&walk.comm), walk.pid, walk.tid);
    let mut lines = match &found.walk.mask {
        Some(mask) => {
            let argument = found
                .walk
                .argument
                .as_deref()
                .map(|path| format!("\"{}\"", shorten(path, NAME_WIDTH)));
            let call = trigger(found);
            let mut lines = wrap(
                &format!("{who} called {call}({})", argument.unwrap_or_default()),
                TEXT_WIDTH,
                2,
            );
            let mask = mask.replace('|', " | ");
            lines.extend(wrap(&format!("with mask {mask}"), TEXT_WIDTH, 2));
            lines
        }
        None => wrap(&format!("{who} in {}", trigger(found)), TEXT_WIDTH, 2),
    };
    let fstype = shorten(&walk.fstype, FSTYPE_WIDTH);
    let place = format!(" ({fstype}, device {}, inode {})", walk.dev, walk.ino);
    let room = TEXT_WIDTH.saturating_sub("directory ".len() + columns(&place));
    lines.push(format!("directory {}{place}", shorten(&path(found), room)));
    lines
}

fn mechanism(found: &IncidentBody) -> Vec<String> {
    let function = found.walk.walk.function.as_deref();
    let mut text = format!(
        "{} walked all its cached children for {} on CPU {}",
        shorten(function.unwrap_or("the kernel"), NAME_WIDTH),
        duration::text(found.walk.walk.walk_ns),
        found.walk.walk.cpu,
    );
    if found.walk.walk.scheduled_out_ns > 0 {
        let away = duration::text(found.walk.walk.scheduled_out_ns);
        text.push_str(&format!(", and had no CPU for {away} before or after"));
    }
    if let Some(syscall_ns) = found.walk.syscall_ns {
        let whole = duration::text(syscall_ns);
        text.push_str(&format!("; the system call took {whole}"));
    }
    let mut lines = wrap(&text, TEXT_WIDTH, 2);
    let tid = found.walk.walk.tid;
    let (own, queued): (Vec<_>, Vec<_>) = found.holds.iter().partition(|hold| hold.tid == tid);
    let own: Vec<_> = own
        .iter()
        .map(|hold| {
            let how = match hold.end {
                HoldEnd::Derived => "",
                HoldEnd::Released => " (release seen)",
            };
            let length = duration::text(hold.hold_ns);
            format!("{} for {length}{how}", hold.lock.name())
        })
        .collect();
    if !own.is_empty() {
        let mut text = format!("holding {}", own.join(", "));
        if found.walk.wait_ns > 0 {
            let wait = duration::text(found.walk.wait_ns);
            text = format!("first waiting {wait} for its locks itself, then {text}");
        }
        lines.extend(wrap(&text, TEXT_WIDTH, 2));
    }
    // They are sorted: the longest.
    for hold in queued.iter().take(1) {
        let text = format!(
            "then {} (tid {}) held {} for {} while others queued",
            name(&hold.comm),
            hold.tid,
            hold.lock.name(),
            duration::text(hold.hold_ns),
        );
        lines.push(shorten(&text, TEXT_WIDTH));
    }
    lines
}

fn damage(found: &IncidentBody) -> Vec<String> {
    let impact = &found.impact;
    if impact.waits_count == 0 && impact.stalls_count == 0 {
        return vec!["nobody was seen waiting for its locks or kept from running".to_owned()];
    }
    let mut lines = Vec::new();
    if impact.waits_count > 0 {
        let text = format!(
            "{} waited for its locks, {} in sum, {} at most",
            counted(impact.waiters_count, "task"),
            duration::text(impact.wait_ns_total),
            duration::text(impact.wait_ns_max),
        );
        lines.push(shorten(&text, TEXT_WIDTH));
        for entry in found.waiters.iter().take(SHOWN_MAX) {
            lines.extend(waiter(entry));
        }
        lines.extend(more(
            found.waiters.len() + found.waiters_omitted_count,
            "wait",
        ));
    }
    if impact.stalls_count > 0 {
        let text = format!(
            "{} kept from running, {} in sum, {} at most",
            counted(impact.tasks_stalled_count, "task"),
            duration::text(impact.stall_ns_total),
            duration::text(impact.stall_ns_max),
        );
        lines.push(shorten(&text, TEXT_WIDTH));
        lines.extend(found.stalls.iter().take(SHOWN_MAX).map(stalled));
        lines.extend(more(
            found.stalls.len() + found.stalls_omitted_count,
            "stall",
        ));
    }
    lines
}

fn waiter(waiter: &WaiterBody) -> Vec<String> {
    let who = match waiter.tid {
        0 => "an interrupt in the idle task".to_owned(),
        tid => format!("{} (pid {}, tid {tid})", name(&waiter.comm), waiter.pid),
    };
    let how = if waiter.is_sleeping { ", sleeping" } else { "" };
    let text = format!(
        "  {:>7}  {} on CPU {}: {who}{how}",
        duration::text(waiter.wait_ns),
        waiter.lock.name(),
        waiter.cpu,
    );
    let mut lines = vec![shorten(&text, TEXT_WIDTH)];
    let frames: Vec<_> = waiter
        .stack
        .iter()
        .map(|frame| frame.split('+').next().unwrap_or(frame))
        .filter(|function| !is_of_the_lock(function))
        .take(FRAMES_MAX)
        .collect();
    if !frames.is_empty() {
        let text = format!("           in {}", frames.join(" < "));
        lines.push(shorten(&text, TEXT_WIDTH));
    }
    lines
}

/// Every waiter is in one of these: which lock is told already.
fn is_of_the_lock(function: &str) -> bool {
    function.contains("spin_lock") || function.starts_with("rtlock_") || function == "rt_spin_lock"
}

fn stalled(stall: &StallBody) -> String {
    let behind = match (stall.behind, stall.lock) {
        (Section::Walk, _) => "the walk".to_owned(),
        (Section::Wait, lock) => format!(
            "the wait of tid {} for {}",
            stall.behind_tid,
            lock.map_or("a lock", Lock::name)
        ),
    };
    let text = format!(
        "  {:>7}  {} (pid {}, tid {}) behind {behind} on CPU {}",
        duration::text(stall.runq_delay_ns),
        name(&stall.comm),
        stall.pid,
        stall.tid,
        stall.cpu,
    );
    shorten(&text, TEXT_WIDTH)
}

/// What was walked over, and who put it there.
fn origin(found: &IncidentBody) -> Vec<String> {
    let mut lines = Vec::new();
    let walk = &found.walk;
    if let (Some(children), Some(negative)) = (walk.children_count, walk.negative_count) {
        let about = if walk.is_estimated { "about " } else { "" };
        lines.push(format!(
            "{about}{children} cached children, {} negative",
            origin::percent(negative, children)
        ));
    }
    for producer in found.origin.iter().take(SHOWN_MAX) {
        lines.push(shorten(&producer.who().text(str::to_owned), TEXT_WIDTH));
        lines.push(shorten(
            &format!("  {}", origin::what(producer)),
            TEXT_WIDTH,
        ));
    }
    lines.extend(more(
        found.origin.len() + found.origin_omitted_count,
        "producer",
    ));
    lines
}

fn kernel_reports(found: &IncidentBody) -> Vec<String> {
    let reports: Vec<_> = found
        .kernel_reports
        .iter()
        .map(|report| shorten(report, TEXT_WIDTH))
        .collect();
    bounded(&reports, 2, 2)
}

/// The first texts of a list, as many as go into some lines, and how many there are besides. A text
/// gets so many of them at most.
fn bounded(texts: &[String], lines_max: usize, each_max: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for (told, text) in texts.iter().enumerate() {
        let more = wrap(text, TEXT_WIDTH, each_max);
        if lines.len() + more.len() > lines_max {
            lines.push(format!("and {} more (--format json)", texts.len() - told));
            break;
        }
        lines.extend(more);
    }
    lines
}

fn more(count: usize, what: &str) -> Option<String> {
    let rest = count.saturating_sub(SHOWN_MAX);
    (rest > 0).then(|| format!("           and {}", counted(rest, &format!("more {what}"))))
}

pub fn counted<N: fmt::Display + PartialEq + From<u8>>(count: N, what: &str) -> String {
    let plural = if count == N::from(1) { "" } else { "s" };
    format!("{count} {what}{plural}")
}

fn name(comm: &str) -> String {
    shorten(comm, NAME_WIDTH)
}

fn trigger(found: &IncidentBody) -> &str {
    found
        .walk
        .walk
        .trigger
        .as_deref()
        .unwrap_or("a system call")
}

fn path(found: &IncidentBody) -> String {
    let path = found.walk.walk.path.as_deref();
    path.unwrap_or("a directory").to_owned()
}
