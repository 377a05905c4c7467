//! Files of a directory are opened, read and closed, over and over: each of the three is an event that
//! somebody who watches the directory may want to hear of.

use std::{fs::File, io::Read as _, path::PathBuf};

use anyhow::Context as _;
use fslockup_tests::{Span, task};

use crate::until_stopped::{self, Threads};

#[derive(clap::Args)]
pub struct Args {
    /// The directory; each thread has a file of its own in it, by its number from 0 on, with a byte to
    /// read
    #[arg(long)]
    dir: PathBuf,
    /// The threads.
    #[command(flatten)]
    threads: Threads,
}

pub fn touch(args: &Args) -> anyhow::Result<()> {
    until_stopped::run(&args.threads, |thread, stop, diary| {
        let path = args.dir.join(thread.to_string());
        while stop.is_not_yet() {
            let start_ns = task::monotonic_ns()?;
            let mut file = File::open(&path).with_context(|| path.display().to_string())?;
            // A read of nothing is no event.
            file.read_exact(&mut [0])
                .with_context(|| path.display().to_string())?;
            drop(file);
            let end_ns = task::monotonic_ns()?;
            diary.note(Span { start_ns, end_ns });
        }
        Ok(())
    })
}
