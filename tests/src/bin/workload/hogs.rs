//! Threads that never rest: long run queues, with no lock involved.

use fslockup_tests::{Span, task};

use crate::until_stopped::{self, Threads};

#[derive(clap::Args)]
pub struct Args {
    /// The threads.
    #[command(flatten)]
    threads: Threads,
}

pub fn hogs(args: &Args) -> anyhow::Result<()> {
    until_stopped::run(&args.threads, |_, stop, diary| {
        let mut start_ns = task::monotonic_ns()?;
        while stop.is_not_yet() {
            // Longer than a moment: something else ran in between.
            let end_ns = task::monotonic_ns()?;
            diary.note(Span { start_ns, end_ns });
            start_ns = end_ns;
        }
        Ok(())
    })
}
