//! A file of evidence, line by line, whatever is in it.

use std::io::{self, BufRead};

use super::{
    history::History,
    line::{LINE_BYTES_MAX, Unreadable},
};

/// Feeds all lines of a file. A last line without its end was cut by a crash, even where it happens to
/// parse: nobody knows what would have followed.
///
/// # Errors
/// Those of the file.
pub fn read(history: &mut History, file: &str, mut from: impl BufRead) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let is_whole = read_line(&mut from, &mut line)?;
        if !is_whole && line.is_empty() {
            return Ok(());
        }
        if is_whole && line.is_empty() {
            // The next run ends a torn line before it goes on: right after a whole one that is none.
            continue;
        }
        if is_whole || line.len() > LINE_BYTES_MAX {
            history.line(file, &line);
        } else {
            history.skipped(file, Unreadable::Torn);
        }
    }
}

/// Reads up to the end of a line, which is left out. Of a line that is too long only the beginning is
/// kept, so that it is known as one.
fn read_line(from: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        let bytes = match from.fill_buf() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if bytes.is_empty() {
            return Ok(false);
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let part = &bytes[..end.unwrap_or(bytes.len())];
        let room = (LINE_BYTES_MAX + 1).saturating_sub(line.len());
        line.extend_from_slice(&part[..part.len().min(room)]);
        let used_bytes = part.len() + usize::from(end.is_some());
        from.consume(used_bytes);
        if end.is_some() {
            return Ok(true);
        }
    }
}
