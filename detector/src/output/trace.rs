//! Changes of dentries, one line each, as `fslockup trace` prints them.

use std::io::{self, Write};

use serde::Serialize;

use super::{Format, duration};
use crate::{
    escape::escape,
    event::{Change, DentryChange},
    model::AttachReport,
    schema::{self, values::device},
};

/// What is fixed while `trace` runs.
#[derive(Clone, Debug)]
pub struct TraceSession {
    /// Host name.
    pub host: String,
    /// `uname -r`.
    pub kernel: String,
    /// What was attached.
    pub attached: AttachReport,
    /// The directory asked for, as the user sees it; none: every directory.
    pub directory: Option<Vec<u8>>,
    /// The task name asked for.
    pub comm: Option<Vec<u8>>,
    /// Only what is or becomes negative.
    pub only_negative: bool,
    /// Most lines in one second.
    pub rate: u64,
    /// Start, CLOCK_MONOTONIC.
    pub start_ns: u64,
    /// What to add to CLOCK_MONOTONIC for the calendar's time.
    pub realtime_offset_ns: i64,
}

/// The end of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceSummary {
    /// From the start to the end.
    pub duration_ns: u64,
    /// Lines printed.
    pub shown_count: u64,
    /// Changes left out to keep the rate.
    pub left_out_count: u64,
    /// Changes lost because the ring buffer was full.
    pub ring_full_count: u64,
    /// Changes that no program looked at, because the same one was already running on that CPU.
    pub skipped_count: u64,
    /// Records that were none.
    pub bad_records_count: u64,
}

impl TraceSummary {
    fn lost_count(&self) -> u64 {
        self.ring_full_count + self.skipped_count + self.bad_records_count
    }
}

/// Prints changes as they come; what it has been given is out after [`Self::flush`].
pub struct TracePrinter<W: Write> {
    to: W,
    format: Format,
    session: TraceSession,
}

impl<W: Write> TracePrinter<W> {
    /// Prints what is fixed, at once.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn start(to: W, format: Format, session: TraceSession) -> io::Result<Self> {
        let mut printer = Self {
            to,
            format,
            session,
        };
        match format {
            Format::Text => start_text(&mut printer.to, &printer.session)?,
            Format::Json => schema::line(&mut printer.to, &start_json(&printer.session))?,
        }
        printer.to.flush()?;
        Ok(printer)
    }

    /// Prints one change. `directory` is the path of its directory on this host.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn print(&mut self, found: &DentryChange, directory: Option<&[u8]>) -> io::Result<()> {
        let directory = self.session.directory.as_deref().or(directory);
        let path = directory.map(|directory| join(directory, &found.name));
        let at = self.realtime(found.at_ns);
        match self.format {
            Format::Text => dentry_text(&mut self.to, found, &at, path.as_deref()),
            Format::Json => schema::line(&mut self.to, &dentry_json(found, at, path.as_deref())),
        }
    }

    /// Prints the totals.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn end(&mut self, summary: &TraceSummary) -> io::Result<()> {
        match self.format {
            Format::Text => summary_text(&mut self.to, summary)?,
            Format::Json => schema::line(&mut self.to, &summary_json(summary))?,
        }
        self.to.flush()
    }

    /// Everything printed so far reaches its reader.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    fn realtime(&self, at_ns: u64) -> String {
        realtime(&self.session, at_ns)
    }
}

fn realtime(session: &TraceSession, at_ns: u64) -> String {
    let at_ns = i64::try_from(at_ns).unwrap_or(i64::MAX);
    schema::values::time(at_ns.saturating_add(session.realtime_offset_ns))
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let directory = directory.strip_suffix(b"/").unwrap_or(directory);
    [directory, b"/", name].concat()
}

fn words(change: Change) -> &'static str {
    match change {
        Change::MadeNegative => "made negative",
        Change::MadePositive => "made positive",
        Change::Filled => "filled",
        Change::Emptied => "emptied",
        Change::RemovedNegative => "removed negative",
        Change::RemovedPositive => "removed positive",
    }
}

