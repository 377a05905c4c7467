//! The host's busybox, for shells and scripts in a guest.

use std::{path::PathBuf, process::Command};

use super::{
    Archive,
    libraries::{self, LibraryError},
};

/// Where this host has busybox.
///
/// # Errors
/// When it has none, with the package to install.
pub fn find(search_path: &str) -> Result<PathBuf, LibraryError> {
    libraries::find("busybox", search_path)
        .map_err(|_| LibraryError::NotFound("busybox (install busybox-static)".to_owned()))
}

/// Copies it, with a link for each of its applets whose name isn't taken.
///
/// # Errors
/// When it can't be read or run.
pub fn copy(archive: &mut Archive, busybox: &PathBuf) -> Result<(), LibraryError> {
    let listed = Command::new(busybox)
        .arg("--list")
        .output()
        .map_err(|error| LibraryError::Read {
            path: busybox.clone(),
            error,
        })?;
    libraries::copy(archive, busybox, "/bin/busybox")?;
    for applet in String::from_utf8_lossy(&listed.stdout)
        .lines()
        .filter(|name| !name.is_empty())
    {
        archive.symlink(&format!("/bin/{applet}"), "busybox")?;
    }
    Ok(())
}
