//! Processes that look up a few names that don't exist, and end: a host on which no process lives long
//! enough to be looked at.

use std::path::PathBuf;

use anyhow::Context as _;
use nix::{
    fcntl::{AT_FDCWD, AtFlags},
    sys::{
        stat::fstatat,
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, fork},
};

#[derive(clap::Args)]
pub struct Args {
    /// The directory
    #[arg(long)]
    dir: PathBuf,
    /// How many processes, one after another
    #[arg(long)]
    processes: u64,
    /// How many names in each
    #[arg(long)]
    count: u64,
}

pub fn short_lived(args: &Args) -> anyhow::Result<()> {
    let Args {
        dir,
        processes,
        count,
    } = args;
    std::env::set_current_dir(dir).with_context(|| format!("enter {}", dir.display()))?;
    for process in 0..*processes {
        // SAFETY: this process has one thread, so the child may do whatever this one may.
        match unsafe { fork() }.context("fork")? {
            ForkResult::Child => {
                let is_done = (0..*count).all(|number| misses(process, number));
                // SAFETY: _exit(2) runs nothing of what the parent has to run at its end.
                unsafe { nix::libc::_exit(i32::from(!is_done)) }
            }
            ForkResult::Parent { child } => {
                let status = waitpid(child, None)?;
                anyhow::ensure!(
                    status == WaitStatus::Exited(child, 0),
                    "process {process}: {status:?}"
                );
            }
        }
    }
    println!("{processes} processes");
    Ok(())
}

fn misses(process: u64, number: u64) -> bool {
    let name = format!("short-{process}-{number}");
    fstatat(AT_FDCWD, name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW) == Err(nix::Error::ENOENT)
}
