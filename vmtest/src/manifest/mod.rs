//! The two lists that a user keeps: `images/kernels.toml` with its lock, and `images/scenarios.toml`.

pub mod kernels;
pub mod scenarios;
