//! From a word to a kernel: downloaded, unpacked or found where it lies.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{KernelError, KernelWord, build, file, host};
use crate::{
    image::modules,
    manifest::kernels::Kernels,
    packages::{Kernel, is_package, store::Store},
};

/// The kernel that a word names, downloaded or unpacked if need be.
///
/// # Errors
/// When it can't be had.
pub fn resolve(
    word: &KernelWord,
    modules_dir: Option<&Path>,
    kernels: &Kernels,
    store: &Store,
) -> Result<Kernel, KernelError> {
    word.check()?;
    // Those of the list have their own.
    let modules_dir = modules_dir.filter(|_| word.listed().is_none());
    let are_modules_given = modules_dir.is_some();
    let mut kernel = match word {
        KernelWord::Listed(name) => store.get(kernels, kernels.get(name)?)?,
        KernelWord::Host => host::kernel(are_modules_given)?,
        KernelWord::Packages(_) => {
            let files: Vec<PathBuf> = word.files().into_iter().map(PathBuf::from).collect();
            from_packages(word, &files, are_modules_given, store)?
        }
        KernelWord::Path(path) => from_path(word, Path::new(path), are_modules_given, store)?,
    };
    if let Some(directory) = modules_dir {
        if !directory.join("modules.builtin").exists() {
            return Err(KernelError::NotModules(directory.to_owned()));
        }
        kernel.modules_dir = Some(directory.to_owned());
    }
    Ok(kernel)
}

fn from_path(
    word: &KernelWord,
    path: &Path,
    are_modules_given: bool,
    store: &Store,
) -> Result<Kernel, KernelError> {
    if modules::is_build_tree(path) {
        return build::kernel(word.label(), path, are_modules_given);
    }
    match packages_at(path)? {
        Some(packages) => from_packages(word, &packages, are_modules_given, store),
        None => file::kernel(word.label(), path),
    }
}

fn from_packages(
    word: &KernelWord,
    packages: &[PathBuf],
    are_modules_given: bool,
    store: &Store,
) -> Result<Kernel, KernelError> {
    let kernel = store.from_packages(word.label(), packages, are_modules_given)?;
    // One for another architecture is refused here; QEMU would only stay silent.
    file::release(&kernel.vmlinuz).map_err(|error| match error {
        KernelError::NotAKernel(_) => KernelError::NotAKernel(word.as_str().into()),
        other => other,
    })?;
    Ok(kernel)
}

/// The packages at a path: itself, or all in a directory. `None` when it is another file.
///
/// # Errors
/// When a directory can't be read or has no packages.
fn packages_at(path: &Path) -> Result<Option<Vec<PathBuf>>, KernelError> {
    if !path.is_dir() {
        return Ok(is_package(path).then(|| vec![path.to_owned()]));
    }
    let failed = |error| KernelError::Read {
        path: path.to_owned(),
        error,
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        if is_package(&file) && file.is_file() {
            found.push(file);
        }
    }
    found.sort();
    if found.is_empty() {
        return Err(KernelError::NoPackages(path.display().to_string()));
    }
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(name: &str) -> String {
        let kernels = Kernels::load(None).expect("the built-in manifest");
        resolve(&name.into(), None, &kernels, &Store::default())
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

    #[test]
    fn a_directory_means_all_packages_in_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        let word = format!("{}/", path.display());
        let error = packages_at(Path::new(&word))
            .expect_err("empty")
            .to_string();
        assert!(error.ends_with("no package in it (.deb, .rpm, .pkg.tar.zst), and no arch/x86/boot/bzImage (a build tree needs: make bzImage modules)"), "{error}");
        for name in ["b.rpm", "a.rpm", "readme"] {
            fs::write(path.join(name), "").expect("written");
        }
        fs::create_dir(path.join("c.rpm")).expect("made");
        let found = packages_at(Path::new(&word))
            .expect("read")
            .expect("packages");
        assert_eq!(found, [path.join("a.rpm"), path.join("b.rpm")]);
        assert_eq!(packages_at(Path::new("/dev/null")).expect("read"), None);
    }
}
