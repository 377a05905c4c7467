//! Children that come and go: names made and removed at the head of a directory's list, and now and
//! then one out of its middle.

use std::{
    fs::{self, File},
    path::PathBuf,
};

use anyhow::Context as _;
use fslockup_tests::{Span, task};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

use crate::until_stopped::{self, Threads};

/// Names that a thread has at a time.
const OWN_COUNT: u64 = 64;

#[derive(clap::Args)]
pub struct Args {
    /// A directory that `workload files` filled, in a ramfs: there a name that is removed leaves the cache
    #[arg(long)]
    dir: PathBuf,
    /// Names that it was filled with
    #[arg(long)]
    count: u64,
    /// After this many of its own names a thread removes one of those and makes it again
    #[arg(long, default_value_t = 30)]
    move_every: u64,
    /// The threads.
    #[command(flatten)]
    threads: Threads,
}

/// At any time each thread has at most [`OWN_COUNT`] more names in the directory, or one less.
pub fn churn(args: &Args) -> anyhow::Result<()> {
    std::env::set_current_dir(&args.dir).with_context(|| args.dir.display().to_string())?;
    let threads_count = u64::try_from(args.threads.cpus.as_ref().map_or(1, |list| list.0.len()))?;
    until_stopped::run(&args.threads, |thread, stop, diary| {
        let thread = u64::try_from(thread)?;
        let mut random = SmallRng::seed_from_u64(thread);
        let mut number = 0_u64;
        while stop.is_not_yet() {
            let start_ns = task::monotonic_ns()?;
            let name = format!("churn-{thread}-{}", number % OWN_COUNT);
            if number >= OWN_COUNT {
                fs::remove_file(&name).with_context(|| format!("remove {name}"))?;
            }
            File::create(&name).with_context(|| format!("make {name}"))?;
            // Each thread has its own share of these; the first one is what they are links to.
            let share = args.count.saturating_sub(1) / threads_count;
            if share > 0 && number.is_multiple_of(args.move_every) {
                let name = 1 + random.random_range(0..share) * threads_count + thread;
                let name = name.to_string();
                fs::remove_file(&name).with_context(|| format!("remove {name}"))?;
                fs::hard_link("0", &name).with_context(|| format!("make {name}"))?;
            }
            number += 1;
            diary.note(Span {
                start_ns,
                end_ns: task::monotonic_ns()?,
            });
        }
        for number in 0..number.min(OWN_COUNT) {
            fs::remove_file(format!("churn-{thread}-{number}"))?;
        }
        Ok(())
    })
}
