//! Watches of every kind, each system call timed by the one who makes it.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::ValueEnum;
use fslockup_tests::{TimedCall, task};
use nix::sys::{
    fanotify::{EventFFlags, Fanotify, InitFlags as FanInit, MarkFlags, MaskFlags},
    inotify::{AddWatchFlags, InitFlags, Inotify},
    stat::{major, minor},
};

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Via {
    Inotify,
    Fanotify,
    Dnotify,
}

#[derive(clap::Args)]
pub struct Args {
    /// The directory
    #[arg(long)]
    dir: PathBuf,
    /// Which interface
    #[arg(long, value_enum, default_value = "inotify")]
    via: Via,
    /// Only events on the directory's entries, none on its children: such a watch does not walk
    #[arg(long)]
    entries_only: bool,
    /// Take the watch away again
    #[arg(long)]
    remove: bool,
    /// Watch this directory too, before and until the end: while a file system has no watch at
    /// all, an access to a child returns before it looks at its parent (`s_fsnotify_connectors`)
    #[arg(long, value_name = "DIR")]
    other: Option<PathBuf>,
    /// Then open and close this file of the directory
    #[arg(long, value_name = "NAME")]
    open_child: Option<String>,
    /// On this CPU
    #[arg(long)]
    cpu: Option<usize>,
    /// Not before this moment of CLOCK_MONOTONIC
    #[arg(long, value_name = "NS")]
    at_ns: Option<u64>,
    /// Keep the CPU for this long before the system call: who shares it waits already
    #[arg(long, value_name = "TIME", value_parser = crate::duration)]
    busy_before: Option<Duration>,
    /// Share the CPU with others, as most programs do
    #[arg(long)]
    ordinary: bool,
    /// In a thread of its own: thread and process have different ids
    #[arg(long)]
    in_thread: bool,
    /// Keep the watch until standard input ends
    #[arg(long)]
    hold: bool,
}

impl Args {
    fn wait(&self) -> anyhow::Result<()> {
        self.at_ns.map_or(Ok(()), task::sleep_until)?;
        let until = self.busy_before.map(|busy| Instant::now() + busy);
        while until.is_some_and(|until| Instant::now() < until) {}
        Ok(())
    }
}

pub fn watch(args: &Args) -> anyhow::Result<()> {
    if !args.in_thread {
        return put(args);
    }
    let joined = std::thread::scope(|scope| scope.spawn(|| put(args)).join());
    joined.unwrap_or_else(|_| anyhow::bail!("the thread panicked"))
}

fn put(args: &Args) -> anyhow::Result<()> {
    if let Some(cpu) = args.cpu {
        task::bind_to(cpu)?;
    }
    // On a guest's only CPU the detector would run as soon as the walk's record wakes it, before
    // the system call returns, and would be counted as part of the call.
    if !args.ordinary {
        task::be_realtime(1)?;
    }
    let metadata = std::fs::metadata(&args.dir).with_context(|| args.dir.display().to_string())?;
    let clock = Clock {
        ino: metadata.ino(),
        dev: format!("{}:{}", major(metadata.dev()), minor(metadata.dev())),
    };
    let other = Inotify::init(InitFlags::IN_CLOEXEC)?;
    if let Some(dir) = &args.other {
        other
            .add_watch(dir, AddWatchFlags::IN_OPEN)
            .with_context(|| dir.display().to_string())?;
    }
    match args.via {
        Via::Inotify => inotify(args, &clock)?,
        Via::Fanotify => fanotify(args, &clock)?,
        Via::Dnotify => dnotify(args, &clock)?,
    }
    Ok(())
}

fn inotify(args: &Args, clock: &Clock) -> anyhow::Result<()> {
    let mask = if args.entries_only {
        AddWatchFlags::IN_CREATE
    } else {
        AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_OPEN
    };
    let group = Inotify::init(InitFlags::IN_CLOEXEC)?;
    args.wait()?;
    let asked = names(mask.iter_names());
    let watch = clock.time("watch", "inotify_add_watch", Some(&asked), || {
        group.add_watch(&args.dir, mask)
    })?;
    if args.remove {
        clock.time("unwatch", "inotify_rm_watch", None, || {
            group.rm_watch(watch)
        })?;
    }
    afterwards(args, clock)
}

