//! What stands between a run and its user: the display, interruption, sizes as people write them.

pub mod progress;
pub mod signals;
pub mod size;
