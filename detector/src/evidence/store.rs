//! The state directory: opened once, then used through its file descriptor alone.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    },
    path::Path,
    thread,
    time::Duration,
};

use nix::{
    dir::Dir,
    errno::Errno,
    fcntl::{AtFlags, Flock, FlockArg, OFlag, openat},
    sys::stat::{Mode, SFlag, fstatat},
    unistd::{UnlinkatFlags, fsync, unlinkat},
};

use super::{
    line::{self, Line, RunBody, RunState},
    rotation::{FileFacts, Limits, name, number},
    writer::Disk,
};
use crate::{clock, schema};

/// `fslockup report` holds the lock for a moment, to see whether somebody writes; so does an instance
/// that is just ending.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
const LOCK_PERIOD: Duration = Duration::from_millis(20);

/// The state directory of a running daemon.
#[derive(Debug)]
pub struct Store {
    dir: Flock<File>,
    limits: Limits,
    /// All but the one that is written to, by number.
    older: Vec<KeptFile>,
    file: File,
    number: u32,
    bytes: u64,
    /// Time of its first line, CLOCK_REALTIME.
    first_ns: i64,
    /// Its last line was cut by the end of an earlier run.
    is_torn: bool,
    /// What a later file begins with.
    run: Option<RunBody>,
}

#[derive(Debug)]
struct KeptFile {
    number: u32,
    bytes: u64,
    /// Time of its last line, CLOCK_REALTIME.
    last_ns: i64,
}

impl Store {
    /// Opens the directory, which is made if only itself is missing, and its latest file, which must be
    /// writable.
    ///
    /// # Errors
    /// Those of the file system; [`io::ErrorKind::ResourceBusy`] where another instance writes there.
    pub fn open(path: &Path, limits: Limits) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let dir = lock(open_dir(path)?)?;
        let mut older = list(&dir)?;
        let latest = older.pop();
        let now_ns = clock::realtime_ns();
        let number = latest.as_ref().map_or(1, |file| file.number);
        let file = open_file(&dir, number)?;
        let bytes = file.metadata()?.len();
        if latest.is_none() {
            fsync(&*dir)?;
        }
        let store = Self {
            first_ns: first_ns(&file).unwrap_or(now_ns),
            is_torn: is_torn(&file, bytes)?,
            dir,
            limits,
            older,
            file,
            number,
            bytes,
            run: None,
        };
        Ok(store)
    }

    /// Later files begin with this run.
    pub fn run(&mut self, run: RunBody) {
        self.run = Some(run);
    }

    fn rotate(&mut self, now_ns: i64) -> io::Result<()> {
        let mut files: Vec<_> = self.older.iter().map(|file| facts(file, now_ns)).collect();
        files.push(FileFacts {
            number: self.number,
            bytes: self.bytes,
            age: Duration::ZERO,
        });
        for gone in self.limits.superfluous(&files) {
            match unlinkat(&*self.dir, name(gone).as_str(), UnlinkatFlags::NoRemoveDir) {
                Ok(()) | Err(Errno::ENOENT) => self.older.retain(|file| file.number != gone),
                Err(error) => return Err(error.into()),
            }
        }
        let number = self.number.checked_add(1).ok_or(Errno::EOVERFLOW)?;
        let mut file = open_file(&self.dir, number)?;
        let header = self.run.as_ref().map_or_else(Vec::new, |run| {
            line::run(&RunBody {
                state: RunState::Continued,
                at: schema::values::time(now_ns),
                started_at: Some(run.at.clone()),
                ..run.clone()
            })
        });
        let begun = file
            .write_all(&header)
            .and_then(|()| Ok(fsync(&*self.dir)?));
        if let Err(error) = begun {
            // The old file goes on; what is left of the new one would be taken for the latest.
            let _ = unlinkat(
                &*self.dir,
                name(number).as_str(),
                UnlinkatFlags::NoRemoveDir,
            );
            return Err(error);
        }
        self.older.push(KeptFile {
            number: self.number,
            bytes: self.bytes,
            last_ns: now_ns,
        });
        self.file = file;
        self.number = number;
        self.bytes = u64::try_from(header.len()).unwrap_or(u64::MAX);
        self.first_ns = now_ns;
        Ok(())
    }
}

