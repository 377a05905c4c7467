//! Sleeps with absolute ends: how much later than that a sleeper ran is what its CPU did to it.

use std::time::Duration;

use fslockup_tests::{Span, task};

use crate::until_stopped::{self, Threads};

#[derive(clap::Args)]
pub struct Args {
    /// From one end of a sleep to the next
    #[arg(long, value_name = "TIME", default_value = "2ms", value_parser = crate::duration)]
    period: Duration,
    /// The threads.
    #[command(flatten)]
    threads: Threads,
}

pub fn sleepers(args: &Args) -> anyhow::Result<()> {
    let period_ns = u64::try_from(args.period.as_nanos())?;
    until_stopped::run(&args.threads, |_, stop, diary| {
        let mut wanted_ns = task::monotonic_ns()?;
        while stop.is_not_yet() {
            wanted_ns += period_ns;
            task::sleep_until(wanted_ns)?;
            let ran_ns = task::monotonic_ns()?;
            diary.note(Span {
                start_ns: wanted_ns,
                end_ns: ran_ns,
            });
            // One that came late would not sleep at all the next times: those are no delays.
            wanted_ns = wanted_ns.max(ran_ns);
        }
        Ok(())
    })
}
