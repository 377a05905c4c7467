//! A kernel as a file that QEMU boots.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use fslockup::escape::escape_rest;

use super::KernelError;
use crate::packages::Kernel;

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
        None if head.starts_with(b"\x7fELF") => Ok(None),
        None => Err(KernelError::NotAKernel(path.to_owned())),
    }
}

/// Where a bzImage's version text is, by its setup header: "HdrS" at 0x202, and at 0x20e the
/// text's offset less 0x200 (the kernel's `Documentation/arch/x86/boot.rst`).
fn boot_header_version_at(head: &[u8]) -> Option<u64> {
    let is_bzimage = head.get(0x202..0x206)? == b"HdrS";
    let offset = u16::from_le_bytes(head.get(0x20e..0x210)?.try_into().ok()?);
    is_bzimage.then(|| u64::from(offset) + 0x200)
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
}
