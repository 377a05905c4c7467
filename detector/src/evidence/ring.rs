//! What the loop holds of the evidence: it never waits here.

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rtrb::{Producer, RingBuffer};

use super::{
    line::{self, RunBody, RunState},
    writer::{Disk, Shared, Writer},
};
use crate::{
    clock,
    model::{Finding, Session},
    schema,
};

/// Room for lines that the disk has not taken yet. The largest incident has some 100 KiB, most have two.
const RING_BYTES: usize = 512 << 10;
/// Running walks whose end is waited for. Each belongs to a task of its own.
const RUNNING_MAX: usize = 1_024;
/// How long the end of the process waits for the disk.
const END_PATIENCE: Duration = Duration::from_secs(5);
/// The thread calls nothing deep; all of its stack is locked in memory.
const STACK_BYTES: usize = 128 << 10;

/// How a run ends, if it says goodbye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By a signal or its duration.
    Stopped,
    /// By an error of its own.
    Failed,
}

impl Ending {
    fn name(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// The evidence of a run that goes on. Dropping it says goodbye, unless a panic does it.
pub struct Ring {
    to: Producer<u8>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    run: RunBody,
    /// Walks whose end has to be told because their running was.
    running: BTreeSet<(u64, u32)>,
    ending: Ending,
}

impl Ring {
    /// Says that the run has started. `name` is what the disk is called in messages.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(disk: impl Disk, name: String, run: RunBody) -> io::Result<Self> {
        let (mut to, mut from) = RingBuffer::new(RING_BYTES);
        // Touched now: during an incident no page has to be found for it.
        while !to.push_partial_slice(&[0_u8; 4096]).0.is_empty() {}
        if let Ok(chunk) = from.read_chunk(from.slots()) {
            chunk.commit_all();
        }
        let shared = Arc::new(Shared::default());
        let writer = Writer::new(disk, name, from, Arc::clone(&shared));
        let thread = thread::Builder::new()
            .name("evidence".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || writer.run())?;
        let mut ring = Self {
            to,
            shared,
            thread: Some(thread),
            run,
            running: BTreeSet::new(),
            ending: Ending::Failed,
        };
        let start = line::run(&ring.run);
        ring.push(&start);
        Ok(ring)
    }

    /// Keeps what is worth keeping: incidents, walks that run, and the end of these.
    pub fn note(&mut self, session: &Session, finding: &Finding) {
        if self.is_worth_keeping(finding) {
            let mut bytes = Vec::new();
            match schema::line(&mut bytes, &schema::finding(session, finding)) {
                Ok(()) => self.push(&bytes),
                Err(_) => self.lose(),
            }
        }
    }

    fn is_worth_keeping(&mut self, finding: &Finding) -> bool {
        match finding {
            Finding::Walk(found) => {
                let key = (found.walk.start_ns, found.walk.tid);
                if found.walk.end_ns.is_some() {
                    return self.running.remove(&key);
                }
                if self.running.len() == RUNNING_MAX {
                    self.running.pop_first();
                }
                self.running.insert(key);
                true
            }
            Finding::Incident(_) => true,
            Finding::Syscall(_)
            | Finding::Thresholds(_)
            | Finding::Suppressed(_)
            | Finding::Budget(_)
            | Finding::BadRecord(_)
            | Finding::Summary(_) => false,
        }
    }

    /// The run ends in order.
    pub fn end(&mut self, ending: Ending) {
        self.ending = ending;
    }

    /// Lines that were lost because the disk didn't take them.
    #[must_use]
    pub fn lost_count(&self) -> u64 {
        self.shared.lost_count.load(Ordering::Relaxed)
    }

    fn push(&mut self, bytes: &[u8]) {
        if self.to.push_entire_slice(bytes).is_err() {
            self.lose();
        }
        self.wake();
    }

    fn lose(&self) {
        self.shared.lost_count.fetch_add(1, Ordering::Relaxed);
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if thread::panicking() {
            return;
        }
        let goodbye = line::run(&RunBody {
            state: RunState::Ended,
            at: schema::values::time(clock::realtime_ns()),
            reason: Some(self.ending.name().to_owned()),
            ..self.run.clone()
        });
        self.push(&goodbye);
        self.shared.is_ending.store(true, Ordering::Release);
        self.wake();
        let Some(thread) = self.thread.take() else {
            return;
        };
        let start = Instant::now();
        while !thread.is_finished() {
            if start.elapsed() > END_PATIENCE {
                log::warn!("the disk doesn't answer: the goodbye may be missing in the evidence");
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
        // A panic of the thread has said so itself.
        let _ = thread.join();
    }
}

#[cfg(test)]
mod tests;
