//! Reads `/dev/kmsg`: reports, warnings and worse go out as they come, the whole log where it is wanted.

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
    kernel_log::{LEVEL_WARNING, Record, classify},
    protocol::{CHUNK_BYTES, Message},
};

const DEVICE: &str = "/dev/kmsg";
/// The kernel gives one record a read and refuses a shorter buffer (`CONSOLE_EXT_LOG_MAX`).
const RECORD_BYTES_MAX: usize = 8192;

/// The running reader.
pub struct KernelLog {
    channel: Arc<Channel>,
    reader: Mutex<Reader>,
}

struct Reader {
    device: File,
    /// The number of the record that comes next.
    next_sequence: u64,
    /// Reports, and losses that may have been some.
    suspicions_count: u64,
}

impl KernelLog {
    /// Opens the log at its beginning.
    pub fn open(channel: &Arc<Channel>) -> Result<Self, Broken> {
        Ok(Self {
            channel: Arc::clone(channel),
            reader: Mutex::new(Reader {
                device: open_device()?,
                next_sequence: 0,
                suspicions_count: 0,
            }),
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

    /// Sends what has come and was not sent yet; returns how many reports and losses there were since the
    /// guest's start.
    pub fn drain(&self) -> u64 {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let Reader {
            device,
            next_sequence,
            suspicions_count,
        } = &mut *reader;
        each_record(device, |bytes| {
            let Some(record) = Record::parse(bytes) else {
                return;
            };
            let lost_count = record.sequence().saturating_sub(*next_sequence);
            *next_sequence = record.sequence() + 1;
            if lost_count > 0 {
                *suspicions_count += 1;
                self.channel.send(&Message::KmsgLost(lost_count));
            }
            if !record.is_from_kernel() {
                return;
            }
            // Not all reports are warnings: kmemleak's are information.
            let is_report = classify(record.text()).is_some();
            *suspicions_count += u64::from(is_report);
            if is_report || record.level() <= LEVEL_WARNING {
                self.channel.send(&Message::Kmsg(bytes.to_vec()));
            }
        });
        *suspicions_count
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
            // with the oldest that is left, whose number says how many went.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            Err(_) => return,
        }
    }
}
