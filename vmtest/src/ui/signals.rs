//! Ctrl-C, SIGTERM and the SIGHUP of a terminal that is closed: the run ends in order.

use std::{
    io,
    sync::{Arc, atomic::AtomicBool},
};

use nix::libc;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};

/// Registers the handlers. The flag becomes true with the first signal; a second one ends the
/// program at once: QEMU then dies with it, and the next start sweeps what it leaves (`leftovers`).
///
/// # Errors
/// When the handlers can't be set.
pub fn interruption() -> io::Result<Arc<AtomicBool>> {
    let is_interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        if signal == SIGHUP && is_ignored(signal) {
            continue;
        }
        // In this order: a signal that finds the flag set by an earlier one exits.
        flag::register_conditional_shutdown(signal, 130, Arc::clone(&is_interrupted))?;
        flag::register(signal, Arc::clone(&is_interrupted))?;
    }
    Ok(is_interrupted)
}

/// nohup(1) starts a program so that it outlives its terminal.
fn is_ignored(signal: libc::c_int) -> bool {
    // SAFETY: an all-zero structure is a valid one, and the call only fills it.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    }
}
