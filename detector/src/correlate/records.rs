//! The records at hand for the walks that are open.

use super::{
    buffer::{Buffer, Fate},
    join::Joined,
};
use crate::{
    event::{Release, Stall, Syscall, Wait},
    model::RecordCounts,
};

/// One buffer for each kind.
#[derive(Default)]
pub struct Records {
    /// Waits for spinlocks, any on the host.
    pub waits: Buffer<Wait>,
    /// Tasks that got a CPU late.
    pub stalls: Buffer<Stall>,
    /// Slow system calls.
    pub syscalls: Buffer<Syscall>,
    /// Contended locks that walkers gave back.
    pub releases: Buffer<Release>,
}

impl Records {
    /// Notes what became of everything joined to one walk.
    pub fn mark(&mut self, joined: &Joined, fate: Fate) {
        for place in &joined.own_waits {
            self.waits.mark(*place, fate);
        }
        for (place, _, _) in &joined.waits {
            self.waits.mark(*place, fate);
        }
        for (place, _) in &joined.stalls {
            self.stalls.mark(*place, fate);
        }
        if let Some(place) = joined.syscall {
            self.syscalls.mark(place, fate);
        }
        for place in &joined.releases {
            self.releases.mark(*place, fate);
        }
    }

    /// The account of all of them.
    pub fn counts(&self) -> RecordCounts {
        RecordCounts {
            waits: self.waits.counts(),
            stalls: self.stalls.counts(),
            syscalls: self.syscalls.counts(),
            releases: self.releases.counts(),
        }
    }
}
