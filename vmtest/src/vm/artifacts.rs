//! Files that come out of a guest, put together again and checked.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Component, Path, PathBuf},
};

use fslockup::escape::escape_rest;

use crate::protocol::{FileEnd, Message};

/// The scenario's own streams are kept under these names beside its files.
pub const STREAM_NAMES: [&str; 2] = ["stdout", "stderr"];

/// The most that is kept of one file, and of one of the streams.
pub const FILE_BYTES_MAX: u64 = 64 << 20;
/// The most that is kept of all files of a scenario.
const ALL_BYTES_MAX: u64 = 256 << 20;
/// What a file counts for beside its bytes: empty ones fill a disk too.
const EACH_FILE_BYTES: u64 = 4 << 10;
/// Problems beyond these add nothing.
const PROBLEMS_MAX: usize = 100;

/// Receives the files of one scenario.
#[derive(Debug)]
pub struct Files {
    /// Where they go; nowhere when the user wants none.
    directory: Option<PathBuf>,
    open: BTreeMap<String, u64>,
    complete: Vec<String>,
    problems: Vec<String>,
    all_bytes: u64,
}

impl Files {
    /// Files go below `directory`, which is made when the first one comes.
    #[must_use]
    pub fn new(directory: Option<PathBuf>) -> Self {
        Self {
            directory,
            open: BTreeMap::new(),
            complete: Vec::new(),
            problems: Vec::new(),
            all_bytes: 0,
        }
    }

    /// Takes what belongs to a file; passes over every other message.
    pub fn take(&mut self, message: &Message) {
        let Some(directory) = self.directory.clone() else {
            return;
        };
        match message {
            Message::FileChunk(name, offset_bytes, bytes) => {
                let Some(path) = self.path(&directory, name) else {
                    return;
                };
                let length_bytes = bytes.len() as u64;
                if let Err(problem) = self.admit(name, *offset_bytes, length_bytes) {
                    return self.problem(problem);
                }
                match write_at(&path, *offset_bytes, bytes) {
                    Ok(()) => *self.open.entry(name.clone()).or_default() += length_bytes,
                    Err(error) => self.problem(format!("{}: {error}", path.display())),
                }
            }
            Message::FileEnd(end) => {
                let Some(path) = self.path(&directory, &end.name) else {
                    return;
                };
                let received = self.open.remove(&end.name).unwrap_or(0);
                if received == 0
                    && let Err(problem) = self.admit(&end.name, 0, 0)
                {
                    return self.problem(problem);
                }
                match check(&path, end, received) {
                    Ok(()) => self.complete.push(end.name.clone()),
                    Err(problem) => self.problem(format!("{}: {problem}", path.display())),
                }
            }
            _ => {}
        }
    }

    /// Names of the files that came whole.
    #[must_use]
    pub fn complete(&self) -> &[String] {
        &self.complete
    }

    /// What went wrong, and which files were cut off.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let cut = self.open.keys().map(|name| {
            format!(
                "{}: cut off, the guest did not finish it",
                escape_rest(name.as_bytes())
            )
        });
        self.problems.iter().cloned().chain(cut).collect()
    }

    /// Guests are not trusted: their files must not fill the disk, nor be larger than they are.
    fn admit(&mut self, name: &str, offset_bytes: u64, length_bytes: u64) -> Result<(), String> {
        let name = escape_rest(name.as_bytes());
        if offset_bytes.saturating_add(length_bytes) > FILE_BYTES_MAX {
            return Err(format!(
                "{name}: more than {} MiB, the rest is not kept",
                FILE_BYTES_MAX >> 20
            ));
        }
        let more_bytes = if offset_bytes == 0 {
            length_bytes + EACH_FILE_BYTES
        } else {
            length_bytes
        };
        if self.all_bytes + more_bytes > ALL_BYTES_MAX {
            return Err(format!(
                "{name}: all files together are more than {} MiB, the rest is not kept",
                ALL_BYTES_MAX >> 20
            ));
        }
        self.all_bytes += more_bytes;
        Ok(())
    }

    /// Each once: a file that is too long is so with each of its chunks.
    fn problem(&mut self, problem: String) {
        if self.problems.len() < PROBLEMS_MAX && !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Guests are not trusted: a name must not lead out of the directory.
    fn path(&mut self, directory: &Path, name: &str) -> Option<PathBuf> {
        let is_plain = Path::new(name)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if is_plain && !name.is_empty() && !STREAM_NAMES.contains(&name) {
            return Some(directory.join(name));
        }
        self.problem(format!(
            "file {name:?} of the guest: not a name that can be kept"
        ));
        None
    }
}

