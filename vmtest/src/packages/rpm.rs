//! Reads an RPM package.
//!
//! How Fedora and RHEL lay out a kernel (`kernel.spec` of both comes from one template; read: CentOS Stream
//! 10's of 6.9.0-0.rc7.5.el10, macro `kernel_variant_files`; so say RHEL 10's "Managing, monitoring, and
//! updating the kernel", 1.3, and a listing of Fedora 39's 6.6.6-200): `kernel-core` has
//! `/lib/modules/RELEASE/vmlinuz`, `config` and `modules.builtin*`, and `/boot/vmlinuz-RELEASE` only as a
//! ghost; `kernel-modules-core` and `kernel-modules` have the modules, compressed; `modules.dep` is a
//! ghost; `kernel` itself is empty. Fedora's of 5.11.19 had no `kernel-modules-core`, all of it was in
//! `kernel-core`.

use std::{
    fs::File,
    io::{BufReader, Cursor, Read, Seek, SeekFrom},
    path::Path,
};

use fslockup::escape::escape_rest;
use rpm::{FileType, PackageReader};

use super::{PackageError, STREAM_LIMIT_BYTES, compression::Compression, rpm_index, sink::Sink};

/// How a cpio archive begins, plain (`070701`) or as rpm strips it (`07070X`).
const CPIO_START: &[u8] = b"07070";

/// Gives the files of `package` to `sink`. Signatures and digests are not checked: who names a
/// kernel to boot trusts it.
///
/// # Errors
/// When the package can't be read, or the sink doesn't take one of them.
pub fn unpack(package: &Path, sink: &mut Sink) -> Result<(), PackageError> {
    let failed = |error| PackageError::Io {
        path: package.to_owned(),
        error,
    };
    let unreadable = |reason: String| PackageError::Rpm {
        path: package.to_owned(),
        reason,
    };
    let mut file = File::open(package).map_err(failed)?;
    let payload_at = rpm_index::payload_at(&mut BufReader::new(&file))
        .map_err(|error| unreadable(error.to_string()))?;

    let mut start = [0; CPIO_START.len() + 1];
    file.seek(SeekFrom::Start(payload_at)).map_err(failed)?;
    file.read_exact(&mut start)
        .map_err(|error| unreadable(error.to_string()))?;
    file.seek(SeekFrom::Start(payload_at)).map_err(failed)?;
    let compression = Compression::of_start(&start, CPIO_START)
        .ok_or_else(|| PackageError::UnknownCompression(package.to_owned()))?;
    let mut payload = compression
        .reader(file, STREAM_LIMIT_BYTES)
        .map_err(failed)?;
    // The crate would decompress by itself, without a bound, what is compressed twice.
    payload.read_exact(&mut start).map_err(failed)?;
    if !start.starts_with(CPIO_START) {
        return Err(unreadable("its payload is no cpio archive".into()));
    }
    let head = File::open(package).map_err(failed)?.take(payload_at);
    let whole = head.chain(Cursor::new(start)).chain(payload);

    let named = |error: rpm::Error| match error {
        rpm::Error::Io(error) => failed(error),
        other => unreadable(one_line(&other.to_string())),
    };
    let mut reader = PackageReader::parse(BufReader::new(whole)).map_err(named)?;
    while let Some(mut file) = reader.next_file().map_err(named)? {
        if file.metadata.mode().file_type() == FileType::Regular && file.has_payload() {
            let path = file.metadata.path();
            sink.take(path.strip_prefix("/").unwrap_or(&path), &mut file)
                .map_err(failed)?;
        }
        file.finish().map_err(failed)?;
    }
    Ok(())
}

