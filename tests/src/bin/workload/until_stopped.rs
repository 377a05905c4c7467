//! Threads that do one thing over and over until standard input ends.

use std::{
    io::{Read as _, Write as _},
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use fslockup_tests::{
    Account, Span,
    background::STARTED,
    task::{self, CpuList},
};

/// Slow ones kept of each thread.
const SLOW_KEPT_COUNT: usize = 4096;

/// Which threads there are, and what of them is remarkable.
#[derive(clap::Args)]
pub struct Threads {
    /// CPUs to bind the threads to, one after another; unbound without
    #[arg(long, value_name = "LIST")]
    pub cpus: Option<CpuList>,
    /// Threads for each CPU of the list
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub per_cpu: usize,
    /// Real-time priority; 0 is an ordinary task
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub priority: i32,
    /// What took longer than this is in the account
    #[arg(long, value_name = "TIME", default_value = "1ms", value_parser = crate::duration)]
    pub threshold: Duration,
}

/// One thread's account while it is made.
pub struct Diary {
    account: Account,
    threshold_ns: u64,
}

impl Diary {
    /// Another one done.
    pub fn note(&mut self, span: Span) {
        self.account.times_count += 1;
        if span.length_ns() < self.threshold_ns {
            return;
        }
        if self.account.slow.len() < SLOW_KEPT_COUNT {
            self.account.slow.push(span);
        } else {
            self.account.slow_left_out_count += 1;
        }
    }
}

/// The sign to stop.
pub struct Stop(AtomicBool);

impl Stop {
    /// Not yet.
    pub fn is_not_yet(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }
}

/// Runs the body in each thread and prints all accounts at the end. The body is told its number.
pub fn run(
    threads: &Threads,
    body: impl Fn(usize, &Stop, &mut Diary) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<()> {
    let cpus: Vec<Option<usize>> = match &threads.cpus {
        Some(CpuList(cpus)) => cpus.iter().copied().map(Some).collect(),
        None => vec![None],
    };
    let cpus = cpus.repeat(threads.per_cpu);
    let (stop, all_run) = (Stop(AtomicBool::new(false)), Barrier::new(cpus.len() + 1));
    let threshold_ns = u64::try_from(threads.threshold.as_nanos())?;
    let one = |number: usize, cpu: Option<usize>| -> anyhow::Result<Account> {
        let prepared = prepare(cpu, threads.priority);
        all_run.wait();
        let account = Account {
            tid: prepared?,
            cpu,
            times_count: 0,
            slow: Vec::new(),
            slow_left_out_count: 0,
        };
        let mut diary = Diary {
            account,
            threshold_ns,
        };
        body(number, &stop, &mut diary)?;
        Ok(diary.account)
    };
    let accounts = thread::scope(|scope| {
        let one = &one;
        let handles: Vec<_> = cpus
            .iter()
            .enumerate()
            .map(|(number, cpu)| scope.spawn(move || one(number, *cpu)))
            .collect();
        all_run.wait();
        println!("{STARTED}");
        let _ = std::io::stdout().flush();
        // Whatever ends the input, it is over.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        stop.0.store(true, Ordering::Relaxed);
        handles
            .into_iter()
            .map(|handle| {
                handle
                    .join()
                    .unwrap_or_else(|_| anyhow::bail!("a thread panicked"))
            })
            .collect::<anyhow::Result<Vec<_>>>()
    })?;
    for account in accounts {
        println!("{}", serde_json::to_string(&account)?);
    }
    Ok(())
}

fn prepare(cpu: Option<usize>, priority: i32) -> anyhow::Result<u32> {
    if let Some(cpu) = cpu {
        task::bind_to(cpu)?;
    }
    if priority > 0 {
        task::be_realtime(priority)?;
    }
    task::tid()
}
