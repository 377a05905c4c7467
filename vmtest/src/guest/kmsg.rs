//! Reads `/dev/kmsg`: warnings and worse go out as they come, the whole log at the end.

use std::{
    fs::File,
    io::{ErrorKind, Read},
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use nix::{
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use super::{Broken, channel::Channel};
use crate::{
    kernel_log::{LEVEL_WARNING, Record},
    protocol::{CHUNK_BYTES, Message},
};

const DEVICE: &str = "/dev/kmsg";
/// The kernel gives one record a read and refuses a shorter buffer (`CONSOLE_EXT_LOG_MAX`).
const RECORD_BYTES_MAX: usize = 8192;

/// The running reader.
pub struct KernelLog {
    channel: Arc<Channel>,
    device: Mutex<File>,
}

impl KernelLog {
    /// Opens the log at its beginning.
    pub fn open(channel: &Arc<Channel>) -> Result<Self, Broken> {
        Ok(Self {
            channel: Arc::clone(channel),
            device: Mutex::new(open_device()?),
        })
    }

    /// Starts a thread that sends records as they come.
    pub fn start(self: &Arc<Self>) {
        let log = Arc::clone(self);
        thread::spawn(move || {
            let Ok(waiting) = open_device() else { return };
            loop {
                let mut polled = [PollFd::new(waiting.as_fd(), PollFlags::POLLIN)];
                let _ = poll(&mut polled, PollTimeout::NONE);
                // This descriptor only wakes the thread; it is kept at the end of the log.
                let mut buffer = [0; RECORD_BYTES_MAX];
                while matches!((&waiting).read(&mut buffer), Ok(length) if length > 0) {}
                log.drain();
            }
        });
    }

    /// Sends what has come and was not sent yet.
    pub fn drain(&self) {
        let mut device = self.device.lock().unwrap_or_else(PoisonError::into_inner);
        each_record(&mut device, |bytes| {
            if Record::parse(bytes)
                .is_some_and(|record| record.is_from_kernel() && record.level() <= LEVEL_WARNING)
            {
                self.channel.send(&Message::Kmsg(bytes.to_vec()));
            }
        });
    }

    /// Sends the whole log as text.
    pub fn send_all(&self) {
        let Ok(mut device) = open_device() else {
            return;
        };
        let mut text = Vec::new();
        each_record(&mut device, |bytes| {
            if let Some(record) = Record::parse(bytes) {
                text.extend_from_slice(&record.render());
            }
        });
        for chunk in text.chunks(CHUNK_BYTES) {
            self.channel.send(&Message::KernelLog(chunk.to_vec()));
        }
    }
}

fn open_device() -> Result<File, Broken> {
    File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(DEVICE)
        .map_err(|error| Broken::new(DEVICE, error))
}

fn each_record(device: &mut File, mut take: impl FnMut(&[u8])) {
    let mut buffer = [0; RECORD_BYTES_MAX];
    loop {
        match device.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => take(&buffer[..length]),
            // EPIPE: records were overwritten before they were read; the next read goes on
            // with the oldest that is left.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            Err(_) => return,
        }
    }
}
