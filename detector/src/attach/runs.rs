//! How often and how long the programs ran, by the kernel's own account.

use std::{
    collections::BTreeMap,
    io::{self, Read as _},
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
};

use aya::{programs::ProgramError, sys};
use nix::{
    fcntl::{OFlag, openat},
    sys::stat::Mode,
};

use super::Attached;
use crate::metrics::{Runs, parse_runs};

/// Has the kernel time every program of this host as long as the descriptor lives (BPF_ENABLE_STATS,
/// d46edd671a14, 5.8): two more looks at the clock for each run of each.
///
/// # Errors
/// Without CAP_SYS_ADMIN.
pub fn time_programs() -> io::Result<OwnedFd> {
    sys::enable_stats(sys::Stats::RunTime).map_err(io::Error::other)
}

impl Attached {
    /// What the kernel counted for each loaded program. `fdinfo` is `/proc/self/fdinfo`: no path is
    /// looked up.
    ///
    /// # Errors
    /// When a program's file can't be read.
    pub fn runs(&self, fdinfo: BorrowedFd<'_>) -> io::Result<BTreeMap<String, Runs>> {
        let mut runs = BTreeMap::new();
        for (name, program) in self.programs.programs() {
            let fd = match program.fd() {
                Ok(fd) => fd.as_fd().as_raw_fd().to_string(),
                // It is not the one that was chosen.
                Err(ProgramError::NotLoaded) => continue,
                Err(error) => return Err(io::Error::other(error)),
            };
            let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
            let file = openat(fdinfo, fd.as_str(), flags, Mode::empty())?;
            let mut text = String::new();
            std::fs::File::from(file).read_to_string(&mut text)?;
            runs.insert(name.to_owned(), parse_runs(&text).unwrap_or_default());
        }
        Ok(runs)
    }
}
