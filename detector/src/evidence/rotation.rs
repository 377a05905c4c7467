//! Which files of evidence stay, and when a new one begins. Pure: sizes and times come in.

use std::time::Duration;

/// Files that all evidence is spread over: the oldest of them goes when room is needed.
const FILES_COUNT: u64 = 16;
/// No file is smaller, whatever the total: one has to hold an incident.
const FILE_BYTES_MIN: u64 = 128 << 10;
/// These stay however old they seem: a clock that jumped ahead must not take everything.
const KEPT_COUNT: usize = 2;
/// A file's share of the age at which evidence goes.
const AGE_PARTS: u32 = 12;

const NAME_START: &str = "evidence-";
const NAME_END: &str = ".jsonl";

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// All files together, in bytes.
    pub total_bytes: u64,
    /// Time since a file's last line, after which it goes.
    pub age_max: Duration,
}

impl Limits {
    /// A file gets no larger, but for a first line that is larger itself.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        (self.total_bytes / FILES_COUNT).max(FILE_BYTES_MIN)
    }

    /// The next line goes into a new file. `age` is the time since this one's first line.
    #[must_use]
    pub fn is_full(&self, file_bytes: u64, line_bytes: u64, age: Duration) -> bool {
        file_bytes > 0
            && (file_bytes.saturating_add(line_bytes) > self.file_bytes()
                || age > self.age_max / AGE_PARTS)
    }

    /// Numbers of the files that go before a new one begins. `files` are sorted by number.
    #[must_use]
    pub fn superfluous(&self, files: &[FileFacts]) -> Vec<u32> {
        let mut total_bytes: u64 = files.iter().map(|file| file.bytes).sum();
        let mut gone = Vec::new();
        for (place, file) in files.iter().enumerate() {
            let is_too_much = total_bytes.saturating_add(self.file_bytes()) > self.total_bytes;
            let is_old = file.age > self.age_max && files.len() - place > KEPT_COUNT;
            if is_too_much || is_old {
                total_bytes -= file.bytes;
                gone.push(file.number);
            }
        }
        gone
    }
}

/// A file of evidence, as far as keeping it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileFacts {
    /// Its number.
    pub number: u32,
    /// Its size.
    pub bytes: u64,
    /// Time since its last line; zero where that is in the future.
    pub age: Duration,
}

/// A file's name.
#[must_use]
pub fn name(number: u32) -> String {
    format!("{NAME_START}{number:08}{NAME_END}")
}

/// The number in a file's name; none for every other file.
#[must_use]
pub fn number(file: &str) -> Option<u32> {
    let digits = file.strip_prefix(NAME_START)?.strip_suffix(NAME_END)?;
    let number = digits.parse().ok()?;
    (name(number) == file).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    const LIMITS: Limits = Limits {
        total_bytes: 64 << 20,
        age_max: Duration::from_secs(90 * 24 * 60 * 60),
    };

    fn file(number: u32, bytes: u64, days: u32) -> FileFacts {
        FileFacts {
            number,
            bytes,
            age: DAY * days,
        }
    }

    #[test]
    fn a_file_is_full_by_size_or_age_and_never_while_it_is_empty() {
        let most = LIMITS.file_bytes();
        assert!(!LIMITS.is_full(most - 100, 100, DAY));
        assert!(LIMITS.is_full(most - 100, 101, DAY));
        assert!(LIMITS.is_full(1, 1, DAY * 8));
        assert!(!LIMITS.is_full(0, most + 1, DAY * 8));
        assert!(LIMITS.is_full(u64::MAX, u64::MAX, DAY));
    }

    #[test]
    fn with_the_new_file_the_total_is_never_passed() {
        let mut files = Vec::new();
        for number in 0..100 {
            for gone in LIMITS.superfluous(&files) {
                files.retain(|file: &FileFacts| file.number != gone);
            }
            files.push(file(number, LIMITS.file_bytes(), 0));
            let total: u64 = files.iter().map(|file| file.bytes).sum();
            assert!(total <= LIMITS.total_bytes, "{total}");
        }
        assert_eq!(files.len(), 16);
        assert_eq!(files[0].number, 84);
    }

    #[test]
    fn old_files_go_but_the_latest_two_stay() {
        let files = [1, 2, 3, 4].map(|number| file(number, 10, 91));
        assert_eq!(LIMITS.superfluous(&files), [1, 2]);
        let files = [file(1, 10, 91), file(2, 10, 89), file(3, 10, 1)];
        assert_eq!(LIMITS.superfluous(&files), [1]);
        assert_eq!(LIMITS.superfluous(&[]), [0; 0]);
    }

    #[test]
    fn only_our_own_names_have_a_number() {
        assert_eq!(number(&name(7)), Some(7));
        assert_eq!(number(&name(u32::MAX)), Some(u32::MAX));
        for other in [
            "evidence-7.jsonl",
            "evidence-00000007.jsonl.gz",
            "evidence-+0000007.jsonl",
            "evidence-.jsonl",
            "incidents",
        ] {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
