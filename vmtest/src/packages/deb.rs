//! Reads a Debian package: an ar archive whose member `data.tar.…` has the files.

use std::{fs::File, path::Path};

use super::{PackageError, STREAM_LIMIT_BYTES, compression::Compression, sink::Sink, tarball};

/// Gives the files of `package` to `sink`.
///
/// # Errors
/// When the package can't be read, or the sink doesn't take one of them.
pub fn unpack(package: &Path, sink: &mut Sink) -> Result<(), PackageError> {
    let failed = |error| PackageError::Io {
        path: package.to_owned(),
        error,
    };
    let mut archive = ar::Archive::new(File::open(package).map_err(failed)?);
    while let Some(member) = archive.next_entry() {
        let member = member.map_err(failed)?;
        let name = String::from_utf8_lossy(member.header().identifier()).into_owned();
        let Some(extension) = name.trim_end_matches('/').strip_prefix("data.tar") else {
            continue;
        };
        let compression = Compression::of_extension(extension.trim_start_matches('.'))
            .ok_or_else(|| PackageError::UnknownCompression(package.to_owned()))?;
        let data = compression
            .reader(member, STREAM_LIMIT_BYTES)
            .map_err(failed)?;
        return tarball::unpack_files(data, sink).map_err(failed);
    }
    Err(PackageError::NoData(package.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;
    use crate::packages::store::Store;

    const MODULES: &str = "./usr/lib/modules/7.3-amd64";

    /// A package with these files, and a link to the password file for each that has no content.
    fn package(directory: &Path, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let mut data = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            if content.is_empty() {
                header.set_size(0);
                header.set_entry_type(tar::EntryType::Symlink);
                data.append_link(&mut header, path, "/etc/passwd")
                    .expect("added");
                continue;
            }
            header.set_size(content.len() as u64);
            // The crate's own setter refuses `..`.
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            data.append(&header, content.as_bytes()).expect("added");
        }
        let data = data.into_inner().expect("written");
        let packed = zstd::encode_all(&*data, 1).expect("compressed");
        let path = directory.join(name);
        let mut archive = ar::Builder::new(File::create(&path).expect("made"));
        let header = ar::Header::new(b"data.tar.zst".to_vec(), packed.len() as u64);
        archive.append(&header, &*packed).expect("written");
        path
    }

    #[test]
    fn a_kernel_in_three_packages_is_one_and_a_part_of_it_is_none() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        let file = |name: &str| format!("{MODULES}/{name}");
        let binary = package(path, "binary.deb", &[(&file("vmlinuz"), "kernel")]);
        let modules = package(path, "modules.deb", &[(&file("kernel/fs/x.ko.xz"), "x")]);
        let base = package(path, "base.deb", &[(&file("modules.builtin"), "b")]);
        let store = Store::at(path);
        let get = |packages: &[&PathBuf], are_modules_given| {
            let packages: Vec<_> = packages.iter().map(|path| (*path).clone()).collect();
            store
                .from_packages("k", &packages, are_modules_given)
                .map_err(|error| error.to_string())
        };
        let error = |packages: &[&PathBuf]| get(packages, false).expect_err("a part");
        assert_eq!(
            error(&[&binary]),
            "kernel k: no modules in its package (add linux-modules, and linux-base where its release has one: FILE,FILE, or give --modules DIR)"
        );
        assert_eq!(
            error(&[&modules, &base]),
            "kernel k: no vmlinuz in its packages (add linux-image or linux-binary: FILE,FILE)"
        );
        assert!(error(&[&binary, &modules]).starts_with("kernel k: no modules.builtin in its"));

        let kernel = get(&[&base, &binary, &modules], false).expect("whole");
        assert_eq!(kernel.release.as_deref(), Some("7.3-amd64"));
        assert_eq!(fs::read(&kernel.vmlinuz).expect("there"), b"kernel");
        let modules_dir = kernel.modules_dir.expect("there");
        assert_eq!(
            fs::read(modules_dir.join("kernel/fs/x.ko.xz")).expect("there"),
            b"x"
        );

        let kernel = get(&[&binary], true).expect("modules are given");
        assert_eq!(kernel.modules_dir, None);
        // It is in the cache now.
        assert!(error(&[&binary]).contains("no modules in its package"));
    }

    #[test]
    fn nothing_gets_out_of_the_directory() {
        let directory = tempfile::tempdir().expect("a directory");
        let target = directory.path().join("a/b/c");
        fs::create_dir_all(&target).expect("made");
        let files = [
            (&*format!("{MODULES}/kernel/../../../x"), "x"),
            (&*format!("{MODULES}/config"), ""),
            (&*format!("{MODULES}/kernel/fs"), ""),
            (&*format!("{MODULES}/kernel/fs/shadow"), "x"),
            (&*format!("{MODULES}/vmlinuz"), "kernel"),
        ];
        let hostile = package(directory.path(), "x.deb", &files);
        let mut sink = Sink::new(&target).expect("room");
        unpack(&hostile, &mut sink).expect("unpacked");
        let names = |path: &Path| {
            let entries = fs::read_dir(path).expect("read");
            let mut names: Vec<_> = entries
                .map(|entry| entry.expect("read").file_name())
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(&target), ["modules", "vmlinuz"]);
        let fs_dir = target.join("modules/kernel/fs");
        assert!(!fs_dir.is_symlink(), "a directory of its own");
        assert_eq!(names(&fs_dir), ["shadow"]);
        assert_eq!(names(&directory.path().join("a/b")), ["c"]);
        assert_eq!(names(&directory.path().join("a")), ["b"]);
    }
}
