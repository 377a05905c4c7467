//! What a walk touches of each child, as the CPU's own breakpoints saw it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::line::precise;
use crate::arch::GUEST;

const LINE_BYTES: u32 = GUEST.cache_line_bytes;

/// Bytes that one breakpoint covers, and an offset below stands for.
const WORD_BYTES: u32 = 8;

/// The words of a child that a walk touches, by their offset in `struct dentry`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// `negative` or `positive`.
    pub children: String,
    /// Those that it reads or writes.
    pub touched_at_bytes: Vec<u32>,
    /// Those that it writes.
    pub written_at_bytes: Vec<u32>,
}

/// The data of scenario `child-access`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// From one dentry in a slab to the next.
    pub dentry_bytes: u32,
    /// Of each kind of children.
    pub accesses: Vec<Access>,
}

impl Layout {
    /// What is touched of these children.
    #[must_use]
    pub fn access(&self, children: &str) -> Option<&Access> {
        self.accesses.iter().find(|one| one.children == children)
    }

    /// Cache lines that a walk touches of each of these children.
    #[must_use]
    pub fn touched_lines(&self, children: &str) -> Option<f64> {
        let access = self.access(children)?;
        Some(lines(&access.touched_at_bytes, self.dentry_bytes))
    }

    /// Cache lines that a walk writes of each of these children.
    #[must_use]
    pub fn written_lines(&self, children: &str) -> Option<f64> {
        let access = self.access(children)?;
        Some(lines(&access.written_at_bytes, self.dentry_bytes))
    }
}

impl Access {
    /// What it touches, by the names of the fields there: `d_inode 48, d_lock 88 (written)`.
    #[must_use]
    pub fn words(&self, fields: &BTreeMap<String, u32>) -> String {
        let word = |at: &u32| {
            let is_here = |field: &&String| fields[*field] / WORD_BYTES == at / WORD_BYTES;
            let names: Vec<&str> = fields.keys().filter(is_here).map(String::as_str).collect();
            let name = if names.is_empty() {
                "byte".to_owned()
            } else {
                names.join("/")
            };
            let is_written = self.written_at_bytes.contains(at);
            format!("{name} {at}{}", if is_written { " (written)" } else { "" })
        };
        let all: Vec<String> = self.touched_at_bytes.iter().map(word).collect();
        all.join(", ")
    }
}

/// Lines that these words lie in: the mean over the places that a dentry can have in a slab, which begins
/// with a page.
fn lines(words_at_bytes: &[u32], dentry_bytes: u32) -> f64 {
    let counts = (0..LINE_BYTES).map(|place| {
        let start = place * dentry_bytes % LINE_BYTES;
        let of_word = |at: &u32| {
            let first = (start + at) / LINE_BYTES;
            let last = (start + at + WORD_BYTES - 1) / LINE_BYTES;
            first..=last
        };
        let touched: BTreeSet<u32> = words_at_bytes.iter().flat_map(of_word).collect();
        precise(touched.len() as u64)
    });
    counts.sum::<f64>() / f64::from(LINE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_the_places_that_a_dentry_can_have() {
        let of = |words: &[u32], bytes| lines(words, bytes);
        assert!(of(&[], 192).abs() < 1e-9);
        assert!((of(&[48, 0], 192) - 1.0).abs() < 1e-9, "one line");
        assert!((of(&[48, 64], 192) - 2.0).abs() < 1e-9, "neighbours");
        assert!((of(&[48, 144, 152], 192) - 2.0).abs() < 1e-9);
        // At 200 bytes a dentry begins at each multiple of 8 in a line: 48 and 64 are 16 bytes apart, in one
        // line at 6 places of 8.
        assert!((of(&[48, 64], 200) - 1.25).abs() < 1e-9);
    }

    #[test]
    fn words_have_the_names_of_their_fields() {
        let access = Access {
            children: "positive".into(),
            touched_at_bytes: vec![48, 88, 96],
            written_at_bytes: vec![88],
        };
        let fields = [
            ("d_inode", 48),
            ("d_lockref.count", 92),
            ("d_lockref.lock", 88),
        ];
        let fields = fields.map(|(name, at)| (name.to_owned(), at)).into();
        assert_eq!(
            access.words(&fields),
            "d_inode 48, d_lockref.count/d_lockref.lock 88 (written), byte 96"
        );
    }
}
