//! Runs one command of the job: its streams, its time limit, its end, and nothing left behind.

use std::{
    io::Read,
    os::{fd::AsFd, unix::process::CommandExt},
    process::{Command, Stdio},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, Signal, kill},
        signalfd::{SfdFlags, SignalFd},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

use super::{channel::Channel, setup::with_child_signal};
use crate::protocol::{
    CHUNK_BYTES, DISK_PATH, Ended, GuestCommand, Job, Message, OUT_PATH, Stream,
};

/// Where programs are looked up.
pub const PROGRAMS: &str = "/bin";
/// The same beside an init of its own, whose programs come first.
pub const PROGRAMS_BESIDE_INIT: &str = "/usr/sbin:/usr/bin:/sbin:/bin:/vmtest/bin";
/// Shells give these for a program that isn't there and one that can't be started.
const NOT_FOUND: i32 = 127;
const NOT_STARTED: i32 = 126;

/// Where a command may leave files.
pub fn out_dir(command: &GuestCommand) -> String {
    format!("{OUT_PATH}/{}", command.scenario)
}

/// Runs the command to its end.
pub fn run(channel: &Arc<Channel>, index: usize, command: &GuestCommand, job: &Job) -> Ended {
    let started = Instant::now();
    let end = start(channel, command, job);
    let (code, signal, is_timed_out) = match end {
        Ok((pid, readers)) => {
            let (status, is_timed_out) = wait(pid, Duration::from_millis(command.time_limit_ms));
            if !job.has_own_init {
                kill_the_rest();
            }
            for reader in readers {
                let _ = reader.join();
            }
            match status {
                WaitStatus::Exited(_, code) => (Some(code), None, is_timed_out),
                WaitStatus::Signaled(_, signal, _) => (None, Some(signal as i32), is_timed_out),
                _ => (None, None, is_timed_out),
            }
        }
        Err(error) => {
            let program = command.argv.first().map_or("(no program)", String::as_str);
            let text = format!("{program}: {error}\n");
            channel.send(&Message::Output(Stream::Stderr, text.into_bytes()));
            let code = if error.kind() == std::io::ErrorKind::NotFound {
                NOT_FOUND
            } else {
                NOT_STARTED
            };
            (Some(code), None, false)
        }
    };
    let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ended {
        index,
        code,
        signal,
        is_timed_out,
        duration_ms,
    }
}

type Readers = [JoinHandle<()>; 2];

fn start(
    channel: &Arc<Channel>,
    command: &GuestCommand,
    job: &Job,
) -> std::io::Result<(Pid, Readers)> {
    let out_dir = out_dir(command);
    std::fs::create_dir_all(&out_dir)?;
    let (program, arguments) = command
        .argv
        .split_first()
        .ok_or(std::io::ErrorKind::NotFound)?;
    let mut process = Command::new(program);
    process
        .args(arguments)
        .env_clear()
        .env("PATH", programs(job))
        .env("HOME", "/root")
        .env("VMTEST_SCENARIO", &command.scenario)
        .env("VMTEST_OUT", &out_dir)
        .env("VMTEST_MODE", &job.mode)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if job.has_own_init {
        process.env("VMTEST_DISK", "/");
    } else if job.disk_fs.is_some() {
        process.env("VMTEST_DISK", DISK_PATH);
    }
    if let Some(name) = &job.kernel_name {
        process.env("VMTEST_KERNEL", name);
    }
    let mut child = with_child_signal(&mut process).spawn()?;
    let stdout = child.stdout.take().expect("asked for a pipe");
    let stderr = child.stderr.take().expect("asked for a pipe");
    let readers = [
        forward(channel, Stream::Stdout, stdout),
        forward(channel, Stream::Stderr, stderr),
    ];
    Ok((Pid::from_raw(child.id().cast_signed()), readers))
}

fn programs(job: &Job) -> &'static str {
    if job.has_own_init {
        PROGRAMS_BESIDE_INIT
    } else {
        PROGRAMS
    }
}

fn forward(
    channel: &Arc<Channel>,
    stream: Stream,
    mut pipe: impl Read + Send + 'static,
) -> JoinHandle<()> {
    let channel = Arc::clone(channel);
    thread::spawn(move || {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            match pipe.read(&mut buffer) {
                Ok(0) => return,
                Ok(length) => channel.send(&Message::Output(stream, buffer[..length].to_vec())),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    })
}

/// Waits for one child, reaping every orphan that ends meanwhile.
fn wait(pid: Pid, limit: Duration) -> (WaitStatus, bool) {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGCHLD);
    let ends = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
        .expect("a signalfd can be had");
    let deadline = Instant::now() + limit;
    let mut is_timed_out = false;
    loop {
        while let Some(status) = reap() {
            if status.pid() == Some(pid) {
                return (status, is_timed_out);
            }
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = if is_timed_out {
            PollTimeout::NONE
        } else if left.is_zero() {
            is_timed_out = true;
            let _ = kill(Pid::from_raw(-pid.as_raw()), Signal::SIGKILL);
            continue;
        } else {
            // Rounded up, or the last millisecond would be spent spinning.
            PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        };
        let _ = poll(&mut [PollFd::new(ends.as_fd(), PollFlags::POLLIN)], timeout);
        while matches!(ends.read_signal(), Ok(Some(_))) {}
    }
}

fn reap() -> Option<WaitStatus> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Err(Errno::EINTR) => {}
            Err(_) | Ok(WaitStatus::StillAlive) => return None,
            Ok(status) => return Some(status),
        }
    }
}

/// Ends every process but this one, daemons in sessions of their own included: the next command
/// starts in a guest without them.
fn kill_the_rest() {
    let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
    loop {
        match waitpid(None, None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return,
        }
    }
}