fn fanotify(args: &Args, clock: &Clock) -> anyhow::Result<()> {
    let mask = if args.entries_only {
        MaskFlags::FAN_OPEN
    } else {
        MaskFlags::FAN_MODIFY | MaskFlags::FAN_EVENT_ON_CHILD
    };
    let group = Fanotify::init(
        FanInit::FAN_CLASS_NOTIF | FanInit::FAN_CLOEXEC,
        EventFFlags::O_RDONLY,
    )?;
    let mark = |flags| group.mark(flags, mask, nix::fcntl::AT_FDCWD, Some(&args.dir));
    args.wait()?;
    let asked = names(mask.iter_names());
    clock.time("watch", "fanotify_mark", Some(&asked), || {
        mark(MarkFlags::FAN_MARK_ADD)
    })?;
    if args.remove {
        clock.time("unwatch", "fanotify_mark", Some(&asked), || {
            mark(MarkFlags::FAN_MARK_REMOVE)
        })?;
    }
    afterwards(args, clock)
}

fn dnotify(args: &Args, clock: &Clock) -> anyhow::Result<()> {
    let directory = File::open(&args.dir)?;
    // linux/fcntl.h.
    let (mask, asked) = if args.entries_only {
        (0x4, "DN_CREATE")
    } else {
        (0x2, "DN_MODIFY")
    };
    // F_NOTIFY is not in nix: linux/fcntl.h, F_LINUX_SPECIFIC_BASE + 2.
    const F_NOTIFY: i32 = 1024 + 2;
    let notify = |mask: i32| {
        // SAFETY: fcntl(2) with an integer argument on an open file descriptor.
        nix::Error::result(unsafe { nix::libc::fcntl(directory.as_raw_fd(), F_NOTIFY, mask) })
    };
    args.wait()?;
    clock.time("watch", "fcntl", Some(asked), || notify(mask))?;
    if args.remove {
        clock.time("unwatch", "fcntl", Some("0x0"), || notify(0))?;
    }
    afterwards(args, clock)
}

/// What comes while the watch's group is still open.
fn afterwards(args: &Args, clock: &Clock) -> anyhow::Result<()> {
    if let Some(name) = &args.open_child {
        let path = args.dir.join(name);
        clock.time("open-child", "openat", None, || {
            File::open(&path)
                .map_err(|error| nix::Error::from_raw(error.raw_os_error().unwrap_or(0)))
        })?;
    }
    if args.hold {
        std::io::stdin().read_to_end(&mut Vec::new())?;
    }
    Ok(())
}

/// As a programmer writes it.
fn names<T>(flags: impl Iterator<Item = (&'static str, T)>) -> String {
    flags.map(|(name, _)| name).collect::<Vec<_>>().join("|")
}

struct Clock {
    ino: u64,
    dev: String,
}

impl Clock {
    fn time<T>(
        &self,
        step: &str,
        syscall: &str,
        mask: Option<&str>,
        call: impl FnOnce() -> nix::Result<T>,
    ) -> anyhow::Result<T> {
        let start_ns = task::monotonic_ns()?;
        let outcome = call();
        let end_ns = task::monotonic_ns()?;
        let outcome = outcome.with_context(|| step.to_owned())?;
        let timed = TimedCall {
            step: step.to_owned(),
            syscall: syscall.to_owned(),
            start_ns,
            end_ns,
            pid: std::process::id(),
            tid: task::tid()?,
            ino: self.ino,
            dev: self.dev.clone(),
            mask: mask.map(str::to_owned),
        };
        println!("{}", serde_json::to_string(&timed)?);
        std::io::stdout().flush()?;
        Ok(outcome)
    }
}