fn write_at(path: &Path, offset_bytes: u64, bytes: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut file = File::options()
        .create(true)
        .write(true)
        .truncate(offset_bytes == 0)
        .open(path)?;
    file.seek(SeekFrom::Start(offset_bytes))?;
    file.write_all(bytes)
}

fn check(path: &Path, end: &FileEnd, received_bytes: u64) -> Result<(), String> {
    if end.size_bytes == 0 {
        return write_at(path, 0, &[]).map_err(|error| error.to_string());
    }
    if received_bytes != end.size_bytes {
        return Err(format!("{received_bytes} of {} bytes came", end.size_bytes));
    }
    let mut hasher = crc32fast::Hasher::new();
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer).map_err(|error| error.to_string())? {
            0 => break,
            length => hasher.update(&buffer[..length]),
        }
    }
    if hasher.finalize() == end.crc32 {
        Ok(())
    } else {
        Err("its checksum does not match".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end_of(name: &str, bytes: &[u8]) -> Message {
        let crc32 = crc32fast::hash(bytes);
        Message::FileEnd(FileEnd {
            name: name.into(),
            size_bytes: bytes.len() as u64,
            crc32,
        })
    }

    fn chunk(name: &str, offset_bytes: u64, bytes: &[u8]) -> Message {
        Message::FileChunk(name.into(), offset_bytes, bytes.to_vec())
    }

    #[test]
    fn a_file_in_pieces_is_whole_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut files = Files::new(Some(directory.path().join("x")));
        for message in [
            chunk("a/b", 0, b"he"),
            chunk("a/b", 2, b"llo"),
            end_of("a/b", b"hello"),
            end_of("empty", b""),
        ] {
            files.take(&message);
        }
        assert_eq!(files.complete(), ["a/b", "empty"]);
        assert!(files.problems().is_empty());
        assert_eq!(
            fs::read(directory.path().join("x/a/b")).expect("there"),
            b"hello"
        );
    }

    #[test]
    fn a_lost_a_wrong_and_a_cut_file_are_noticed() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut files = Files::new(Some(directory.path().to_owned()));
        for message in [
            chunk("lost", 2, b"llo"),
            end_of("lost", b"hello"),
            chunk("wrong", 0, b"hallo"),
            end_of("wrong", b"hello"),
            chunk("cut", 0, b"x"),
        ] {
            files.take(&message);
        }
        let problems = files.problems().join("\n");
        for part in [
            "3 of 5 bytes came",
            "checksum does not match",
            "cut: cut off",
        ] {
            assert!(problems.contains(part), "{problems}");
        }
        assert!(files.complete().is_empty());
    }

    #[test]
    fn a_guest_can_fill_no_disk_with_its_files() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut files = Files::new(Some(directory.path().to_owned()));
        for offset_bytes in [FILE_BYTES_MAX, 1 << 62, u64::MAX] {
            files.take(&chunk("far", offset_bytes, b"x"));
        }
        assert!(!directory.path().join("far").exists());
        assert_eq!(
            files.problems(),
            ["far: more than 64 MiB, the rest is not kept"]
        );
        // The limits themselves, without the bytes.
        for index in 0..4 {
            assert_eq!(
                files.admit("big", 0, FILE_BYTES_MAX - EACH_FILE_BYTES),
                Ok(()),
                "{index}"
            );
        }
        files.take(&end_of("empty", b""));
        let problems = files.problems();
        assert!(problems[1].contains("all files together"), "{problems:?}");
        assert!(!directory.path().join("empty").exists() && files.complete().is_empty());
        for index in 0..1_000 {
            files.take(&chunk(&format!("/{index}"), 0, b"x"));
        }
        assert_eq!(files.problems().len(), PROBLEMS_MAX);
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let inside = directory.path().join("inside");
        let mut files = Files::new(Some(inside.clone()));
        for name in ["../x", "/etc/x", "", "a/../../x", "./x"] {
            files.take(&chunk(name, 0, b"x"));
        }
        assert!(!directory.path().join("x").exists());
        assert!(files.problems().len() >= 4);
    }
}
