//! Frames: the checksummed envelope of everything that leaves a guest or a detector as bytes.
//!
//! Two users: recordings (`mod.rs`), where a bad frame ends the reading, and the harness's
//! result channel over a serial port, where the reader looks for the next good frame instead.
//!
//! Layout, little-endian: magic `"FSLK"`, kind `u8`, payload length `u32`, CRC-32 (IEEE) of kind,
//! length and payload `u32`, payload.

use std::io::{self, Read, Write};

/// Starts every frame; chosen so that it can't begin a line of kernel log.
pub const MAGIC: [u8; 4] = *b"FSLK";
/// Bytes before the payload.
pub const HEADER_BYTES: usize = 13;
/// A longer payload is taken for corruption, so that a broken length can't exhaust memory.
pub const PAYLOAD_BYTES_MAX: usize = 16 << 20;

/// One decoded frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What the payload is; each user has its own numbering.
    pub kind: u8,
    /// The bytes, whose checksum was right.
    pub payload: Vec<u8>,
}

/// Why bytes are not a frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream ends inside a frame.
    #[error("cut in the middle of a frame")]
    Cut,
    /// The bytes at this place are not a frame, or its checksum is wrong.
    #[error("corrupt frame ({0})")]
    Corrupt(&'static str),
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn checksum(kind: u8, length: u32, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[kind]);
    hasher.update(&length.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

/// The frame as bytes.
///
/// # Panics
/// When the payload is longer than [`PAYLOAD_BYTES_MAX`]: the caller splits larger things.
#[must_use]
pub fn encode(kind: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() <= PAYLOAD_BYTES_MAX, "frame payload too long");
    let length = u32::try_from(payload.len()).expect("bounded above");
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.push(kind);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&checksum(kind, length, payload).to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Writes one frame.
///
/// # Errors
/// Those of the writer, and a payload that is longer than [`PAYLOAD_BYTES_MAX`]: nothing is written of it.
pub fn write(writer: &mut impl Write, kind: u8, payload: &[u8]) -> io::Result<()> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        let why = format!("{} bytes are too long for a frame", payload.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    writer.write_all(&encode(kind, payload))
}

/// Reads one frame; `None` at a clean end of the stream.
///
/// # Errors
/// [`FrameError::Cut`] when the stream ends inside a frame, [`FrameError::Corrupt`] when what is
/// there is not one, [`FrameError::Io`] for the reader's own errors.
pub fn read(reader: &mut impl Read) -> Result<Option<Frame>, FrameError> {
    let mut header = [0_u8; HEADER_BYTES];
    match read_full(reader, &mut header)? {
        0 => return Ok(None),
        HEADER_BYTES => {}
        _ => return Err(FrameError::Cut),
    }
    let (kind, length, sum) = parse_header(&header)?;
    let mut payload = vec![0; length];
    if read_full(reader, &mut payload)? != length {
        return Err(FrameError::Cut);
    }
    verify(kind, sum, &payload)?;
    Ok(Some(Frame { kind, payload }))
}

fn parse_header(header: &[u8; HEADER_BYTES]) -> Result<(u8, usize, u32), FrameError> {
    let [m0, m1, m2, m3, kind, l0, l1, l2, l3, c0, c1, c2, c3] = *header;
    if [m0, m1, m2, m3] != MAGIC {
        return Err(FrameError::Corrupt("no frame starts here"));
    }
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if length > PAYLOAD_BYTES_MAX {
        return Err(FrameError::Corrupt("impossible length"));
    }
    Ok((kind, length, u32::from_le_bytes([c0, c1, c2, c3])))
}

fn verify(kind: u8, sum: u32, payload: &[u8]) -> Result<(), FrameError> {
    let length = u32::try_from(payload.len()).expect("bounded by parse_header");
    if checksum(kind, length, payload) == sum {
        Ok(())
    } else {
        Err(FrameError::Corrupt("checksum does not match"))
    }
}

fn read_full(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Finds frames in a stream that may carry other bytes between them (a serial line): what is not
/// a frame is passed over and counted.
#[derive(Debug, Default)]
pub struct Resync {
    buffer: Vec<u8>,
    /// Bytes passed over because they were no frame.
    pub skipped_bytes: u64,
}

impl Resync {
    /// Takes more of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, or `None` until more bytes come.
    pub fn next_frame(&mut self) -> Option<Frame> {
        loop {
            let start = self
                .buffer
                .windows(MAGIC.len())
                .position(|window| window == MAGIC)
                .unwrap_or_else(|| self.buffer.len().saturating_sub(MAGIC.len() - 1));
            self.skip(start);
            let header: &[u8; HEADER_BYTES] = self.buffer.get(..HEADER_BYTES)?.try_into().ok()?;
            let Ok((kind, length, sum)) = parse_header(header) else {
                self.skip(1);
                continue;
            };
            let payload = self.buffer.get(HEADER_BYTES..HEADER_BYTES + length)?;
            if verify(kind, sum, payload).is_err() {
                self.skip(1);
                continue;
            }
            let payload = payload.to_vec();
            self.buffer.drain(..HEADER_BYTES + length);
            return Some(Frame { kind, payload });
        }
    }

    fn skip(&mut self, count: usize) {
        self.buffer.drain(..count);
        self.skipped_bytes += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_for_a_frame_is_an_error_and_leaves_nothing() {
        let mut stream = Vec::new();
        let long = vec![0; PAYLOAD_BYTES_MAX + 1];
        let error = write(&mut stream, 3, &long).expect_err("too long");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(stream.is_empty());
        assert!(write(&mut stream, 3, &long[1..]).is_ok());
    }

    #[test]
    fn a_written_frame_reads_back() {
        let mut stream = encode(3, b"hello");
        stream.extend(encode(4, b""));
        let mut reader = stream.as_slice();
        let first = read(&mut reader).expect("whole").expect("there");
        assert_eq!((first.kind, first.payload.as_slice()), (3, &b"hello"[..]));
        assert_eq!(read(&mut reader).expect("whole").expect("there").kind, 4);
        assert!(read(&mut reader).expect("clean end").is_none());
    }

    #[test]
    fn every_cut_is_noticed() {
        let stream = encode(1, b"payload");
        for end in 1..stream.len() {
            assert!(
                matches!(read(&mut &stream[..end]), Err(FrameError::Cut)),
                "cut at {end}"
            );
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let stream = encode(1, b"payload");
        for index in 0..stream.len() * 8 {
            let mut broken = stream.clone();
            broken[index / 8] ^= 1 << (index % 8);
            assert!(read(&mut broken.as_slice()).is_err(), "bit {index}");
        }
    }

    #[test]
    fn frames_between_noise_are_found() {
        let mut stream = b"noise FSL".to_vec();
        stream.extend(encode(1, b"one"));
        stream.extend(b"FSLK more noise that looks like a header");
        stream.extend(encode(2, b"two"));
        let mut resync = Resync::default();
        let mut found = Vec::new();
        for byte in stream {
            resync.push(&[byte]);
            while let Some(frame) = resync.next_frame() {
                found.push((frame.kind, frame.payload));
            }
        }
        assert_eq!(found, [(1, b"one".to_vec()), (2, b"two".to_vec())]);
        assert_eq!(resync.skipped_bytes, 9 + 40);
    }
}
