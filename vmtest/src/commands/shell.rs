//! `vmtest shell`: an interactive shell on a guest's console.

use std::{
    env, io,
    os::fd::{AsFd, AsRawFd},
    path::PathBuf,
    sync::atomic::AtomicBool,
};

use anyhow::{Result, bail};
use nix::{
    libc,
    sys::termios::{self, SetArg},
};

use super::{HARNESS_FAILED, INTERRUPTED};
use crate::{
    cli::ShellArgs,
    guest,
    image::busybox,
    manifest::kernels::Kernels,
    protocol::{Job, Message, ShellJob},
    vm::{self, End},
};

nix::ioctl_read_bad!(
    /// How large the terminal is.
    window_size,
    libc::TIOCGWINSZ,
    libc::winsize
);

/// Runs it.
///
/// # Errors
/// When the guest can't be made.
pub fn run(arguments: &ShellArgs, kernels: &Kernels, is_interrupted: &AtomicBool) -> Result<i32> {
    let guest = guest::prepare(&arguments.guest, kernels, is_interrupted)?;
    if !guest.content.has_busybox {
        bail!(busybox::find(&env::var("PATH").unwrap_or_default()).expect_err("just looked"));
    }
    complain!(
        "kernel {}, accelerator {} ({})",
        guest.kernel.name,
        guest.chosen.accelerator.name(),
        guest.chosen.reason
    );
    let (rows_count, columns_count) = terminal_size();
    let shell = ShellJob {
        term: env::var("TERM").unwrap_or_else(|_| "dumb".into()),
        rows_count,
        columns_count,
    };
    let job = Job {
        shell: Some(shell),
        ..Job::default()
    };
    let request = guest.request(job, PathBuf::new());
    // QEMU puts the terminal into raw mode, and can't put it back when it is killed.
    let settings = termios::tcgetattr(io::stdin().as_fd()).ok();
    let end = vm::run(&request, is_interrupted, |message| {
        if let Message::Trouble(text) = message {
            log::warn!("guest: {text}");
        }
    });
    if let Some(settings) = settings {
        let _ = termios::tcsetattr(io::stdin().as_fd(), SetArg::TCSANOW, &settings);
    }
    match end? {
        End::Finished => Ok(0),
        End::Interrupted => Ok(INTERRUPTED),
        end => {
            complain!("guest {end}");
            Ok(HARNESS_FAILED)
        }
    }
}

fn terminal_size() -> (u16, u16) {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: a pointer to a live structure of the type the call fills.
    let asked = unsafe { window_size(io::stdout().as_raw_fd(), &raw mut size) };
    if asked.is_ok() && size.ws_row > 0 {
        (size.ws_row, size.ws_col)
    } else {
        (24, 80)
    }
}
