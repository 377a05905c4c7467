//! Decompression with bounds: a package or a module may come from anywhere.

use std::io::{self, Read};

use liblzma::{read::XzDecoder, stream::Stream};

/// An xz file names the memory that its decoder takes; `xz -9` names 65 MiB. (zstd's decoder
/// refuses windows above 128 MiB by itself, gzip's is of 32 KiB.)
const XZ_MEMORY_BYTES: u64 = 256 << 20;

/// How something is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// xz.
    Xz,
    /// zstd.
    Zstd,
}

impl Compression {
    /// By the last part of a file's name, without the dot; none for an empty one.
    #[must_use]
    pub fn of_extension(extension: &str) -> Option<Self> {
        match extension {
            "" => Some(Self::None),
            "gz" => Some(Self::Gzip),
            "xz" => Some(Self::Xz),
            "zst" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// By its first bytes, where the uncompressed form begins with `plain`.
    #[must_use]
    pub fn of_start(start: &[u8], plain: &[u8]) -> Option<Self> {
        let known = [
            (Self::None, plain),
            (Self::Gzip, b"\x1f\x8b"),
            (Self::Xz, b"\xfd7zXZ\0"),
            (Self::Zstd, b"\x28\xb5\x2f\xfd"),
        ];
        let found = known.iter().find(|(_, magic)| start.starts_with(magic));
        found.map(|(compression, _)| *compression)
    }

    /// What is in `packed`, which is an error after `limit_bytes`.
    ///
    /// # Errors
    /// When a decoder can't be made.
    pub fn reader<'a>(
        self,
        packed: impl Read + 'a,
        limit_bytes: u64,
    ) -> io::Result<Box<dyn Read + 'a>> {
        let inner: Box<dyn Read + 'a> = match self {
            Self::None => Box::new(packed),
            Self::Gzip => Box::new(flate2::read::GzDecoder::new(packed)),
            Self::Xz => Box::new(XzDecoder::new_stream(
                packed,
                Stream::new_stream_decoder(XZ_MEMORY_BYTES, 0)?,
            )),
            Self::Zstd => Box::new(zstd::Decoder::new(packed)?),
        };
        Ok(Box::new(Bounded {
            inner,
            limit_bytes,
            left_bytes: limit_bytes,
        }))
    }
}

/// Fails where `take` would end: a part must not pass for the whole.
struct Bounded<R> {
    inner: R,
    limit_bytes: u64,
    left_bytes: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let rest = self.left_bytes.checked_sub(count as u64);
        self.left_bytes = rest.ok_or_else(|| {
            io::Error::other(format!(
                "more than {} MiB when decompressed",
                self.limit_bytes >> 20
            ))
        })?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(compression: Compression, content: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        match compression {
            Compression::None => packed.extend_from_slice(content),
            Compression::Gzip => {
                flate2::read::GzEncoder::new(content, flate2::Compression::fast())
                    .read_to_end(&mut packed)
                    .expect("compressed");
            }
            Compression::Xz => {
                liblzma::read::XzEncoder::new(content, 0)
                    .read_to_end(&mut packed)
                    .expect("compressed");
            }
            Compression::Zstd => packed = zstd::encode_all(content, 1).expect("compressed"),
        }
        packed
    }

    #[test]
    fn each_is_known_by_its_start_and_ends_at_its_limit() {
        let content = vec![b'x'; 3 << 20];
        for compression in [
            Compression::None,
            Compression::Gzip,
            Compression::Xz,
            Compression::Zstd,
        ] {
            let packed = packed(compression, &content);
            assert_eq!(Compression::of_start(&packed, b"xxx"), Some(compression));
            let read = |limit_bytes| {
                let mut unpacked = Vec::new();
                let mut reader = compression.reader(&*packed, limit_bytes)?;
                reader.read_to_end(&mut unpacked).map(|_| unpacked)
            };
            assert!(read(3 << 20).expect("not above the limit") == content);
            let error = read((3 << 20) - 1).expect_err("above it").to_string();
            assert_eq!(error, "more than 2 MiB when decompressed");
        }
        assert_eq!(Compression::of_start(b"BZh9", b"07070"), None);
    }
}
