//! One guest, from start to end: makes what it needs, runs QEMU, passes on what it says and tells
//! how it ended.

pub mod accel;
pub mod artifacts;
pub mod disk;
pub mod end;
pub mod host;
pub mod limits;
pub mod root;
mod run;

use std::{path::PathBuf, time::Duration};

pub use self::{end::End, run::run};
use crate::{
    image::{Content, ImageError},
    packages::Kernel,
    protocol::Job,
    qemu::argv::{Accelerator, Mode},
};

/// A disk that is made for the guest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskSpec {
    /// Its file system.
    pub fs: disk::FileSystem,
    /// Its size.
    pub size_mib: u64,
}

/// What a guest is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestSpec {
    /// Emulation mode.
    pub mode: Mode,
    /// Virtual CPUs.
    pub cpus_count: u32,
    /// Memory.
    pub memory_mib: u32,
    /// Its disk, mounted on `/mnt/disk`.
    pub disk: Option<DiskSpec>,
    /// Instead of a disk of its own: the Debian suite whose root it gets, with systemd as PID 1.
    pub root: Option<String>,
    /// More words for the kernel's command line.
    pub kernel_args: Vec<String>,
    /// Kernel modules beside those that the disk needs, by name.
    pub modules: Vec<String>,
}

/// A guest to run.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The kernel it boots.
    pub kernel: &'a Kernel,
    /// What it is made of.
    pub spec: &'a GuestSpec,
    /// Who executes it.
    pub accelerator: Accelerator,
    /// What is in its image.
    pub content: &'a Content,
    /// What it does.
    pub job: Job,
    /// Where the console's log goes; to this terminal when the job is a shell.
    pub console: PathBuf,
    /// Host time until the first message, when it isn't the mode's own limit.
    pub boot_limit: Option<Duration>,
}

/// Why a guest can't be started.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// Its image can't be made.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Its disk can't be made.
    #[error(transparent)]
    Disk(#[from] disk::DiskError),
    /// Its root can't be made.
    #[error(transparent)]
    Root(#[from] root::RootError),
    /// A file of the run can't be written, or QEMU can't be started.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// What happened.
        error: std::io::Error,
    },
}
