//! Kernels out of distribution packages, through the machine's own apt set-up but without
//! touching the system.

pub mod apt;
pub mod cache;
mod deb;
pub mod store;
pub mod update;

pub use deb::DebError;
pub use store::{Kernel, StoreError};
