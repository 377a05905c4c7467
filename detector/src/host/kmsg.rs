//! What the kernel itself says, as it says it.

use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Read as _, Seek as _, SeekFrom},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
        unix::fs::OpenOptionsExt as _,
    },
};

use crate::facts::KERNEL_LOG;

/// Longest record that the kernel gives (`PRINTK_MESSAGE_MAX`, 2 KiB before 6.x).
const RECORD_BYTES_MAX: usize = 8 << 10;

/// The kernel's log from now on.
pub struct KernelLog {
    file: File,
}

impl KernelLog {
    /// Opens it behind the last record; none where it may not be read, which the facts say.
    pub fn open() -> Option<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(nix::libc::O_NONBLOCK)
            .open(KERNEL_LOG)
            .ok()?;
        file.seek(SeekFrom::End(0)).ok()?;
        Some(Self { file })
    }

    /// The next record; none if there is none yet.
    pub fn read(&mut self) -> Option<Vec<u8>> {
        let mut record = vec![0; RECORD_BYTES_MAX];
        loop {
            match self.file.read(&mut record) {
                Ok(bytes) => {
                    record.truncate(bytes);
                    return (bytes > 0).then_some(record);
                }
                // Records were overwritten before they were read: the next read goes on behind them.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }
}

impl AsFd for KernelLog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsRawFd for KernelLog {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}
