//! A detector at work: the loop between kernel and output, and what it reads, measures and changes.

pub mod directories;
pub mod event_loop;
pub mod live;
pub mod maps;
pub mod metering;
pub mod origins;
pub mod overseer;
mod reaper;
pub mod reload;
pub mod runtime;
pub mod stacks;
pub mod timing;
mod troubles;
