//! This machine's own kernel, where its distribution put it.

use std::{
    io,
    path::{Path, PathBuf},
};

use nix::sys::utsname::uname;

use super::{KernelError, file};
use crate::packages::Kernel;

/// The running kernel.
///
/// # Errors
/// When its file can't be had, or its modules, unless `are_modules_given`.
pub fn kernel(are_modules_given: bool) -> Result<Kernel, KernelError> {
    let release = uname()
        .map(|names| names.release().to_string_lossy().into_owned())
        .map_err(|error| KernelError::Read {
            path: "uname".into(),
            error: error.into(),
        })?;
    find(Path::new("/"), &release, are_modules_given)
}

/// The kernel of this release in a system whose root directory is `root`.
fn find(root: &Path, release: &str, are_modules_given: bool) -> Result<Kernel, KernelError> {
    let modules_dir = root.join("lib/modules").join(release);
    let places = [
        modules_dir.join("vmlinuz"),
        root.join(format!("boot/vmlinuz-{release}")),
    ];
    let vmlinuz = first_readable(&places)?;
    let has_modules = modules_dir.join("modules.builtin").exists();
    if !has_modules && !are_modules_given {
        return Err(KernelError::NotModules(modules_dir));
    }
    Ok(Kernel {
        name: super::HOST.to_owned(),
        release: Some(release.to_owned()),
        vmlinuz,
        modules_dir: has_modules.then_some(modules_dir),
        meaning: None,
    })
}

/// The first that is a kernel; of the errors the one that is not just "not there": Ubuntu's
/// `/boot/vmlinuz-…` is readable by root only.
fn first_readable(places: &[PathBuf; 2]) -> Result<PathBuf, KernelError> {
    let mut worst = None;
    for path in places {
        match file::release(path) {
            Ok(_) => return Ok(path.clone()),
            Err(KernelError::Read { error, .. }) if error.kind() == io::ErrorKind::NotFound => {}
            Err(KernelError::Read { path, error }) => {
                worst = worst.or(Some(KernelError::HostFile { path, error }));
            }
            Err(error) => worst = worst.or(Some(error)),
        }
    }
    Err(worst.unwrap_or_else(|| KernelError::NoHostFile(places.clone())))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const RELEASE: &str = "6.1.0-9-amd64";

    fn add(root: &Path, path: &str, content: &[u8]) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("one")).expect("made");
        fs::write(path, content).expect("written");
    }

    fn error_of(root: &Path) -> String {
        let error = find(root, RELEASE, false).expect_err("none").to_string();
        assert_eq!(error.lines().count(), 1, "{error}");
        error.replace(&root.display().to_string(), "")
    }

    #[test]
    fn it_is_in_boot_or_beside_its_modules_which_goes_first() {
        let root = tempfile::tempdir().expect("a directory");
        let root = root.path();
        let error = error_of(root);
        assert!(
            error.starts_with(
                "kernel host: neither /lib/modules/6.1.0-9-amd64/vmlinuz nor /boot/vmlinuz-6.1.0-9-amd64 is there ("
            ),
            "{error}"
        );
        add(root, "boot/vmlinuz-6.1.0-9-amd64", b"\x7fELF");
        let error = error_of(root);
        assert!(
            error.starts_with("modules /lib/modules/6.1.0-9-amd64: no modules.builtin"),
            "{error}"
        );
        let kernel = find(root, RELEASE, true).expect("modules are given");
        assert_eq!(kernel.modules_dir, None);

        add(root, "lib/modules/6.1.0-9-amd64/modules.builtin", b"");
        let kernel = find(root, RELEASE, false).expect("whole");
        assert_eq!(kernel.name, "host");
        assert_eq!(kernel.release.as_deref(), Some(RELEASE));
        assert_eq!(kernel.vmlinuz, root.join("boot/vmlinuz-6.1.0-9-amd64"));
        assert_eq!(
            kernel.modules_dir,
            Some(root.join("lib/modules/6.1.0-9-amd64"))
        );

        add(root, "lib/modules/6.1.0-9-amd64/vmlinuz", b"\x7fELF");
        let kernel = find(root, RELEASE, false).expect("whole");
        assert_eq!(
            kernel.vmlinuz,
            root.join("lib/modules/6.1.0-9-amd64/vmlinuz")
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_before_one_that_is_not_there() {
        let root = tempfile::tempdir().expect("a directory");
        // Root may read every file, so no mode stops it; a directory is no file for anybody.
        fs::create_dir_all(root.path().join("boot/vmlinuz-6.1.0-9-amd64")).expect("made");
        let error = error_of(root.path());
        assert_eq!(
            error,
            "kernel host: /boot/vmlinuz-6.1.0-9-amd64: Is a directory (os error 21) (run it as root, or give a copy that you may read)"
        );
        let root = tempfile::tempdir().expect("a directory");
        add(root.path(), "boot/vmlinuz-6.1.0-9-amd64", b"MZ");
        let error = error_of(root.path());
        assert!(error.contains("not a bootable x86 kernel"), "{error}");
    }
}
