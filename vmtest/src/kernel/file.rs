//! A kernel as a file that QEMU boots.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use fslockup::escape::escape_rest;

use super::KernelError;
use crate::{arch::GUEST, packages::Kernel};

/// The kernel in a `vmlinuz`, called `name`.
///
/// # Errors
/// When the file can't be read or is no kernel.
pub fn kernel(name: &str, path: &Path) -> Result<Kernel, KernelError> {
    let release = release(path)?;
    let vmlinuz = path.canonicalize().map_err(|error| KernelError::Read {
        path: path.to_owned(),
        error,
    })?;
    Ok(Kernel {
        name: name.to_owned(),
        release,
        vmlinuz,
        modules_dir: None,
        meaning: None,
    })
}

/// The release that a bootable file tells; an ELF file doesn't.
///
/// # Errors
/// When the file can't be read or is no kernel.
pub fn release(path: &Path) -> Result<Option<String>, KernelError> {
    let version = version(path)?;
    let release = |version: String| version.split(' ').next().unwrap_or_default().to_owned();
    Ok(version.map(release))
}

/// The version that a bootable file tells: release, builder, and what `uname -v` says; an ELF file doesn't.
///
/// # Errors
/// When the file can't be read or is no kernel.
pub fn version(path: &Path) -> Result<Option<String>, KernelError> {
    let failed = |error| KernelError::Read {
        path: path.to_owned(),
        error,
    };
    let mut file = File::open(path).map_err(failed)?;
    let mut head = Vec::new();
    Read::by_ref(&mut file)
        .take(0x220)
        .read_to_end(&mut head)
        .map_err(failed)?;
    match boot_header_version_at(&head) {
        Some(offset) => read_version(&mut file, offset).map(Some).map_err(failed),
        None if head.starts_with(b"\x7fELF") && !is_of_another_machine(&head) => Ok(None),
        None => Err(KernelError::NotAKernel(path.to_owned())),
    }
}

/// Where the version's text is in a bootable file, which has its architecture's magic number.
fn boot_header_version_at(head: &[u8]) -> Option<u64> {
    let image = &GUEST.image;
    let magic_end = image.magic_at + image.magic.len();
    let is_bootable = head.get(image.magic_at..magic_end)? == image.magic;
    let pointer = image.version_pointer_at..image.version_pointer_at + 2;
    let offset = u16::from_le_bytes(head.get(pointer)?.try_into().ok()?);
    is_bootable.then(|| u64::from(offset) + image.version_base)
}

/// Whether these are the first bytes of an ELF file for another machine.
fn is_of_another_machine(head: &[u8]) -> bool {
    // e_machine is at 0x12, in either class.
    let machine = head.get(0x12..0x14).and_then(|bytes| bytes.try_into().ok());
    machine.is_some_and(|bytes| u16::from_le_bytes(bytes) != GUEST.elf_machine)
}

fn read_version(file: &mut File, offset: u64) -> io::Result<String> {
    let mut text = Vec::new();
    file.seek(SeekFrom::Start(offset))?;
    file.take(256).read_to_end(&mut text)?;
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(escape_rest(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bzimage_tells_its_release() {
        let mut image = vec![0_u8; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x20_u16.to_le_bytes());
        image[0x220..0x22e].copy_from_slice(b"6.1.0-9 (x@y)\0");
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), image).expect("written");
        assert_eq!(
            release(file.path()).expect("a kernel"),
            Some("6.1.0-9".into())
        );
        assert_eq!(
            version(file.path()).expect("a kernel"),
            Some("6.1.0-9 (x@y)".into())
        );
    }

    #[test]
    fn an_elf_file_for_another_machine_is_no_kernel() {
        let is_kernel = |machine: u16| {
            let mut head = vec![0_u8; 0x40];
            head[..4].copy_from_slice(b"\x7fELF");
            head[0x12..0x14].copy_from_slice(&machine.to_le_bytes());
            let file = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(file.path(), head).expect("written");
            release(file.path()).is_ok()
        };
        assert!(is_kernel(GUEST.elf_machine));
        assert!(!is_kernel(183), "arm64");
    }
}
