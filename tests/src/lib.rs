//! What the workload and the scenarios share: the workload's own account of what it did, and how it
//! is run.

pub mod account;
pub mod background;
pub mod names;
pub mod task;
pub mod times;
pub mod workload;

pub use account::{Account, Cost, Span, TimedCall};
