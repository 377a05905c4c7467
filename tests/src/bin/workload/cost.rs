//! What probes cost: something small, repeated, timed as a whole.

use std::{
    io::{Read as _, Write as _, pipe},
    thread,
};

use anyhow::Context as _;
use fslockup_tests::{Cost, task};

#[derive(clap::Args)]
pub struct Args {
    /// Repetitions
    #[arg(long)]
    count: u64,
}

/// Two threads on one CPU pass a byte to and fro: each pass is a wakeup and a context switch.
pub fn ping_pong(args: &Args) -> anyhow::Result<()> {
    task::bind_to(0)?;
    let (mut ping_in, mut ping_out) = pipe()?;
    let (mut pong_in, mut pong_out) = pipe()?;
    let other = thread::spawn(move || -> std::io::Result<()> {
        let mut byte = [0];
        while ping_in.read(&mut byte)? == 1 {
            pong_out.write_all(&byte)?;
        }
        Ok(())
    });
    let mut byte = [1];
    let cost = timed(args.count * 2, || {
        for _ in 0..args.count {
            ping_out.write_all(&byte)?;
            pong_in.read_exact(&mut byte)?;
        }
        Ok(())
    })?;
    drop(ping_out);
    other.join().ok().context("the other thread panicked")??;
    print(&cost)
}

/// dup(2) and close(2): each takes the lock of the process's table of files, which nobody else wants.
pub fn uncontended(args: &Args) -> anyhow::Result<()> {
    task::bind_to(0)?;
    let cost = timed(args.count, || {
        for _ in 0..args.count {
            drop(nix::unistd::dup(std::io::stdin())?);
        }
        Ok(())
    })?;
    print(&cost)
}

fn timed(times_count: u64, body: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Cost> {
    let start_ns = task::monotonic_ns()?;
    body()?;
    Ok(Cost {
        times_count,
        total_ns: task::monotonic_ns()? - start_ns,
    })
}

fn print(cost: &Cost) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(cost)?);
    Ok(())
}
