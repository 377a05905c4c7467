//! The guest's end of the result channel.

use std::{
    fs::File,
    io::Write,
    os::fd::AsFd,
    sync::{Mutex, PoisonError},
};

use fslockup::recording::frame;
use nix::sys::termios::{self, SetArg};

use super::Broken;
use crate::{arch::GUEST, protocol::Message};

const PORT: &str = GUEST.results_device;

/// Sends messages, one at a time.
pub struct Channel {
    state: Mutex<State>,
}

struct State {
    port: File,
    sent_count: u64,
}

impl Channel {
    /// Opens the port and takes the terminal's translations off it.
    pub fn open() -> Result<Self, Broken> {
        let port = File::options()
            .read(true)
            .write(true)
            .open(PORT)
            .map_err(|e| Broken::new(PORT, e))?;
        let mut settings = termios::tcgetattr(port.as_fd()).map_err(|e| Broken::new(PORT, e))?;
        termios::cfmakeraw(&mut settings);
        termios::tcsetattr(port.as_fd(), SetArg::TCSANOW, &settings)
            .map_err(|e| Broken::new(PORT, e))?;
        Ok(Self {
            state: Mutex::new(State {
                port,
                sent_count: 0,
            }),
        })
    }

    /// Sends one message. A port that fails can't be reported anywhere: the host sees a guest
    /// that stopped sending.
    pub fn send(&self, message: &Message) {
        let (kind, payload) = message.encode();
        let bytes = frame::encode(kind, &payload);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.port.write_all(&bytes).is_ok() {
            state.sent_count += 1;
        }
    }

    /// Says goodbye and waits until the last byte has left.
    pub fn finish(&self) {
        let sent_count = self
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .sent_count;
        self.send(&Message::Bye(sent_count));
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = termios::tcdrain(state.port.as_fd());
    }
}
