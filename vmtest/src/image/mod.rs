//! The guest's initramfs, made for each run: PID 1, the programs, the modules and the job.

mod archive;
pub mod busybox;
mod elf;
pub mod initramfs;
pub mod libraries;
pub mod modules;

pub use archive::{Archive, ArchiveError};
pub use elf::section as elf_section;
pub use initramfs::{Content, ImageError};
