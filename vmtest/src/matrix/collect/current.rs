//! The scenario that runs in a guest: what it sends until it ends.

use std::{
    fs::{self, File},
    io::Write,
    path::PathBuf,
    time::Instant,
};

use crate::{
    matrix::judgement::Suspicions,
    protocol::{FINDINGS, Findings, Stream},
    vm::artifacts::{FILE_BYTES_MAX, Files},
};

/// The scenario that runs.
pub struct Current {
    /// Its place in the guest.
    pub index: usize,
    /// When its start was seen here.
    pub began: Instant,
    /// Where its files go.
    pub directory: PathBuf,
    /// Its files.
    pub files: Files,
    /// What the kernel's log had meanwhile.
    pub suspicions: Suspicions,
    streams_bytes: [u64; 2],
    flood: Option<String>,
}

impl Current {
    /// One that starts now.
    pub fn new(index: usize, directory: PathBuf) -> Self {
        Self {
            index,
            began: Instant::now(),
            files: Files::new(Some(directory.clone())),
            directory,
            suspicions: Suspicions::default(),
            streams_bytes: [0, 0],
            flood: None,
        }
    }

    /// Keeps what it wrote to a stream, up to a limit; the error is for people.
    pub fn keep_output(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), String> {
        let name = match stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        let written_bytes = &mut self.streams_bytes[stream as usize];
        *written_bytes += bytes.len() as u64;
        if *written_bytes > FILE_BYTES_MAX {
            self.flood = Some(format!(
                "{name}: more than {} MiB, the rest is not kept",
                FILE_BYTES_MAX >> 20
            ));
            return Ok(());
        }
        let path = self.directory.join(name);
        fs::create_dir_all(&self.directory)
            .and_then(|()| File::options().create(true).append(true).open(&path))
            .and_then(|mut file| file.write_all(bytes))
            .map_err(|error| format!("{}: {error}", path.display()))
    }

    /// What it says of itself. It need not leave any findings, but what it leaves must make sense.
    pub fn findings(&self) -> Result<Findings, String> {
        if !self.files.complete().iter().any(|name| name == FINDINGS) {
            return Ok(Findings::default());
        }
        let bytes = fs::read(self.directory.join(FINDINGS)).map_err(|error| error.to_string())?;
        serde_json::from_slice(&bytes).map_err(|error| error.to_string())
    }

    /// What is wrong with what it sent, whatever it says of itself.
    pub fn problem(&self) -> Option<String> {
        let flood = self.flood.clone();
        flood.or_else(|| self.files.problems().into_iter().next())
    }
}
