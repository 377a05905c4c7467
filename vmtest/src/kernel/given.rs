//! What the word behind `--kernel` names, as far as the word itself tells.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{HOST, KernelError};
use crate::packages::is_package;

/// Whether this names files rather than an entry of the manifest.
#[must_use]
pub fn is_path(word: &str) -> bool {
    word.contains('/') || files(word).iter().all(|file| is_package(Path::new(file)))
}

/// The files of a word: several packages are joined by commas, which no distribution has in their
/// names (`+` they have). A path with a comma in it that is no such list is one file.
fn files(word: &str) -> Vec<&str> {
    let parts: Vec<_> = word.split(',').collect();
    if parts.iter().all(|part| is_package(Path::new(part))) {
        parts
    } else {
        vec![word]
    }
}

/// What a kernel is called in results and directories: its name, of files the first one's last part.
#[must_use]
pub fn label(word: &str) -> &str {
    let file = files(word)[0];
    let name = Path::new(file).file_name().and_then(|name| name.to_str());
    name.unwrap_or(HOST)
}

/// That all files of a word are there, and that results can be named after it.
///
/// # Errors
/// When not.
pub fn check(word: &str) -> Result<(), KernelError> {
    if !is_path(word) {
        return Ok(());
    }
    for file in files(word) {
        if !Path::new(file).exists() {
            return Err(KernelError::NoSuchFile(file.to_owned()));
        }
    }
    // A directory for results that is called `..` would be another one.
    if Path::new(files(word)[0]).file_name().is_none() {
        return Err(KernelError::NoName(word.to_owned()));
    }
    Ok(())
}

/// The packages that a word names: the files of a list, or all in a directory. `None` when it
/// names one other file.
///
/// # Errors
/// When a directory can't be read or has no packages.
pub fn packages(word: &str) -> Result<Option<Vec<PathBuf>>, KernelError> {
    let path = Path::new(word);
    if !path.is_dir() {
        let files: Vec<_> = files(word).into_iter().map(PathBuf::from).collect();
        return Ok(files.iter().all(|file| is_package(file)).then_some(files));
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
        return Err(KernelError::NoPackages(word.to_owned()));
    }
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_from_names_and_named_by_their_last_part() {
        for (word, expected) in [
            ("./vmlinuz", "vmlinuz"),
            ("/boot/vmlinuz-6.1+x,y", "vmlinuz-6.1+x,y"),
            ("/a,b/x.deb", "x.deb"),
            ("x.deb", "x.deb"),
            ("kernel-core.rpm,kernel-modules.rpm", "kernel-core.rpm"),
            ("/a/x.deb,/b/y.deb", "x.deb"),
            ("packages/", "packages"),
            (
                "linux-6.17.arch1-1-x86_64.pkg.tar.zst",
                "linux-6.17.arch1-1-x86_64.pkg.tar.zst",
            ),
        ] {
            assert!(is_path(word), "{word}");
            assert_eq!(label(word), expected, "{word}");
        }
        for word in ["6.1", "6.12-rt", "6.*", "lts", HOST] {
            assert!(!is_path(word), "{word}");
            assert_eq!(label(word), word);
        }
    }

    #[test]
    fn a_word_without_a_name_of_its_own_is_refused() {
        for word in ["/", "./..", "../"] {
            let error = check(word).expect_err(word).to_string();
            assert!(error.starts_with(&format!("kernel {word}: ")), "{error}");
        }
        check("6.1").expect("no path");
        check("/dev/null").expect("there");
    }

    #[test]
    fn a_directory_means_all_packages_in_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        let word = format!("{}/", path.display());
        let error = packages(&word).expect_err("empty").to_string();
        assert!(error.ends_with("no package in it (.deb, .rpm, .pkg.tar.zst), and no arch/x86/boot/bzImage (a build tree needs: make bzImage modules)"), "{error}");
        for name in ["b.rpm", "a.rpm", "readme"] {
            fs::write(path.join(name), "").expect("written");
        }
        fs::create_dir(path.join("c.rpm")).expect("made");
        let found = packages(&word).expect("read").expect("packages");
        assert_eq!(found, [path.join("a.rpm"), path.join("b.rpm")]);
        assert_eq!(packages("/dev/null").expect("read"), None);
    }
}
