//! The thread that alone waits for the disk.
//!
//! The walked directory may be on the file system of the state directory, whose journal may wait for
//! whoever waits for the walk: so only this thread writes and syncs. Between it and the loop is a ring of
//! bytes that neither side ever waits for. What could not be written stays in it and is tried again; what
//! comes when it is full is lost, counted and told.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use rtrb::Consumer;

use super::line::{self, LossBody};
use crate::{clock, logging, schema};

/// Between two tries while writing fails.
const RETRY_PERIOD: Duration = Duration::from_secs(1);
/// Between two words about it.
const SAY_PERIOD_NS: u64 = 60_000_000_000;

/// Where lines go.
pub trait Disk: Send + 'static {
    /// Comes before each line: a new file may begin here.
    fn make_room(&mut self, line_bytes: u64) -> io::Result<()>;
    /// Appends as much as it can, at least a byte.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Comes back when all of it is on the disk.
    fn sync(&mut self) -> io::Result<()>;
}

/// What loop and thread tell each other.
#[derive(Debug, Default)]
pub struct Shared {
    /// Lines that are lost.
    pub lost_count: AtomicU64,
    /// Nothing more will come.
    pub is_ending: AtomicBool,
}

/// The state of the thread.
pub struct Writer<D> {
    disk: D,
    /// What it is called in messages.
    name: String,
    from: Consumer<u8>,
    shared: Arc<Shared>,
    is_line_start: bool,
    /// Lines that were written and are not surely on the disk.
    unsynced_count: u64,
    needs_sync: bool,
    trouble: Trouble,
}

impl<D: Disk> Writer<D> {
    pub fn new(disk: D, name: String, from: Consumer<u8>, shared: Arc<Shared>) -> Self {
        Self {
            disk,
            name,
            from,
            shared,
            is_line_start: true,
            unsynced_count: 0,
            needs_sync: false,
            trouble: Trouble::default(),
        }
    }

    /// Until all is written after the end was told, or can't be.
    pub fn run(mut self) {
        loop {
            // Read first: what came before it was set is in the ring.
            let is_ending = self.shared.is_ending.load(Ordering::Acquire);
            if let Some(message) = self.turn(clock::monotonic_ns()) {
                logging::complain(logging::PROGRAM, format_args!("{}: {message}", self.name));
            }
            if is_ending {
                return;
            }
            if self.trouble.is_failing() {
                thread::park_timeout(RETRY_PERIOD);
            } else {
                thread::park();
            }
        }
    }

    /// Writes all there is; what to say about how that went.
    pub fn turn(&mut self, now_ns: u64) -> Option<String> {
        let written = self.write();
        // What was written before an error need not wait for the end of it.
        let synced = self.sync();
        let outcome = written.and(synced).and_then(|()| self.write_loss());
        let lost_count = self.shared.lost_count.load(Ordering::Relaxed);
        self.trouble
            .note(now_ns, outcome.err().as_ref(), lost_count)
    }

    fn write(&mut self) -> io::Result<()> {
        while self.from.slots() > 0 {
            let Ok(chunk) = self.from.read_chunk(self.from.slots()) else {
                break;
            };
            // Whole lines come in at once, so there is always the rest of one.
            let (first, second) = chunk.as_slices();
            if self.is_line_start {
                let mut bytes = first.iter().chain(second);
                let length = bytes.position(|byte| *byte == b'\n');
                let length = length.map_or(first.len(), |end| end + 1);
                self.disk
                    .make_room(u64::try_from(length).unwrap_or(u64::MAX))?;
            }
            let end = first.iter().position(|byte| *byte == b'\n');
            let part = &first[..end.map_or(first.len(), |end| end + 1)];
            let written = self.disk.write(part)?;
            let Some(last) = written.checked_sub(1).and_then(|last| part.get(last)) else {
                return Err(io::ErrorKind::WriteZero.into());
            };
            self.is_line_start = *last == b'\n';
            self.unsynced_count += u64::from(self.is_line_start);
            self.needs_sync = true;
            chunk.commit(written);
        }
        Ok(())
    }

    /// After a failed sync the kernel takes the pages for written: what was in them may be gone, and the
    /// next sync says nothing about it.
    fn sync(&mut self) -> io::Result<()> {
        if self.needs_sync {
            let outcome = self.disk.sync();
            let lines_count = std::mem::take(&mut self.unsynced_count);
            if outcome.is_err() {
                self.shared
                    .lost_count
                    .fetch_add(lines_count, Ordering::Relaxed);
            }
            outcome?;
            self.needs_sync = false;
        }
        Ok(())
    }

    /// Keeps the number of lines that are missing beside those that are there.
    fn write_loss(&mut self) -> io::Result<()> {
        let lost_count = self.shared.lost_count.load(Ordering::Relaxed);
        let untold_count = lost_count.saturating_sub(self.trouble.written_count);
        if untold_count == 0 {
            return Ok(());
        }
        let text = line::loss(&LossBody {
            at: schema::values::time(clock::realtime_ns()),
            lost_count: untold_count,
        });
        self.disk
            .make_room(u64::try_from(text.len()).unwrap_or(u64::MAX))?;
        let mut rest = text.as_slice();
        while !rest.is_empty() {
            let written = self.disk.write(rest)?;
            rest = rest.get(written.max(1)..).unwrap_or_default();
        }
        self.trouble.written_count = lost_count;
        self.needs_sync = true;
        self.sync()
    }
}

/// Whether writing fails, and what was said about it.
#[derive(Debug, Default)]
struct Trouble {
    since_ns: Option<u64>,
    said_ns: u64,
    /// Lost lines of which stderr was told.
    said_count: u64,
    /// Lost lines that are told in the files.
    written_count: u64,
}

impl Trouble {
    fn is_failing(&self) -> bool {
        self.since_ns.is_some()
    }

    /// What to say after a try: at once when it begins, once a minute while it lasts, when it is over.
    fn note(&mut self, now_ns: u64, error: Option<&io::Error>, lost_count: u64) -> Option<String> {
        let Some(error) = error else {
            let lost = lost_count - self.said_count;
            self.said_count = lost_count;
            let since_ns = self.since_ns.take();
            return match since_ns {
                Some(since_ns) => Some(format!(
                    "evidence is written again after {} s; lines lost: {lost}",
                    now_ns.saturating_sub(since_ns) / 1_000_000_000
                )),
                None if lost > 0 => Some(format!("the disk was too slow; lines lost: {lost}")),
                None => None,
            };
        };
        let is_new = self.since_ns.is_none();
        if is_new {
            self.since_ns = Some(now_ns);
        }
        if !is_new && now_ns.saturating_sub(self.said_ns) < SAY_PERIOD_NS {
            return None;
        }
        self.said_ns = now_ns;
        Some(format!(
            "{error}: evidence is not written; lines lost so far: {}",
            lost_count - self.said_count
        ))
    }
}

#[cfg(test)]
mod tests;
