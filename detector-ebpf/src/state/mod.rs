//! What programs share, and what user space sets: maps and words, each behind the functions that use it.

pub mod arm;
pub mod clock;
pub mod counters;
pub mod cpu;
pub mod emit;
pub mod settings;
pub mod thresholds;
pub mod word;