impl Disk for Store {
    fn make_room(&mut self, line_bytes: u64) -> io::Result<()> {
        if self.is_torn {
            self.file.write_all(b"\n")?;
            self.bytes += 1;
            self.is_torn = false;
        }
        let now_ns = clock::realtime_ns();
        if self
            .limits
            .is_full(self.bytes, line_bytes, since(self.first_ns, now_ns))
        {
            self.rotate(now_ns)?;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += u64::try_from(written).unwrap_or(u64::MAX);
        Ok(written)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Whether a running instance writes to the directory.
///
/// # Errors
/// Those of the file system.
pub fn is_in_use(path: &Path) -> io::Result<bool> {
    match Flock::lock(open_dir(path)?, FlockArg::LockSharedNonblock) {
        Ok(_) => Ok(false),
        Err((_, Errno::EWOULDBLOCK)) => Ok(true),
        Err((_, error)) => Err(error.into()),
    }
}

/// The files of a directory by number, oldest first, each opened when its turn comes.
///
/// # Errors
/// Those of the file system. A file that went away meanwhile is left out.
pub fn files(path: &Path) -> io::Result<impl Iterator<Item = (String, io::Result<File>)>> {
    let dir = open_dir(path)?;
    let kept = list(&dir)?;
    Ok(kept.into_iter().filter_map(move |file| {
        let name = name(file.number);
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        match openat(&dir, name.as_str(), flags, Mode::empty()) {
            Err(Errno::ENOENT) => None,
            opened => Some((name, opened.map(File::from).map_err(io::Error::from))),
        }
    }))
}

fn open_dir(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_DIRECTORY | OFlag::O_CLOEXEC).bits())
        .open(path)
}

fn lock(mut dir: File) -> io::Result<Flock<File>> {
    let mut waited = Duration::ZERO;
    loop {
        match Flock::lock(dir, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => return Ok(locked),
            Err((again, Errno::EWOULDBLOCK)) if waited < LOCK_PATIENCE => {
                dir = again;
                thread::sleep(LOCK_PERIOD);
                waited += LOCK_PERIOD;
            }
            Err((_, Errno::EWOULDBLOCK)) => {
                return Err(io::Error::new(
                    io::ErrorKind::ResourceBusy,
                    "another fslockup writes there (give each its own --state-dir)",
                ));
            }
            Err((_, error)) => return Err(error.into()),
        }
    }
}

/// Regular files with a name of ours, by number.
fn list(dir: &File) -> io::Result<Vec<KeptFile>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let opened: OwnedFd = openat(dir, ".", flags, Mode::empty())?;
    let mut found = Vec::new();
    for entry in Dir::from_fd(opened)?.iter() {
        let entry = entry?;
        let Some(number) = entry.file_name().to_str().ok().and_then(number) else {
            continue;
        };
        let stat = match fstatat(dir, entry.file_name(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::ENOENT) => continue,
            Err(error) => return Err(error.into()),
        };
        if SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFREG {
            found.push(KeptFile {
                number,
                bytes: u64::try_from(stat.st_size).unwrap_or(0),
                last_ns: stat.st_mtime.saturating_mul(1_000_000_000),
            });
        }
    }
    found.sort_unstable_by_key(|file| file.number);
    Ok(found)
}

fn open_file(dir: &File, number: u32) -> io::Result<File> {
    let flags = OFlag::O_RDWR
        | OFlag::O_CREAT
        | OFlag::O_APPEND
        | OFlag::O_NOFOLLOW
        | OFlag::O_NONBLOCK
        | OFlag::O_CLOEXEC;
    let opened = openat(
        dir,
        name(number).as_str(),
        flags,
        Mode::from_bits_truncate(0o600),
    )?;
    let file = File::from(opened);
    if !file.metadata()?.is_file() {
        let what = format!("{} is no file", name(number));
        return Err(io::Error::other(what));
    }
    Ok(file)
}

/// Time of the first line, where that is one of ours, else of the last.
fn first_ns(file: &File) -> Option<i64> {
    let mut start = Vec::new();
    // Appending doesn't care where reading has come to.
    file.take(4096).read_to_end(&mut start).ok()?;
    let first = start.split(|byte| *byte == b'\n').next()?;
    let at = match line::read(first) {
        Ok(Line::Run(run)) => schema::values::realtime_ns(&run.at),
        _ => None,
    };
    let metadata = file.metadata().ok()?;
    (metadata.len() > 0).then(|| at.unwrap_or(metadata.mtime().saturating_mul(1_000_000_000)))
}

fn is_torn(file: &File, bytes: u64) -> io::Result<bool> {
    let Some(last) = bytes.checked_sub(1) else {
        return Ok(false);
    };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    Ok(byte != *b"\n")
}

fn facts(file: &KeptFile, now_ns: i64) -> FileFacts {
    FileFacts {
        number: file.number,
        bytes: file.bytes,
        age: since(file.last_ns, now_ns),
    }
}

/// Zero where the clock was set back.
fn since(then_ns: i64, now_ns: i64) -> Duration {
    Duration::from_nanos(u64::try_from(now_ns.saturating_sub(then_ns)).unwrap_or(0))
}

#[cfg(test)]
mod tests;
