//! Lookups of new names, one after another: each takes a reference on the directory and makes a
//! child of it, so it needs the directory's `d_lock`.

use std::{fs::File, os::fd::AsRawFd as _, path::PathBuf, time::Duration};

use anyhow::Context as _;
use fslockup_tests::{Span, task};
use nix::{fcntl::AtFlags, sys::stat::fstatat};

use crate::until_stopped::{self, Threads};

#[derive(clap::Args)]
pub struct Args {
    /// The directory
    #[arg(long)]
    dir: PathBuf,
    /// Rest between two lookups
    #[arg(long, value_name = "TIME", default_value = "100us", value_parser = crate::duration)]
    pause: Duration,
    /// The threads.
    #[command(flatten)]
    threads: Threads,
}

pub fn lookup(args: &Args) -> anyhow::Result<()> {
    let dir = File::open(&args.dir).with_context(|| args.dir.display().to_string())?;
    let pause_ns = u64::try_from(args.pause.as_nanos())?;
    // Names of an earlier run would be found in the cache, without any lock.
    let run_ns = task::monotonic_ns()?;
    until_stopped::run(&args.threads, |thread, stop, diary| {
        let mut number = 0_u64;
        while stop.is_not_yet() {
            let name = format!("new-{run_ns}-{thread}-{number}");
            number += 1;
            let start_ns = task::monotonic_ns()?;
            let found = fstatat(&dir, name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
            let end_ns = task::monotonic_ns()?;
            match found {
                Err(nix::Error::ENOENT) => {}
                other => anyhow::bail!("look up {name} in {}: {other:?}", dir.as_raw_fd()),
            }
            diary.note(Span { start_ns, end_ns });
            if pause_ns > 0 {
                task::sleep_until(end_ns + pause_ns)?;
            }
        }
        Ok(())
    })
}