/// The crate's messages may quote the package.
fn one_line(text: &str) -> String {
    let text: String = text.chars().take(200).collect();
    escape_rest(text.replace('\n', " ").as_bytes())
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write, path::PathBuf};

    use rpm::{BuildConfig, CompressionType, FileOptions, Package, PackageBuilder};
    use tempfile::TempDir;

    use super::*;

    /// A package in the layout of `kernel-core` with some of its modules.
    fn package(config: BuildConfig) -> Package {
        let mut builder = PackageBuilder::new("kernel-core", "6.8", "GPL-2.0", "x86_64", "s");
        builder.using_config(config.compression(CompressionType::None));
        let files = [
            ("vmlinuz", "kernel"),
            ("modules.builtin", "kernel/fs/ext4/ext4.ko\n"),
            ("kernel/aa/aa/aa/xfs.ko.xz", "module"),
            ("System.map", "passed over"),
        ];
        for (file, content) in files {
            let path = format!("/lib/modules/6.8-1.fc40.x86_64/{file}");
            builder
                .with_file_contents(content, FileOptions::new(path))
                .expect("added");
        }
        let link = FileOptions::symlink("/lib/modules/6.8-1.fc40.x86_64/config", "/etc/passwd");
        builder.with_symlink(link).expect("added");
        let ghost = FileOptions::ghost("/boot/vmlinuz-6.8-1.fc40.x86_64");
        builder.with_ghost(ghost).expect("added");
        builder.build().expect("built")
    }

    fn bytes(package: &Package) -> Vec<u8> {
        let mut bytes = Vec::new();
        package.write(&mut bytes).expect("written");
        bytes
    }

    /// What unpacking gives, and all files that it left in or beside its directory.
    fn unpacked(content: &[u8]) -> (Result<Option<String>, String>, Vec<PathBuf>) {
        let around = tempfile::tempdir().expect("a directory");
        let package = around.path().join("x.rpm");
        fs::write(&package, content).expect("written");
        let directory = around.path().join("a/b/c/d");
        fs::create_dir_all(&directory).expect("made");
        let mut sink = Sink::new(&directory).expect("room");
        let result = unpack(&package, &mut sink)
            .map(|()| sink.into_release())
            .map_err(|error| {
                error
                    .to_string()
                    .replace(&around.path().display().to_string(), "")
            });
        fs::remove_file(&package).expect("there");
        (result, files_in(&around))
    }

    fn files_in(directory: &TempDir) -> Vec<PathBuf> {
        let mut pending = vec![directory.path().to_owned()];
        let mut files = Vec::new();
        while let Some(path) = pending.pop() {
            if path.is_symlink() || !path.is_dir() {
                files.push(
                    path.strip_prefix(directory.path())
                        .expect("below")
                        .to_owned(),
                );
                continue;
            }
            pending.extend(
                fs::read_dir(path)
                    .expect("read")
                    .map(|entry| entry.expect("read").path()),
            );
        }
        files.sort();
        files
    }

    const FILES: [&str; 3] = [
        "a/b/c/d/modules/kernel/aa/aa/aa/xfs.ko.xz",
        "a/b/c/d/modules/modules.builtin",
        "a/b/c/d/vmlinuz",
    ];

    #[test]
    fn every_format_and_compression_is_read() {
        for config in [BuildConfig::v4(), BuildConfig::v6()] {
            let plain = package(config);
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(&plain.payload).expect("compressed");
            let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
            xz.write_all(&plain.payload).expect("compressed");
            let payloads = [
                plain.payload.clone(),
                gzip.finish().expect("compressed"),
                xz.finish().expect("compressed"),
                zstd::encode_all(&*plain.payload, 1).expect("compressed"),
            ];
            for payload in payloads {
                let metadata = plain.metadata.clone();
                let (result, files) = unpacked(&bytes(&Package { metadata, payload }));
                assert_eq!(result, Ok(Some("6.8-1.fc40.x86_64".into())));
                // No link, no ghost.
                assert_eq!(files, FILES.map(PathBuf::from));
            }
        }
    }

    #[test]
    fn a_way_out_of_the_directory_is_passed_over() {
        let mut content = bytes(&package(BuildConfig::v4()));
        let mut replaced_count = 0;
        for at in 0..content.len() - 8 {
            if content[at..].starts_with(b"aa/aa/aa") {
                content[at..at + 8].copy_from_slice(b"../../..");
                replaced_count += 1;
            }
        }
        assert_eq!(replaced_count, 2, "in the header and in the archive");
        let (result, files) = unpacked(&content);
        assert!(result.is_ok(), "{result:?}");
        assert_eq!(files, [FILES[1], FILES[2]].map(PathBuf::from));
    }

    #[test]
    fn a_damaged_package_is_an_error_on_one_line_or_does_no_harm() {
        let whole = bytes(&package(BuildConfig::v4().reserved_space(None)));
        let mut failed_count = 0;
        // Each place in the entries of the headers, which have 16 bytes, comes up.
        for (at, value) in (0..whole.len())
            .step_by(7)
            .zip([0x7f, 0xff, 0x00].into_iter().cycle())
        {
            let mut content = whole.clone();
            content[at] = value;
            let (result, files) = unpacked(&content);
            assert!(
                files.iter().all(|file| file.starts_with("a/b/c/d")),
                "{files:?}"
            );
            if let Err(error) = result {
                failed_count += 1;
                assert!(error.starts_with("unpack /x.rpm: "), "{error}");
                assert_eq!(error.lines().count(), 1, "{error}");
            }
        }
        assert!(failed_count > 100, "{failed_count}");
        let (result, _) = unpacked(&whole[..whole.len() / 2]);
        assert!(result.is_err(), "cut");
    }

    #[test]
    fn a_payload_that_is_no_archive_is_refused() {
        let plain = package(BuildConfig::v4());
        let once = zstd::encode_all(&*plain.payload, 1).expect("compressed");
        let twice = zstd::encode_all(&*once, 1).expect("compressed");
        let refused = |payload: &[u8]| {
            let (metadata, payload) = (plain.metadata.clone(), payload.to_vec());
            let (result, files) = unpacked(&bytes(&Package { metadata, payload }));
            assert_eq!(files, Vec::<PathBuf>::new());
            result.expect_err("refused")
        };
        assert_eq!(
            refused(&twice),
            "unpack /x.rpm: not a whole RPM package (its payload is no cpio archive)"
        );
        assert!(refused(b"BZh91AY").contains("of unknown compression"));
        assert!(refused(b"").starts_with("unpack /x.rpm: not a whole RPM package ("));
    }
}
