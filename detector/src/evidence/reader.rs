//! A file of evidence, line by line, whatever is in it.

use std::io::{self, BufRead};

use super::{
    history::History,
    line::{LINE_BYTES_MAX, Unreadable},
};

/// Feeds all files that can be read. One that can't is told, and takes no other with it.
///
/// # Errors
/// The first one, with the file's name, where not one of them can be read.
pub fn read_all<R: BufRead>(
    history: &mut History,
    files: impl IntoIterator<Item = (String, io::Result<R>)>,
) -> Result<(), (String, io::Error)> {
    let mut first = None;
    let mut is_any_read = false;
    for (file, opened) in files {
        match opened.and_then(|from| read(history, &file, from)) {
            Ok(()) => is_any_read = true,
            Err(error) => {
                history.skipped(&file, Unreadable::File(error.to_string()));
                first.get_or_insert((file, error));
            }
        }
    }
    match first {
        Some(first) if !is_any_read => Err(first),
        _ => Ok(()),
    }
}

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

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use super::*;
    use crate::evidence::history::Keep;

    /// Some bytes, and then the disk is at its end.
    struct Damaged(&'static [u8]);

    impl Read for Damaged {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            match self.0.read(to)? {
                0 => Err(io::ErrorKind::InvalidData.into()),
                count => Ok(count),
            }
        }
    }

    fn file(name: &str, bytes: &'static [u8]) -> (String, io::Result<BufReader<Damaged>>) {
        (name.to_owned(), Ok(BufReader::new(Damaged(bytes))))
    }

    #[test]
    fn a_file_that_cannot_be_read_takes_no_other_with_it() {
        let mut history = History::new(Keep::Rows);
        let whole: Box<dyn BufRead> = Box::new(&b"{}\n"[..]);
        let damaged: Box<dyn BufRead> = Box::new(BufReader::new(Damaged(b"{}\n{")));
        let files = [
            ("a".to_owned(), Ok(damaged)),
            ("b".to_owned(), Err(io::ErrorKind::PermissionDenied.into())),
            ("c".to_owned(), Ok(whole)),
        ];
        assert!(read_all(&mut history, files).is_ok());
        let told: Vec<_> = history
            .unreadable
            .keys()
            .map(|(file, reason)| (file.as_str(), matches!(reason, Unreadable::File(_))))
            .collect();
        let expected = [("a", false), ("a", true), ("b", true), ("c", false)];
        assert_eq!(told, expected);
    }

    #[test]
    fn where_nothing_can_be_read_there_is_no_report() {
        let mut history = History::new(Keep::Rows);
        let files = [file("a", b""), file("b", b"")];
        let (name, _) = read_all(&mut history, files).expect_err("nothing was read");
        assert_eq!(name, "a");
        let none: [(String, io::Result<BufReader<Damaged>>); 0] = [];
        assert!(read_all(&mut history, none).is_ok());
    }
}
