//! Ctrl-C and SIGTERM: the run ends in order.

use std::{
    io,
    sync::{Arc, atomic::AtomicBool},
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

/// Registers the handlers. The flag becomes true with the first signal; a second one ends the
/// program at once (QEMU then dies with it).
///
/// # Errors
/// When the handlers can't be set.
pub fn interruption() -> io::Result<Arc<AtomicBool>> {
    let is_interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: a signal that finds the flag set by an earlier one exits.
        flag::register_conditional_shutdown(signal, 130, Arc::clone(&is_interrupted))?;
        flag::register(signal, Arc::clone(&is_interrupted))?;
    }
    Ok(is_interrupted)
}
