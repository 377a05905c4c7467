//! Reads a Debian package: an ar archive whose member `data.tar.…` has the files.

use std::{fs::File, io, path::Path};

use super::{PackageError, STREAM_LIMIT_BYTES, compression::Compression, sink::Sink};

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

fn unpack_data(data: impl io::Read, sink: &mut Sink) -> io::Result<()> {
    for entry in tar::Archive::new(data).entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            let path = entry.path()?.into_owned();
            sink.take(&path, &mut entry)?;
        }
    }
    Ok(())
}
