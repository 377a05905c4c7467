//! Reads a tar archive: what is in a Debian package, and what an Arch Linux package is.
//!
//! Arch's kernel is one package: `usr/lib/modules/RELEASE` with `vmlinuz` and what `make modules_install` puts
//! there, compressed (Arch's PKGBUILD of 6.12.arch1, `_package`, and the kernel's own `scripts/package/PKGBUILD`
//! install the bootable file as `$modulesdir/vmlinuz`). Its configuration is in `linux-headers`.

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

/// Gives the files of an Arch Linux package to `sink`. Its signature is a file of its own and isn't looked for:
/// who names a kernel to boot trusts it.
///
/// # Errors
/// When the package can't be read, or the sink doesn't take one of them.
pub fn unpack(package: &Path, sink: &mut Sink) -> Result<(), PackageError> {
    let failed = |error| PackageError::Io {
        path: package.to_owned(),
        error,
    };
    let extension = package.extension().and_then(OsStr::to_str);
    let compression = extension
        .and_then(Compression::of_extension)
        .ok_or_else(|| PackageError::UnknownCompression(package.to_owned()))?;
    let file = File::open(package).map_err(failed)?;
    let data = compression
        .reader(file, STREAM_LIMIT_BYTES)
        .map_err(failed)?;
    unpack_files(data, sink).map_err(failed)
}

/// Gives the files of an archive to `sink`.
///
/// Names and other extensions are read here and not by the `tar` crate, which would take as much memory
/// as an archive says that a name is long.
///
/// # Errors
/// When it can't be read, or the sink doesn't take one of them.
pub(super) fn unpack_files(data: impl Read, sink: &mut Sink) -> io::Result<()> {
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

    /// An archive with these files, all with the same content.
    fn archive(files: &[&str]) -> Vec<u8> {
        let mut data = tar::Builder::new(Vec::new());
        for path in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(1);
            data.append_data(&mut header, path, &b"x"[..])
                .expect("added");
        }
        data.into_inner().expect("written")
    }

    #[test]
    fn an_arch_package_is_a_whole_kernel() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory
            .path()
            .join("linux-6.17.arch1-1-x86_64.pkg.tar.zst");
        let all = archive(&[
            ".PKGINFO",
            "usr/lib/modules/6.17.0-arch1-1/vmlinuz",
            "usr/lib/modules/6.17.0-arch1-1/pkgbase",
            "usr/lib/modules/6.17.0-arch1-1/modules.builtin",
            "usr/lib/modules/6.17.0-arch1-1/kernel/fs/xfs/xfs.ko.zst",
        ]);
        fs::write(&path, zstd::encode_all(&*all, 1).expect("compressed")).expect("written");
        let store = Store::at(directory.path());
        let kernel = store
            .from_packages("k", std::slice::from_ref(&path), false)
            .expect("whole");
        assert_eq!(kernel.release.as_deref(), Some("6.17.0-arch1-1"));
        let modules_dir = kernel.modules_dir.expect("there");
        assert!(modules_dir.join("kernel/fs/xfs/xfs.ko.zst").is_file());

        // That of the headers, say.
        let part = archive(&["usr/lib/modules/6.17.0-arch1-1/build/Makefile"]);
        fs::write(&path, zstd::encode_all(&*part, 1).expect("compressed")).expect("written");
        let error = store.from_packages("k", std::slice::from_ref(&path), false);
        assert_eq!(
            error.expect_err("a part").to_string(),
            "kernel k: no vmlinuz in its package (add linux: FILE,FILE)"
        );
        fs::write(&path, b"no archive").expect("written");
        let error = store.from_packages("k", &[path], false);
        let error = error.expect_err("no archive").to_string();
        assert!(error.starts_with("kernel k: unpack /"), "{error}");
    }

    #[test]
    fn long_names_are_read_in_both_forms_and_not_without_end() {
        let long = format!("lib/modules/6.1/kernel/{}/x.ko", "d".repeat(150));
        let unpacked = |data: tar::Builder<Vec<u8>>| {
            let directory = tempfile::tempdir().expect("a directory");
            let mut sink = Sink::new(directory.path()).expect("room");
            let data = data.into_inner().expect("written");
            unpack_files(&*data, &mut sink)
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
