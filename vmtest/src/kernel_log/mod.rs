//! The kernel's log: its records (`record`), and which lines report that something is wrong (`signs`).
//!
//! The bytes are hostile: names chosen by unprivileged programs get into the log.

mod record;
mod signs;
mod stale;

use std::fmt;

use fslockup::escape::escape_rest;
use serde::{Deserialize, Serialize};

pub use self::record::{LEVEL_WARNING, Record};
use self::signs::SIGNS;
pub use self::stale::stale_breakpoint;

/// What the kernel reports about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReportKind {
    /// A CPU ran kernel code for more than 20 s without scheduling.
    SoftLockup,
    /// A CPU did not take interrupts.
    HardLockup,
    /// RCU waits for a CPU or task.
    RcuStall,
    /// A task was in uninterruptible sleep for two minutes.
    HungTask,
    /// `WARN_ON` and its like.
    Warning,
    /// `BUG`, sanitizers, bad memory accesses.
    Bug,
    /// The kernel gave up on the task that ran.
    Oops,
    /// The kernel gave up.
    Panic,
}

impl fmt::Display for ReportKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::SoftLockup => "soft-lockup",
            Self::HardLockup => "hard-lockup",
            Self::RcuStall => "rcu-stall",
            Self::HungTask => "hung-task",
            Self::Warning => "warning",
            Self::Bug => "bug",
            Self::Oops => "oops",
            Self::Panic => "panic",
        })
    }
}

/// One report: what it is, and the line that says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What the kernel reports.
    pub kind: ReportKind,
    /// Its line, printable.
    pub line: String,
}

/// Whether this message is a report of the kernel.
#[must_use]
pub fn classify(text: &[u8]) -> Option<Report> {
    let text = strip_time(text);
    // Most lines are none, and a guest looks at each line of its log.
    let could_be = |(start, _, _): &(&str, &str, ReportKind)| text.starts_with(start.as_bytes());
    if !SIGNS.iter().any(could_be) {
        return None;
    }
    let line = escape_rest(text);
    let sign = SIGNS
        .iter()
        .find(|(start, part, _)| line.starts_with(start) && line.contains(part));
    sign.map(|(_, _, kind)| Report {
        kind: *kind,
        line: line.clone(),
    })
}

/// Every report in a console log or the like, line by line.
#[must_use]
pub fn scan(log: &[u8]) -> Vec<Report> {
    log.split(|byte| *byte == b'\n')
        .filter_map(classify)
        .collect()
}

/// The worst thing a console log tells of a guest that died: a panic if there is one, else the
/// first oops or bug.
#[must_use]
pub fn cause_of_death(console: &[u8]) -> Option<Report> {
    let reports = scan(console);
    let fatal = |report: &&Report| {
        matches!(
            report.kind,
            ReportKind::Bug | ReportKind::Oops | ReportKind::Panic
        )
    };
    // The panic's own line only says "Fatal exception"; the oops before it names the fault.
    let first = reports.iter().find(fatal)?;
    let is_panic = reports
        .iter()
        .any(|report| report.kind == ReportKind::Panic);
    is_panic.then(|| first.clone())
}

/// The line without the console's time stamp: `[    1.234567] `, with the caller's id between the
/// brackets on kernels that print it (`[    1.234567][    T1] `).
fn strip_time(text: &[u8]) -> &[u8] {
    let mut rest = text.trim_ascii();
    while rest.starts_with(b"[") {
        let Some(end) = rest.iter().position(|byte| *byte == b']') else {
            break;
        };
        let inner = &rest[1..end];
        let is_stamp = inner
            .iter()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b' ' | b'.' | b'T' | b'C'));
        if !is_stamp {
            break;
        }
        rest = rest[end + 1..].trim_ascii_start();
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_is_named_by_its_first_fault() {
        let console = b"[1.0] BUG: kernel NULL pointer dereference\r\n[1.1] Kernel panic - not syncing: Fatal exception\r\n";
        let cause = cause_of_death(console).expect("a cause");
        assert_eq!(
            (cause.kind, cause.line.as_str()),
            (ReportKind::Bug, "BUG: kernel NULL pointer dereference")
        );
        assert_eq!(cause_of_death(b"[1.0] WARNING: CPU: 0 at x\n"), None);
    }

    #[test]
    fn hostile_bytes_come_out_printable() {
        assert_eq!(
            escape_rest(b"a\x1b[2Jb\r\xff\xc3\xa4"),
            "a\\x1b[2Jb\\x0d\\xff\u{e4}"
        );
        // The same rule as the detector's, so what one shows neither can hide.
        assert_eq!(
            escape_rest("\u{202e}x\u{200b}\u{feff}"),
            "\\u{202e}x\\u{200b}\\u{feff}"
        );
    }
}
