//! What a user may name as a kernel: a name of the manifest, a bootable file, packages, a build tree, this host.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    image::modules,
    manifest::kernels::{Kernels, ManifestError},
    packages::{Kernel, StoreError, store::Store},
};

mod build;
mod file;
mod given;
mod host;
mod tags;

pub use given::{check, is_path, label};
pub use tags::tags;

/// The word for this machine's own kernel.
pub const HOST: &str = "host";

/// Why a kernel can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The manifest doesn't have it.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Its packages can't be had.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing of that path.
    #[error("kernel {0}: no such file")]
    NoSuchFile(String),
    /// A path like `..`.
    #[error("kernel {0}: its results would have no name (give the directory by its name)")]
    NoName(String),
    /// A directory without packages.
    #[error(
        "kernel {0}: no package in it (.deb, .rpm, .pkg.tar.zst), and no arch/x86/boot/bzImage (a build tree needs: make bzImage modules)"
    )]
    NoPackages(String),
    /// A file that can't be read.
    #[error("kernel {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// A file that is no kernel.
    #[error(
        "kernel {0}: not a bootable x86 kernel (bzImage, vmlinux), nor a package (.deb, .rpm, .pkg.tar.zst)"
    )]
    NotAKernel(PathBuf),
    /// This machine has no file of its kernel.
    #[error(
        "kernel host: neither {} nor {} is there (install the kernel's package, or give its file)",
        .0[0].display(), .0[1].display()
    )]
    NoHostFile([PathBuf; 2]),
    /// This machine's kernel may not be read.
    #[error("kernel host: {path}: {error} (run it as root, or give a copy that you may read)")]
    HostFile {
        /// The file.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// The module directory is not one.
    #[error(
        "modules {0}: no modules.builtin in it (it should be a lib/modules/RELEASE directory or a build tree)"
    )]
    NotModules(PathBuf),
    /// A build tree that is half built.
    #[error("kernel {0}: its modules are not built (run there: make modules)")]
    NotBuilt(String),
}

impl KernelError {
    /// Whether the kernel is just not to be had, through no fault of this machine.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_unavailable())
    }
}

/// The kernel that a word names, downloaded or unpacked if need be.
///
/// # Errors
/// When it can't be had.
pub fn resolve(
    word: &str,
    modules_dir: Option<&Path>,
    kernels: &Kernels,
    store: &Store,
) -> Result<Kernel, KernelError> {
    check(word)?;
    // Those of the list have their own.
    let modules_dir = modules_dir.filter(|_| word == HOST || is_path(word));
    let mut kernel = if word == HOST {
        host::kernel(modules_dir.is_some())?
    } else if is_path(word) {
        from_files(word, modules_dir.is_some(), store)?
    } else {
        store.get(kernels, kernels.get(word)?)?
    };
    if let Some(directory) = modules_dir {
        if !directory.join("modules.builtin").exists() {
            return Err(KernelError::NotModules(directory.to_owned()));
        }
        kernel.modules_dir = Some(directory.to_owned());
    }
    Ok(kernel)
}

fn from_files(word: &str, are_modules_given: bool, store: &Store) -> Result<Kernel, KernelError> {
    let name = label(word);
    if modules::is_build_tree(Path::new(word)) {
        return build::kernel(name, Path::new(word), are_modules_given);
    }
    let Some(packages) = given::packages(word)? else {
        return file::kernel(name, Path::new(word));
    };
    let kernel = store.from_packages(name, &packages, are_modules_given)?;
    // One for another architecture is refused here; QEMU would only stay silent.
    file::release(&kernel.vmlinuz).map_err(|error| match error {
        KernelError::NotAKernel(_) => KernelError::NotAKernel(word.into()),
        other => other,
    })?;
    Ok(kernel)
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
        assert!(error_of("/dev/null").contains("not a bootable x86 kernel"));
        assert_eq!(
            error_of("/no/such/file"),
            "kernel /no/such/file: no such file"
        );
        assert_eq!(
            error_of("/dev/null.deb,x.rpm"),
            "kernel /dev/null.deb: no such file"
        );
    }
}
