//! The guest's small start-up steps.

use std::{
    os::unix::process::CommandExt as _, process::Command, sync::Arc, thread, time::Duration,
};

use nix::sys::{
    resource::{Resource, setrlimit},
    signal::{SigSet, Signal},
    utsname::uname,
};

use super::{Broken, channel::Channel};
use crate::protocol::{Hello, JOB_PATH, Job, Message};

/// Guest time between two signs of life.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Children's ends are read from a signalfd (`command`): every thread must have the signal
/// blocked, so this runs before the first one is started.
pub fn block_child_signal() {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGCHLD);
    signals
        .thread_block()
        .expect("a valid signal can be blocked");
}

/// A program that is started inherits what is blocked; a shell whose child's end doesn't reach it waits for ever.
pub fn with_child_signal(process: &mut Command) -> &mut Command {
    let unblock = || {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGCHLD);
        Ok(signals.thread_unblock()?)
    };
    // SAFETY: sigprocmask(2) is async-signal-safe, and the set is the closure's own.
    unsafe { process.pre_exec(unblock) }
}

/// Starting a program looks it up in this process's own path; the kernel gives PID 1 none.
pub fn set_path(programs: &str) {
    // SAFETY: called before the first thread is started.
    unsafe { std::env::set_var("PATH", programs) };
}

/// Who this guest is.
pub fn hello() -> Result<Hello, Broken> {
    let names = uname().map_err(|error| Broken::new("uname", error))?;
    // A name for shell prompts and logs; without it the kernel says "(none)".
    let _ = nix::unistd::sethostname("guest");
    Ok(Hello {
        release: names.release().to_string_lossy().into_owned(),
        version: names.version().to_string_lossy().into_owned(),
        cpus_count: thread::available_parallelism().map_or(0, usize::from),
    })
}

/// Sends a sign of life every second, in a thread of its own, until the guest ends.
pub fn start_heartbeat(channel: &Arc<Channel>) {
    let channel = Arc::clone(channel);
    thread::spawn(move || {
        loop {
            thread::sleep(HEARTBEAT);
            channel.send(&Message::Heartbeat);
        }
    });
}

/// Reads what is to be done.
pub fn read_job() -> Result<Job, Broken> {
    let text = std::fs::read(JOB_PATH).map_err(|error| Broken::new(JOB_PATH, error))?;
    serde_json::from_slice(&text).map_err(|error| Broken::new(JOB_PATH, error))
}

/// Before 5.11 BPF maps count against this limit, which is 64 KiB by default.
pub fn raise_limits() {
    let unlimited = nix::libc::RLIM_INFINITY;
    let _ = setrlimit(Resource::RLIMIT_MEMLOCK, unlimited, unlimited);
}
