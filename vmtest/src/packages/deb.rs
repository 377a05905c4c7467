//! Reads a Debian package: an ar archive whose member `data.tar.…` has the files.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::{PackageError, STREAM_LIMIT_BYTES, compression::Compression, sink::Sink};

/// A path has 4 KiB at most (PATH_MAX); the pax form puts more into the same place.
const MAX_EXTENSION_BYTES: u64 = 16 << 10;

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
        return unpack_data(data, sink).map_err(failed);
    }
    Err(PackageError::NoData(package.to_owned()))
}

/// Names and other extensions are read here and not by the `tar` crate, which would take as much memory
/// as an archive says that a name is long.
fn unpack_data(data: impl Read, sink: &mut Sink) -> io::Result<()> {
    let mut long_path = None;
    for entry in tar::Archive::new(data).entries()?.raw(true) {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        if kind.is_gnu_longname() {
            long_path = Some(path_of(&read_extension(&mut entry)?));
        } else if kind.is_pax_local_extensions() {
            let extensions = read_extension(&mut entry)?;
            let of_path = tar::PaxExtensions::new(&extensions)
                .filter_map(Result::ok)
                .find(|extension| extension.key_bytes() == b"path");
            long_path = of_path.map(|extension| path_of(extension.value_bytes()));
        } else if !kind.is_gnu_longlink() {
            let path = match long_path.take() {
                Some(path) => path,
                None => entry.path()?.into_owned(),
            };
            if kind.is_file() {
                sink.take(&path, &mut entry)?;
            }
        }
    }
    Ok(())
}

fn read_extension(entry: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    entry
        .take(MAX_EXTENSION_BYTES + 1)
        .read_to_end(&mut content)?;
    if content.len() as u64 > MAX_EXTENSION_BYTES {
        return Err(io::Error::other("a file's name is too long"));
    }
    Ok(content)
}

/// GNU's long names end with a zero byte.
fn path_of(name: &[u8]) -> PathBuf {
    let name = name.strip_suffix(b"\0").unwrap_or(name);
    PathBuf::from(OsStr::from_bytes(name))
}

#[cfg(test)]
mod tests {
    use std::fs;

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
        let store = Store::at(&path.join("kernels"));
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

    #[test]
    fn long_names_are_read_in_both_forms_and_not_without_end() {
        let long = format!("lib/modules/6.1/kernel/{}/x.ko", "d".repeat(150));
        let unpacked = |data: tar::Builder<Vec<u8>>| {
            let directory = tempfile::tempdir().expect("a directory");
            let mut sink = Sink::new(directory.path()).expect("room");
            let data = data.into_inner().expect("written");
            unpack_data(&*data, &mut sink)
                .map(|()| directory.path().join("modules/kernel").read_dir().is_ok())
                .map_err(|error| error.to_string())
        };
        let file = |mut header: tar::Header, data: &mut tar::Builder<Vec<u8>>, path: &str| {
            header.set_size(1);
            data.append_data(&mut header, path, &b"x"[..])
                .expect("added");
        };
        let mut gnu = tar::Builder::new(Vec::new());
        file(tar::Header::new_gnu(), &mut gnu, &long);
        assert_eq!(unpacked(gnu), Ok(true));

        let mut pax = tar::Builder::new(Vec::new());
        pax.append_pax_extensions([("path", long.as_bytes())])
            .expect("added");
        file(tar::Header::new_ustar(), &mut pax, "short");
        assert_eq!(unpacked(pax), Ok(true));

        for kind in [tar::EntryType::GNULongName, tar::EntryType::XHeader] {
            let mut endless = tar::Builder::new(Vec::new());
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(1 << 40);
            header.set_cksum();
            endless
                .append(&header, &[b'x'; 20 << 10][..])
                .expect("added");
            assert_eq!(unpacked(endless), Err("a file's name is too long".into()));
        }
    }
}