fn start_text(to: &mut impl Write, session: &TraceSession) -> io::Result<()> {
    write!(
        to,
        "{} {}: ",
        escape(session.host.as_bytes()),
        session.kernel
    )?;
    let negative = if session.only_negative {
        "negative "
    } else {
        ""
    };
    write!(to, "{negative}dentries made and removed")?;
    match &session.directory {
        Some(directory) => write!(to, " in {}", escape(directory))?,
        None => write!(to, " anywhere")?,
    }
    if let Some(comm) = &session.comm {
        write!(to, " by {}", escape(comm))?;
    }
    writeln!(to, ", {} a second at most", session.rate)?;
    super::text::not_seen(to, &session.attached)
}

fn dentry_text(
    to: &mut impl Write,
    found: &DentryChange,
    at: &str,
    path: Option<&[u8]>,
) -> io::Result<()> {
    let place = path.map_or_else(
        || {
            let (dev, ino) = (device(found.dev), found.directory_ino);
            format!("{} (in {dev} inode {ino})", escape(&found.name))
        },
        escape,
    );
    let ino = found
        .ino
        .map(|ino| format!(" inode {ino}"))
        .unwrap_or_default();
    writeln!(
        to,
        "{at}  {:<16}  {place}{ino}  by {} (pid {}, tid {}) on CPU {}",
        words(found.change),
        escape(&found.comm),
        found.pid,
        found.tid,
        found.cpu,
    )
}

fn summary_text(to: &mut impl Write, summary: &TraceSummary) -> io::Result<()> {
    writeln!(
        to,
        "{} shown, {} left out to keep the rate, {} lost, in {}",
        summary.shown_count,
        summary.left_out_count,
        summary.lost_count(),
        duration::text(summary.duration_ns),
    )
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Body<'a> {
    Trace {
        at: String,
        host: &'a str,
        kernel: &'a str,
        directory: Option<String>,
        comm: Option<String>,
        only_negative: bool,
        rate: u64,
        attached: &'a AttachReport,
    },
    Dentry {
        at: String,
        change: String,
        is_negative: bool,
        ino: Option<u64>,
        name: String,
        path: Option<String>,
        path_is_cut: bool,
        dev: String,
        directory_ino: u64,
        pid: u32,
        tid: u32,
        comm: String,
        cgroup_id: u64,
        cpu: u32,
        at_ns: u64,
    },
    Summary {
        duration_ns: u64,
        shown_count: u64,
        left_out_count: u64,
        lost_count: u64,
        lost: Lost,
    },
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "units are in names")]
struct Lost {
    ring_full_count: u64,
    skipped_count: u64,
    bad_records_count: u64,
}

fn start_json(session: &TraceSession) -> Body<'_> {
    Body::Trace {
        at: realtime(session, session.start_ns),
        host: &session.host,
        kernel: &session.kernel,
        directory: session.directory.as_deref().map(escape),
        comm: session.comm.as_deref().map(escape),
        only_negative: session.only_negative,
        rate: session.rate,
        attached: &session.attached,
    }
}

fn dentry_json(found: &DentryChange, at: String, path: Option<&[u8]>) -> Body<'static> {
    Body::Dentry {
        at,
        change: words(found.change).replace(' ', "_"),
        is_negative: found.change.is_negative(),
        ino: found.ino,
        name: escape(&found.name),
        path: path.map(escape),
        path_is_cut: found.is_path_cut,
        dev: device(found.dev),
        directory_ino: found.directory_ino,
        pid: found.pid,
        tid: found.tid,
        comm: escape(&found.comm),
        cgroup_id: found.cgroup_id,
        cpu: found.cpu,
        at_ns: found.at_ns,
    }
}

fn summary_json(summary: &TraceSummary) -> Body<'static> {
    Body::Summary {
        duration_ns: summary.duration_ns,
        shown_count: summary.shown_count,
        left_out_count: summary.left_out_count,
        lost_count: summary.lost_count(),
        lost: Lost {
            ring_full_count: summary.ring_full_count,
            skipped_count: summary.skipped_count,
            bad_records_count: summary.bad_records_count,
        },
    }
}

#[cfg(test)]
mod tests;
