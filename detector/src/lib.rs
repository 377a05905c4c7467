//! The parts of `fslockup`, one module a step: facts → plan → attach → records → events → output.
//!
//! Without the feature `probes` only the pure half is there, which asks the kernel for facts at
//! most and builds without the BPF linker.

#[cfg(feature = "probes")]
pub mod attach;
pub mod census;
pub mod cli;
#[cfg(feature = "probes")]
mod clock;
#[cfg(feature = "probes")]
pub mod commands;
pub mod config;
mod correlate;
#[cfg(feature = "probes")]
mod daemon;
pub mod danger;
#[cfg(feature = "probes")]
mod error;
pub mod escape;
pub mod event;
pub mod evidence;
pub mod facts;
pub mod frame;
#[cfg(feature = "probes")]
mod host;
#[cfg(feature = "probes")]
pub mod http;
pub mod incident;
pub mod logging;
pub mod marks;
#[cfg(feature = "probes")]
pub mod metrics;
pub mod model;
mod mounts;
pub mod output;
pub mod pipeline;
pub mod plan;
pub mod predict;
pub mod probes;
pub mod producers;
pub mod recording;
#[cfg(feature = "probes")]
mod run;
#[cfg(test)]
mod testing;
pub mod top;
