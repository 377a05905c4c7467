//! What probes cost: something small, repeated, timed as a whole.

use std::{
    fs,
    io::{Read as _, Write as _, pipe},
    path::{Path, PathBuf},
    thread,
};

use anyhow::Context as _;
use fslockup_tests::{Cost, task};
use nix::{
    fcntl::{AT_FDCWD, AtFlags},
    sys::stat::fstatat,
};

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

#[derive(clap::Args)]
pub struct DentryArgs {
    /// A directory that is not there yet, on a disk
    #[arg(long)]
    dir: PathBuf,
    /// Names
    #[arg(long)]
    count: u64,
    /// Names in each directory
    #[arg(long, default_value_t = u64::MAX)]
    each: u64,
}

/// Lookups of names that don't exist, each once.
pub fn misses(args: &DentryArgs) -> anyhow::Result<()> {
    task::bind_to(0)?;
    let mut total = Cost {
        times_count: 0,
        total_ns: 0,
    };
    while total.times_count < args.count {
        let number = total.times_count;
        enter_new(&args.dir.join(number.to_string()))?;
        let names = args.each.min(args.count - number);
        let cost = timed(names, || miss(names))?;
        total.times_count += cost.times_count;
        total.total_ns += cost.total_ns;
    }
    print(&total)
}

/// Such names leave the cache again, with their directory.
pub fn kills(args: &DentryArgs) -> anyhow::Result<()> {
    task::bind_to(0)?;
    enter_new(&args.dir)?;
    miss(args.count)?;
    let cost = timed(args.count, || Ok(fs::remove_dir(&args.dir)?))?;
    print(&cost)
}

fn enter_new(dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
    std::env::set_current_dir(dir).with_context(|| format!("enter {}", dir.display()))
}

fn miss(count: u64) -> anyhow::Result<()> {
    for number in 0..count {
        // Names of one length: hashing them takes the same time.
        let name = format!("{number:08}");
        let found = fstatat(AT_FDCWD, name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
        let is_missing = found.is_err_and(|errno| errno == nix::Error::ENOENT);
        anyhow::ensure!(is_missing, "{name}: not a miss");
    }
    Ok(())
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
