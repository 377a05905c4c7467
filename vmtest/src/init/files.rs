//! Sends the files that a command left in its output directory.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

use super::channel::Channel;
use crate::protocol::{CHUNK_BYTES, FINDINGS, FileEnd, Findings, Message};

/// Whether what a command says of itself is no failure. It need not say anything.
pub fn are_findings_good(directory: &str) -> bool {
    match fs::read(Path::new(directory).join(FINDINGS)) {
        Ok(text) => serde_json::from_slice::<Findings>(&text)
            .is_ok_and(|findings| findings.checks.iter().all(|check| check.passed)),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// Sends what a command says of itself, if it does; returns what could not be read.
pub fn send_findings(channel: &Channel, directory: &str) -> Vec<String> {
    let path = Path::new(directory).join(FINDINGS);
    if !path.is_file() {
        return Vec::new();
    }
    match send_file(channel, &path, FINDINGS) {
        Ok(()) => Vec::new(),
        Err(error) => vec![format!("read {}: {error}", path.display())],
    }
}

/// Sends every regular file below `directory`; returns what could not be read.
pub fn send(channel: &Channel, directory: &str) -> Vec<String> {
    let mut troubles = Vec::new();
    send_below(channel, Path::new(directory), "", &mut troubles);
    troubles
}

fn send_below(channel: &Channel, directory: &Path, prefix: &str, troubles: &mut Vec<String>) {
    let mut entries: Vec<_> = match fs::read_dir(directory) {
        Ok(entries) => entries.flatten().collect(),
        Err(error) => return troubles.push(format!("read {}: {error}", directory.display())),
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => {
                send_below(channel, &entry.path(), &format!("{name}/"), troubles)
            }
            Ok(kind) if kind.is_file() => {
                if let Err(error) = send_file(channel, &entry.path(), &name) {
                    troubles.push(format!("read {}: {error}", entry.path().display()));
                }
            }
            _ => troubles.push(format!(
                "{}: not a regular file, left behind",
                entry.path().display()
            )),
        }
    }
}

fn send_file(channel: &Channel, path: &Path, name: &str) -> std::io::Result<()> {
    let mut file = File::open(path)?;
    let mut hasher = crc32fast::Hasher::new();
    let mut offset_bytes = 0;
    loop {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        Read::by_ref(&mut file)
            .take(CHUNK_BYTES as u64)
            .read_to_end(&mut chunk)?;
        if chunk.is_empty() {
            break;
        }
        hasher.update(&chunk);
        let length_bytes = chunk.len() as u64;
        channel.send(&Message::FileChunk(name.to_owned(), offset_bytes, chunk));
        offset_bytes += length_bytes;
    }
    let end = FileEnd {
        name: name.to_owned(),
        size_bytes: offset_bytes,
        crc32: hasher.finalize(),
    };
    channel.send(&Message::FileEnd(end));
    Ok(())
}
