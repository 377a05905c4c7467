//! The danger list as JSON lines: `danger` for each directory, then `summary`.

use std::io::{self, Write};

use serde::Serialize;

use crate::{
    directories::{
        danger::{Danger, WatchKind, Watcher},
        list::{Row, SortKey, View},
    },
    escape::escape,
    event::Call,
    facts::DentryState,
    incident::mask_names,
    producers::Changes,
    schema::{
        self,
        origin::ProducerBody,
        values::{device, time},
    },
};

/// Most entries of one list in a line.
const LISTED_MAX: usize = 64;

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Body<'a> {
    Danger(Box<DangerLine<'a>>),
    Summary(Box<SummaryBody<'a>>),
}

#[derive(Serialize)]
struct DangerLine<'a> {
    at: String,
    host: &'a str,
    kernel: &'a str,
    #[serde(flatten)]
    danger: DangerBody,
}

/// A directory of the danger list, with every name escaped.
#[derive(Serialize)]
pub struct DangerBody {
    path: Option<String>,
    dev: String,
    ino: u64,
    fstype: Option<String>,
    children_count: u64,
    negative_count: Option<u64>,
    predicted_ns: u64,
    /// None at a first reading.
    created_per_s: Option<u64>,
    watchers: Vec<WatcherBody>,
    watchers_omitted_count: usize,
    producers: Vec<ProducerBody>,
    producers_omitted_count: usize,
}

#[derive(Serialize)]
struct WatcherBody {
    pid: u32,
    comm: String,
    through: WatchKind,
    mask: String,
    is_on_children: bool,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "units are in names")]
struct ChangesBody {
    created_count: u64,
    negative_count: u64,
    removed_count: u64,
}

#[derive(Serialize)]
struct SummaryBody<'a> {
    at: String,
    host: &'a str,
    kernel: &'a str,
    duration_ns: u64,
    sort: SortKey,
    directories_count: usize,
    directories_omitted_count: usize,
    dentry_state: Option<DentryState>,
    /// Changes of producers and directories that had to make room.
    dropped: ChangesBody,
    /// Changes that the kernel had no room to count by process and directory.
    uncounted_count: u64,
    lost_count: u64,
}

/// Writes a reading.
///
/// # Errors
/// Those of the writer.
pub fn write_top(to: &mut impl Write, view: &View<'_>, host: &str, kernel: &str) -> io::Result<()> {
    let at = time(view.realtime_ns);
    for row in &view.rows {
        let line = DangerLine {
            at: at.clone(),
            host,
            kernel,
            danger: DangerBody::of(row),
        };
        schema::line(to, &Body::Danger(Box::new(line)))?;
    }
    let totals = &view.totals;
    let body = SummaryBody {
        at,
        host,
        kernel,
        duration_ns: view.duration_ns,
        sort: view.sort,
        directories_count: view.directories_count,
        directories_omitted_count: view.directories_count.saturating_sub(view.rows.len()),
        dentry_state: totals.dentry_state,
        dropped: ChangesBody::of(&totals.dropped),
        uncounted_count: totals.uncounted.total_count(),
        lost_count: totals.lost_count,
    };
    schema::line(to, &Body::Summary(Box::new(body)))
}

impl DangerBody {
    /// With every name escaped.
    #[must_use]
    pub fn of(row: &Row) -> Self {
        let Danger {
            dev,
            ino,
            fstype,
            path,
            children_count,
            negative_count,
            predicted_ns,
            watchers,
            producers,
        } = &row.danger;
        Self {
            path: path.as_deref().map(escape),
            dev: device(*dev),
            ino: *ino,
            fstype: (!fstype.is_empty()).then(|| escape(fstype)),
            children_count: *children_count,
            negative_count: *negative_count,
            predicted_ns: *predicted_ns,
            created_per_s: row.created_per_s,
            watchers: watchers.iter().take(LISTED_MAX).map(watcher).collect(),
            watchers_omitted_count: watchers.len().saturating_sub(LISTED_MAX),
            producers: producers
                .iter()
                .take(LISTED_MAX)
                .map(ProducerBody::of)
                .collect(),
            producers_omitted_count: producers.len().saturating_sub(LISTED_MAX),
        }
    }
}

fn watcher(watcher: &Watcher) -> WatcherBody {
    let call = match watcher.through {
        WatchKind::Inotify => Call::InotifyAddWatch,
        WatchKind::Fanotify => Call::FanotifyMark,
    };
    WatcherBody {
        pid: watcher.pid,
        comm: escape(&watcher.comm),
        through: watcher.through,
        mask: mask_names(call, watcher.mask),
        is_on_children: watcher.is_on_children(),
    }
}

impl ChangesBody {
    fn of(changes: &Changes) -> Self {
        Self {
            created_count: changes.created_count(),
            negative_count: changes.negative_count(),
            removed_count: changes.removed_count(),
        }
    }
}
