//! A program for which the kernel has another name.

use std::{
    fs::OpenOptions,
    io::Read as _,
    os::unix::{fs::FileExt as _, process::CommandExt as _},
    process::Command,
};

use anyhow::Context as _;
use nix::{
    errno::Errno,
    libc,
    sys::{
        ptrace::{self, Options},
        signal::Signal,
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, fork, getppid},
};

#[derive(clap::Args)]
pub struct Args {
    /// What `uname -r` says to it
    #[arg(long)]
    release: String,
    /// What `uname -v` says to it
    #[arg(long)]
    version: String,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    argv: Vec<String>,
}

/// Becomes the program, while a child of its own watches it and writes over what uname(2) gave it.
pub fn renamed(args: &Args) -> anyhow::Result<()> {
    let (mut ready, is_ready) = std::io::pipe()?;
    // SAFETY: this process has one thread.
    if let ForkResult::Child = unsafe { fork() }? {
        drop(ready);
        let traced = getppid();
        ptrace::seize(traced, Options::PTRACE_O_TRACESYSGOOD)?;
        ptrace::interrupt(traced)?;
        drop(is_ready);
        return rename(traced, args);
    }
    drop(is_ready);
    ready.read_to_end(&mut Vec::new())?;
    let error = Command::new(&args.argv[0]).args(&args.argv[1..]).exec();
    Err(error).with_context(|| args.argv[0].clone())
}

fn rename(traced: Pid, args: &Args) -> anyhow::Result<()> {
    loop {
        let signal = match waitpid(traced, None) {
            Ok(WaitStatus::PtraceSyscall(_)) => {
                write_names(traced, args)?;
                None
            }
            Ok(WaitStatus::Stopped(_, signal)) if signal != Signal::SIGTRAP => Some(signal),
            Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(Errno::ECHILD) => {
                return Ok(());
            }
            other => {
                other?;
                None
            }
        };
        match ptrace::syscall(traced, signal) {
            // SIGKILL doesn't wait for a tracer.
            Err(Errno::ESRCH) => {}
            other => other?,
        }
    }
}

/// Both stops of a system call come here; at the first one the result is -ENOSYS (ptrace(2)).
fn write_names(traced: Pid, args: &Args) -> anyhow::Result<()> {
    let registers = ptrace::getregs(traced)?;
    if registers.orig_rax != libc::SYS_uname.cast_unsigned() || registers.rax != 0 {
        return Ok(());
    }
    let memory = OpenOptions::new()
        .write(true)
        .open(format!("/proc/{traced}/mem"))?;
    let fields = [
        (std::mem::offset_of!(libc::utsname, release), &args.release),
        (std::mem::offset_of!(libc::utsname, version), &args.version),
    ];
    for (offset, name) in fields {
        // As long as the field (uname(2)), its end included.
        let mut bytes = name.clone().into_bytes();
        bytes.resize(65, 0);
        bytes[64] = 0;
        memory.write_all_at(&bytes, registers.rdi + u64::try_from(offset)?)?;
    }
    Ok(())
}
