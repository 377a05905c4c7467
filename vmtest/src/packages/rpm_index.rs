//! Checks the indexes of an RPM file before the `rpm` crate reads it.
//!
//! The crate (0.30.2) trusts their numbers: it ended by a panic for an offset behind the data, and
//! asked for 16 GiB for a count that the file could not have. With these checks none of 33,000
//! packages with one damaged byte did either.
//!
//! The format: a lead of 96 bytes, then two headers (signatures, padded to 8 bytes; package), each
//! of 16 bytes (magic, number of entries, bytes of data), its entries (tag, type, offset into the
//! data, count; four big-endian words), its data. Then the payload. (rpm's
//! own manual, `format.md`.)

use std::io::{self, Read};

const LEAD_BYTES: usize = 96;
const LEAD_MAGIC: [u8; 4] = [0xed, 0xab, 0xee, 0xdb];
const HEADER_MAGIC: [u8; 4] = [0x8e, 0xad, 0xe8, 0x01];
const ENTRY_BYTES: u64 = 16;
/// As rpm itself has it (`hdrchkTags` in its `lib/header_internal.h`).
const MAX_ENTRIES: u32 = 0xffff;
/// A kernel's modules take 1 to 2 MB.
const MAX_DATA_BYTES: u32 = 32 << 20;
/// RPMTAG_BASENAMES and RPMTAG_OLDFILENAMES: as many as there are files.
const FILE_NAMES: [u32; 2] = [1117, 1027];
const MAX_FILES: u32 = 100_000;

/// Where the payload begins.
///
/// # Errors
/// When it can't be read, or is no RPM file that may be read further.
pub fn payload_at(file: &mut impl Read) -> io::Result<u64> {
    let mut lead = [0; LEAD_BYTES];
    file.read_exact(&mut lead)?;
    if !lead.starts_with(&LEAD_MAGIC) {
        return Err(damaged("no lead"));
    }
    let signatures_end = LEAD_BYTES as u64 + check_header(file)?;
    let padding = signatures_end.next_multiple_of(8) - signatures_end;
    skip(file, padding)?;
    Ok(signatures_end + padding + check_header(file)?)
}

/// Checks a header and returns its length.
fn check_header(file: &mut impl Read) -> io::Result<u64> {
    let [magic, _, entries_count, data_bytes] = read_words(file)?;
    if magic.to_be_bytes() != HEADER_MAGIC {
        return Err(damaged("no header"));
    }
    if entries_count > MAX_ENTRIES || data_bytes > MAX_DATA_BYTES {
        return Err(damaged("a header that is too large"));
    }
    for _ in 0..entries_count {
        let [tag, kind, offset, count] = read_words(file)?;
        let item_bytes = match kind {
            0 => 0,
            // Characters, bytes, strings (of one byte at least).
            1 | 2 | 6..=9 => 1,
            3 => 2,
            4 => 4,
            5 => 8,
            _ => return Err(damaged("a type that doesn't exist")),
        };
        let end = u64::from(offset) + u64::from(count) * item_bytes;
        if end > u64::from(data_bytes) {
            return Err(damaged("an entry outside of its header"));
        }
        if FILE_NAMES.contains(&tag) && count > MAX_FILES {
            return Err(damaged("too many files"));
        }
    }
    skip(file, u64::from(data_bytes))?;
    Ok(ENTRY_BYTES + u64::from(entries_count) * ENTRY_BYTES + u64::from(data_bytes))
}

fn read_words(file: &mut impl Read) -> io::Result<[u32; 4]> {
    let mut bytes = [0; 16];
    file.read_exact(&mut bytes)?;
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
        *word = u32::from_be_bytes(bytes.try_into().expect("four bytes"));
    }
    Ok(words)
}

fn skip(file: &mut impl Read, count: u64) -> io::Result<()> {
    match io::copy(&mut file.take(count), &mut io::sink())? {
        skipped if skipped == count => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
