//! Long holds of a directory's `d_lock` without any walk of fsnotify's: seeking in a ramfs directory
//! counts its children one by one under that lock (`dcache_dir_lseek`, `scan_positives`).

use std::{
    fs::File,
    io::{Seek as _, SeekFrom},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context as _;
use fslockup_tests::{Span, task};

use crate::until_stopped::{self, Threads};

#[derive(clap::Args)]
pub struct Args {
    /// The directory, of a ramfs
    #[arg(long)]
    dir: PathBuf,
    /// To which of its entries
    #[arg(long)]
    to: u64,
    /// Rest between two seeks
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = crate::duration)]
    pause: Duration,
    /// The threads.
    #[command(flatten)]
    threads: Threads,
}

pub fn seek(args: &Args) -> anyhow::Result<()> {
    let pause_ns = u64::try_from(args.pause.as_nanos())?;
    until_stopped::run(&args.threads, |_, stop, diary| {
        let mut dir = File::open(&args.dir).with_context(|| args.dir.display().to_string())?;
        while stop.is_not_yet() {
            dir.seek(SeekFrom::Start(0))?;
            let start_ns = task::monotonic_ns()?;
            dir.seek(SeekFrom::Start(args.to))?;
            let end_ns = task::monotonic_ns()?;
            diary.note(Span { start_ns, end_ns });
            if pause_ns > 0 {
                task::sleep_until(end_ns + pause_ns)?;
            }
        }
        Ok(())
    })
}
