//! QEMU: its command line, its version, its process.

pub mod argv;
pub mod process;
pub mod version;
