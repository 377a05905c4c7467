//! Unpacks the parts of a kernel package that a guest needs.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Component, Path, PathBuf},
};

/// Why a package can't be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum DebError {
    /// Reading or writing failed.
    #[error("unpack {path}: {error}")]
    Io {
        /// The package.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// There is nothing in it to unpack.
    #[error("unpack {0}: not a Debian package (no data archive in it)")]
    NoData(PathBuf),
}

/// Unpacks `package` into `directory`: `vmlinuz`, `config` and `modules/…`. Returns the kernel's
/// release when the package has anything of one.
///
/// # Errors
/// When the package can't be read or the directory can't be written.
pub fn unpack(package: &Path, directory: &Path) -> Result<Option<String>, DebError> {
    let failed = |error| DebError::Io {
        path: package.to_owned(),
        error,
    };
    let mut archive = ar::Archive::new(File::open(package).map_err(failed)?);
    while let Some(member) = archive.next_entry() {
        let member = member.map_err(failed)?;
        let name = String::from_utf8_lossy(member.header().identifier()).into_owned();
        if let Some(compression) = name.trim_end_matches('/').strip_prefix("data.tar") {
            let compression = compression.to_owned();
            return unpack_data(decompress(member, &compression).map_err(failed)?, directory)
                .map_err(failed);
        }
    }
    Err(DebError::NoData(package.to_owned()))
}

fn decompress<'a>(member: impl Read + 'a, compression: &str) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match compression {
        "" => Box::new(member),
        ".xz" => Box::new(liblzma::read::XzDecoder::new(member)),
        ".zst" => Box::new(zstd::Decoder::new(member)?),
        ".gz" => Box::new(flate2::read::GzDecoder::new(member)),
        other => {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("data archive of unknown compression {other}"),
            ));
        }
    })
}

fn unpack_data(data: impl Read, directory: &Path) -> io::Result<Option<String>> {
    let mut release = None;
    for entry in tar::Archive::new(data).entries()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let Some((place, of)) = place(&entry.path()?) else {
            continue;
        };
        let target = directory.join(place);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        io::copy(&mut entry, &mut File::create(target)?)?;
        release = Some(of);
    }
    Ok(release)
}

/// Where a file of the package goes, and the release it belongs to; `None` for what no guest
/// needs. Both layouts: `boot/vmlinuz-RELEASE`, and all in `usr/lib/modules/RELEASE` (since 7.1).
fn place(path: &Path) -> Option<(PathBuf, String)> {
    let parts: Vec<&str> = path
        .components()
        .filter(|part| !matches!(part, Component::CurDir))
        .map(|part| match part {
            Component::Normal(name) => name.to_str(),
            _ => None,
        })
        .collect::<Option<_>>()?;
    let parts = parts.strip_prefix(&["usr"]).unwrap_or(&parts);
    match parts {
        ["boot", file] => {
            let (name, release) = file.split_once('-')?;
            matches!(name, "vmlinuz" | "config").then(|| (name.into(), release.to_owned()))
        }
        ["lib", "modules", release, file @ ("vmlinuz" | "config")] => {
            Some((file.into(), (*release).to_owned()))
        }
        ["lib", "modules", release, rest @ ..]
            if rest.first()? == &"kernel" || rest.first()?.starts_with("modules.") =>
        {
            Some((
                Path::new("modules").join(rest.iter().collect::<PathBuf>()),
                (*release).to_owned(),
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(path: &str) -> Option<(String, String)> {
        place(Path::new(path)).map(|(to, release)| (to.display().to_string(), release))
    }

    #[test]
    fn both_layouts_lead_to_the_same_places() {
        let expected = |to: &str| Some((to.to_owned(), "6.1.0-56-cloud-amd64".to_owned()));
        assert_eq!(
            placed("./boot/vmlinuz-6.1.0-56-cloud-amd64"),
            expected("vmlinuz")
        );
        assert_eq!(
            placed("./usr/lib/modules/6.1.0-56-cloud-amd64/vmlinuz"),
            expected("vmlinuz")
        );
        assert_eq!(
            placed("./lib/modules/6.1.0-56-cloud-amd64/kernel/fs/a.ko"),
            expected("modules/kernel/fs/a.ko")
        );
        assert_eq!(
            placed("usr/lib/modules/6.1.0-56-cloud-amd64/modules.builtin"),
            expected("modules/modules.builtin")
        );
        assert_eq!(
            placed("boot/config-6.1.0-56-cloud-amd64"),
            expected("config")
        );
    }

    #[test]
    fn other_files_and_ways_out_of_the_directory_are_passed_over() {
        for path in [
            "boot/System.map-6.1",
            "usr/share/doc/x",
            "/boot/vmlinuz-1",
            "lib/modules/1/../../x",
            "lib/modules/1/kernel/../../../x",
        ] {
            assert_eq!(placed(path), None, "{path}");
        }
    }
}
