//! What a user may name as a kernel: a name of the manifest, a bootable file, a package.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use crate::{
    kernels::{Kernels, ManifestError},
    packages::{Kernel, StoreError, store::Store},
};

/// Why a kernel can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The manifest doesn't have it.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Its packages can't be had.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A kind of kernel that isn't supported yet.
    #[error(
        "kernel {0}: {1} can't be booted yet (unpack it and give its vmlinuz, with --modules DIR)"
    )]
    Unsupported(String, &'static str),
    /// A file that can't be read.
    #[error("kernel {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// A file that is no kernel.
    #[error("kernel {0}: neither a bootable x86 kernel (bzImage, vmlinux) nor a .deb package")]
    NotAKernel(PathBuf),
    /// The module directory is not one.
    #[error("modules {0}: no modules.builtin in it (it should be a lib/modules/RELEASE directory)")]
    NotModules(PathBuf),
}

impl KernelError {
    /// Whether the kernel is just not to be had, through no fault of this machine.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_unavailable())
    }
}

/// Whether this names a file rather than an entry of the manifest.
#[must_use]
pub fn is_path(name: &str) -> bool {
    name.contains('/') || has_extension(name, "deb") || has_extension(name, "rpm")
}

/// What a kernel is called in results and directories: its name, of a file the last part.
#[must_use]
pub fn label(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn has_extension(name: &str, extension: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|found| found == extension)
}

/// The kernel of that name or in that file, downloaded if need be.
///
/// # Errors
/// When it can't be had.
pub fn resolve(
    name: &str,
    modules_dir: Option<&Path>,
    kernels: &Kernels,
    store: &Store,
) -> Result<Kernel, KernelError> {
    let mut kernel = if name == "host" {
        return Err(KernelError::Unsupported(
            name.to_owned(),
            "this host's own kernel",
        ));
    } else if has_extension(name, "rpm") {
        return Err(KernelError::Unsupported(name.to_owned(), "an rpm package"));
    } else if has_extension(name, "deb") {
        store.from_deb(Path::new(name))?
    } else if is_path(name) {
        from_file(Path::new(name))?
    } else {
        store.get(kernels, kernels.get(name)?)?
    };
    if let Some(directory) = modules_dir {
        if !directory.join("modules.builtin").exists() {
            return Err(KernelError::NotModules(directory.to_owned()));
        }
        kernel.modules_dir = Some(directory.to_owned());
    }
    Ok(kernel)
}

fn from_file(path: &Path) -> Result<Kernel, KernelError> {
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
    let release = match boot_header_version_at(&head) {
        Some(offset) => Some(read_release(&mut file, offset).map_err(failed)?),
        None if head.starts_with(b"\x7fELF") => None,
        None => return Err(KernelError::NotAKernel(path.to_owned())),
    };
    // Names of results' directories are made from it.
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let vmlinuz = path.canonicalize().map_err(failed)?;
    Ok(Kernel {
        name,
        release,
        vmlinuz,
        modules_dir: None,
    })
}

/// Where a bzImage's version text is, by its setup header: "HdrS" at 0x202, and at 0x20e the
/// text's offset less 0x200 (the kernel's `Documentation/arch/x86/boot.rst`).
fn boot_header_version_at(head: &[u8]) -> Option<u64> {
    let is_bzimage = head.get(0x202..0x206)? == b"HdrS";
    let offset = u16::from_le_bytes(head.get(0x20e..0x210)?.try_into().ok()?);
    is_bzimage.then(|| u64::from(offset) + 0x200)
}

fn read_release(file: &mut File, offset: u64) -> io::Result<String> {
    let mut text = Vec::new();
    file.seek(SeekFrom::Start(offset))?;
    file.take(256).read_to_end(&mut text)?;
    let word = text
        .split(|byte| *byte == 0 || *byte == b' ')
        .next()
        .unwrap_or_default();
    Ok(crate::kernel_log::printable(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(name: &str) -> String {
        let kernels = Kernels::load(None).expect("the built-in manifest");
        resolve(name, None, &kernels, &Store::default())
            .expect_err("no kernel")
            .to_string()
    }

    #[test]
    fn what_is_no_kernel_is_named_with_a_way_out() {
        assert!(error_of("2.4").starts_with("kernel 2.4: not in the manifest (it has: "));
        assert!(error_of("x.rpm").contains("--modules DIR"));
        assert!(error_of("host").contains("can't be booted yet"));
        assert!(error_of("/dev/null").contains("neither a bootable x86 kernel"));
        assert!(error_of("/no/such/file").contains("No such file"));
    }

    #[test]
    fn a_bzimage_tells_its_release() {
        let mut image = vec![0_u8; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x20_u16.to_le_bytes());
        image[0x220..0x22e].copy_from_slice(b"6.1.0-9 (x@y)\0");
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), image).expect("written");
        assert_eq!(
            from_file(file.path()).expect("a kernel").release,
            Some("6.1.0-9".into())
        );
    }
}
