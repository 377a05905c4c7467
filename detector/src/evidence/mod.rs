//! Evidence that lasts: what a run leaves in its state directory, and what can be read from it
//! after the freeze, the restart or the reset.
//!
//! The directory has numbered files of JSON lines. `line` is what a line says, `history` what all
//! of them together say, `rotation` which files stay: all of it pure. `store` is the directory,
//! `writer` the thread that alone waits for the disk, `ring` what the loop holds of it.

pub mod history;
pub mod line;
pub mod reader;
#[cfg(feature = "probes")]
mod ring;
pub mod rotation;
#[cfg(feature = "probes")]
mod store;
#[cfg(feature = "probes")]
mod writer;

#[cfg(feature = "probes")]
pub use ring::{Ending, Ring};
#[cfg(feature = "probes")]
pub use store::{Store, files, is_in_use};
