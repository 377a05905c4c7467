//! A cpio archive ("newc") as the kernel unpacks it, in memory.

use std::{
    collections::BTreeSet,
    io::{self, Write},
};

use cpio::newc::{Builder, ModeFileType, trailer};

/// Why an archive can't be made.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The format's sizes have 32 bits.
    #[error("{0}: too large for the guest's image (4 GiB at most)")]
    TooLarge(String),
    /// Writing failed.
    #[error("write the guest's image: {0}")]
    Io(#[from] io::Error),
}

/// An archive that is being made. A path that is added twice keeps its first content.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    paths: BTreeSet<String>,
    next_inode: u32,
}

impl Archive {
    /// Adds a file; directories above it are made.
    ///
    /// # Errors
    /// When it is too large for the format.
    pub fn file(
        &mut self,
        path: &str,
        is_executable: bool,
        content: &[u8],
    ) -> Result<(), ArchiveError> {
        let mode = if is_executable { 0o755 } else { 0o644 };
        self.add(path, ModeFileType::Regular, mode, (0, 0), content)
    }

    /// Adds a directory, and those above it.
    ///
    /// # Errors
    /// When writing fails.
    pub fn directory(&mut self, path: &str) -> Result<(), ArchiveError> {
        self.add(path, ModeFileType::Directory, 0o755, (0, 0), &[])
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    /// When writing fails.
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<(), ArchiveError> {
        self.add(
            path,
            ModeFileType::Symlink,
            0o777,
            (0, 0),
            target.as_bytes(),
        )
    }

    /// Adds a character device.
    ///
    /// # Errors
    /// When writing fails.
    pub fn character_device(
        &mut self,
        path: &str,
        major: u32,
        minor: u32,
    ) -> Result<(), ArchiveError> {
        self.add(path, ModeFileType::Char, 0o600, (major, minor), &[])
    }

    /// Whether a path is taken.
    #[must_use]
    pub fn contains(&self, path: &str) -> bool {
        self.paths.contains(path.trim_matches('/'))
    }

    /// The whole archive.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(self) -> Result<Vec<u8>, ArchiveError> {
        Ok(trailer(self.bytes)?)
    }

    fn add(
        &mut self,
        path: &str,
        kind: ModeFileType,
        mode: u32,
        device: (u32, u32),
        content: &[u8],
    ) -> Result<(), ArchiveError> {
        let path = path.trim_matches('/');
        if path.is_empty() || self.contains(path) {
            return Ok(());
        }
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent)?;
        }
        let size =
            u32::try_from(content.len()).map_err(|_| ArchiveError::TooLarge(path.to_owned()))?;
        self.next_inode += 1;
        let builder = Builder::new(path)
            .ino(self.next_inode)
            .nlink(1)
            .mode(mode)
            .set_mode_file_type(kind)
            .rdev_major(device.0)
            .rdev_minor(device.1);
        let mut writer = builder.write(std::mem::take(&mut self.bytes), size);
        writer.write_all(content)?;
        self.bytes = writer.finish()?;
        self.paths.insert(path.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(archive: &[u8]) -> Vec<(String, u32)> {
        let mut found = Vec::new();
        let mut rest = archive;
        loop {
            let reader = cpio::newc::Reader::new(rest).expect("an entry");
            if reader.entry().is_trailer() {
                return found;
            }
            found.push((reader.entry().name().to_owned(), reader.entry().mode()));
            rest = reader.finish().expect("the next entry");
        }
    }

    #[test]
    fn directories_come_before_what_is_in_them() {
        let mut archive = Archive::default();
        archive.file("/a/b/c", true, b"x").expect("added");
        archive.symlink("a/d", "b/c").expect("added");
        archive
            .character_device("dev/console", 5, 1)
            .expect("added");
        let bytes = archive.finish().expect("finished");
        let expected = [
            ("a", 0o040_755),
            ("a/b", 0o040_755),
            ("a/b/c", 0o100_755),
            ("a/d", 0o120_777),
            ("dev", 0o040_755),
            ("dev/console", 0o020_600),
        ];
        assert_eq!(
            names(&bytes),
            expected.map(|(name, mode)| (name.to_owned(), mode))
        );
    }

    #[test]
    fn the_first_of_two_files_of_a_name_stays() {
        let mut archive = Archive::default();
        archive.file("bin/sh", true, b"first").expect("added");
        archive.symlink("/bin/sh", "busybox").expect("passed over");
        assert_eq!(names(&archive.finish().expect("finished")).len(), 2);
    }
}
