//! The parts of `fslockup`, one room a step: facts → plan → attach → records → events → incidents → output.
//!
//! Without the feature `probes` only the pure half is there, which asks the kernel for facts at
//! most and builds without the BPF linker. Which room may use which: `tests/tests/rooms.rs`.

// How the kernel is asked.
pub mod facts;
pub mod plan;
pub mod probes;

// What flows.
pub mod event;
pub mod model;

// What it means.
pub mod census;
mod correlate;
pub mod directories;
pub mod incident;
pub mod pipeline;
pub mod producers;

// What the user typed, and what comes out.
pub mod cli;
pub mod evidence;
pub mod output;
pub mod recording;
pub mod schema;

// What any of them may use.
pub mod escape;
pub mod logging;
mod mounts;
#[cfg(test)]
mod testing;

// The half that touches the kernel.
#[cfg(feature = "probes")]
pub mod attach;
#[cfg(feature = "probes")]
mod clock;
#[cfg(feature = "probes")]
pub mod commands;
#[cfg(feature = "probes")]
mod daemon;
#[cfg(feature = "probes")]
mod error;
#[cfg(feature = "probes")]
mod host;
#[cfg(feature = "probes")]
pub mod metrics;
#[cfg(feature = "probes")]
mod run;
