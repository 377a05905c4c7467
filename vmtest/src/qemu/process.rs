//! The QEMU process: it never outlives this one, and never goes unreaped.

use std::{
    ffi::OsString,
    fs::File,
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
};

use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::{prctl, signal::Signal},
};

use super::{argv, version::PROGRAM};

/// A running QEMU; killed and reaped when dropped.
#[derive(Debug)]
pub struct Qemu {
    child: Child,
}

impl Qemu {
    /// Starts it; returns it with the host's end of the result channel.
    ///
    /// Must be called by a thread that lives as long as the guest: the kernel ends the child with
    /// the *thread* that started it.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(
        arguments: &[OsString],
        messages: &Path,
        is_interactive: bool,
    ) -> io::Result<(Self, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        let theirs = OwnedFd::from(theirs);
        let descriptor = theirs.as_raw_fd();
        let mut command = Command::new(PROGRAM);
        command
            .args(arguments)
            .args(argv::results(descriptor))
            .stderr(File::create(messages)?);
        if !is_interactive {
            // A group of its own: a terminal's Ctrl-C goes to vmtest, which ends QEMU in order.
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .process_group(0);
        }
        let parent = std::process::id();
        // SAFETY: system calls alone, all of them async-signal-safe; nothing is allocated.
        unsafe {
            command.pre_exec(move || {
                prctl::set_pdeathsig(Signal::SIGKILL)?;
                if std::os::unix::process::parent_id() != parent {
                    return Err(io::Error::from(io::ErrorKind::BrokenPipe));
                }
                fcntl(&theirs, FcntlArg::F_SETFD(FdFlag::empty()))?;
                Ok(())
            });
        }
        let child = command.spawn()?;
        // The closure holds the other end: it has to go, or the socket never ends.
        drop(command);
        Ok((Self { child }, ours))
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Ends it now.
    pub fn kill(&mut self) -> Option<ExitStatus> {
        // An error means that it has ended by itself.
        let _ = self.child.kill();
        self.child.wait().ok()
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        self.kill();
    }
}
