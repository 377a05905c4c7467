//! QEMU: its command line, its version, its process, and which accelerator can be trusted.

pub mod accel;
pub mod argv;
pub mod process;
pub mod version;
