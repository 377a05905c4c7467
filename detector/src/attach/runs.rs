//! How often and how long the programs ran, by the kernel's own account.

use std::{
    collections::BTreeMap,
    io::{self, Read as _},
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
};

use aya::{
    programs::{Program, ProgramError},
    sys,
};
use nix::{
    fcntl::{OFlag, openat},
    sys::stat::Mode,
};

use super::Attached;
use crate::model::{Runs, parse_runs};

/// Has the kernel time every program of this host as long as the descriptor lives (BPF_ENABLE_STATS,
/// d46edd671a14, 5.8): two more looks at the clock for each run of each.
///
/// # Errors
/// Without CAP_SYS_ADMIN.
pub fn time_programs() -> io::Result<OwnedFd> {
    sys::enable_stats(sys::Stats::RunTime).map_err(|error| error.io_error)
}

/// What `/proc/self/fdinfo` says of a program (`bpf_prog_show_fdinfo`); none where it is not loaded.
/// From `/proc` on, so that `/` may be the directory of a walk.
pub(super) fn fdinfo(proc: BorrowedFd<'_>, program: &Program) -> io::Result<Option<String>> {
    let fd = match program.fd() {
        Ok(fd) => fd.as_fd().as_raw_fd(),
        Err(ProgramError::NotLoaded) => return Ok(None),
        Err(error) => return Err(io::Error::other(error)),
    };
    let path = format!("self/fdinfo/{fd}");
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let file = openat(proc, path.as_str(), flags, Mode::empty())?;
    let mut text = String::new();
    std::fs::File::from(file).read_to_string(&mut text)?;
    Ok(Some(text))
}

impl Attached {
    /// What the kernel counted for each loaded program while somebody had it time them. `proc` is
    /// `/proc`.
    ///
    /// # Errors
    /// When a program's file can't be read.
    pub fn runs(&self, proc: BorrowedFd<'_>) -> io::Result<BTreeMap<String, Runs>> {
        let mut runs = BTreeMap::new();
        for (name, program) in self.programs.programs() {
            if let Some(fdinfo) = fdinfo(proc, program)? {
                runs.insert(name.to_owned(), parse_runs(&fdinfo).unwrap_or_default());
            }
        }
        Ok(runs)
    }
}
