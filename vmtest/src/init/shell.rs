//! An interactive shell on the guest's console.

use std::{
    fs::File,
    os::{fd::AsRawFd, unix::process::CommandExt},
    process::Command,
};

use nix::libc;

use super::{Broken, setup::with_child_signal};
use crate::{arch::GUEST, protocol::ShellJob};

nix::ioctl_write_ptr_bad!(set_window_size, libc::TIOCSWINSZ, libc::winsize);

/// Runs a shell with the console as its controlling terminal, until it exits.
pub fn run(job: &ShellJob) -> Result<(), Broken> {
    let failed = |error: std::io::Error| Broken::new("shell on the console", error);
    let console = File::options()
        .read(true)
        .write(true)
        .open(format!("/dev/{}", GUEST.console))
        .map_err(failed)?;
    let size = libc::winsize {
        ws_row: job.rows_count,
        ws_col: job.columns_count,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: an open terminal and a pointer to a live structure of the type it takes.
    let _ = unsafe { set_window_size(console.as_raw_fd(), &raw const size) };
    let mut shell = Command::new("/bin/sh");
    shell
        .env_clear()
        .env("PATH", "/bin")
        .env("HOME", "/root")
        .env("TERM", &job.term)
        .env("PS1", "guest:\\w# ")
        .current_dir("/root")
        .stdin(console.try_clone().map_err(failed)?)
        .stdout(console.try_clone().map_err(failed)?)
        .stderr(console);
    // SAFETY: both calls are async-signal-safe and touch no memory of this process.
    unsafe {
        shell.pre_exec(|| {
            nix::unistd::setsid()?;
            if libc::ioctl(0, libc::TIOCSCTTY, 0) == -1 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
    with_child_signal(&mut shell).status().map_err(failed)?;
    Ok(())
}
