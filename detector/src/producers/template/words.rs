//! Words that stand at the same place in many names: which of them were made alike, what they share.

use std::collections::BTreeMap;

use super::Piece;

/// What the characters of a random part are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Digits,
    LowerHex,
    UpperHex,
    Letters,
    Alnum,
    /// Letters, digits, `-` and `_`.
    Base64,
}

impl Class {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Digits => "digits",
            Self::LowerHex | Self::UpperHex => "hex",
            Self::Letters => "letters",
            Self::Alnum => "alnum",
            Self::Base64 => "base64",
        }
    }

    fn has(self, byte: u8) -> bool {
        match self {
            Self::Digits => byte.is_ascii_digit(),
            Self::LowerHex => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            Self::UpperHex => matches!(byte, b'0'..=b'9' | b'A'..=b'F'),
            Self::Letters => byte.is_ascii_alphabetic(),
            Self::Alnum => byte.is_ascii_alphanumeric(),
            Self::Base64 => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'),
        }
    }

    /// What a character that came by chance tells, in bits, rounded down.
    fn bits(self) -> usize {
        match self {
            Self::Digits => 3,
            Self::LowerHex | Self::UpperHex | Self::Letters => 4,
            Self::Alnum => 5,
            Self::Base64 => 6,
        }
    }

    /// The narrowest that has all these characters.
    fn narrowest(parts: &[&[u8]]) -> Self {
        let bytes = || parts.iter().flat_map(|part| part.iter().copied());
        let fits = |class: Self| bytes().all(|byte| class.has(byte));
        if fits(Self::Digits) {
            return Self::Digits;
        }
        // Twelve hex digits without one of 0-9 come once in a hundred thousand times: these are words.
        let is_wordy = fits(Self::Letters) && bytes().count() >= 12;
        if !is_wordy && fits(Self::LowerHex) {
            Self::LowerHex
        } else if !is_wordy && fits(Self::UpperHex) {
            Self::UpperHex
        } else if fits(Self::Letters) {
            Self::Letters
        } else {
            Self::Alnum
        }
    }
}

/// Something shared is taken for made, not for chance, when chance would do it once in 2^20 times.
const EVIDENCE_BITS: usize = 20;

/// How many bytes all words begin with, and end with; the two don't overlap in the shortest.
pub(super) fn shared_ends(words: &[&[u8]]) -> (usize, usize) {
    let shortest = words.iter().map(|word| word.len()).min().unwrap_or(0);
    let Some(model) = words.first() else {
        return (0, 0);
    };
    let prefix = (0..shortest)
        .take_while(|at| words.iter().all(|word| word[*at] == model[*at]))
        .count();
    let suffix = (0..shortest - prefix)
        .take_while(|at| {
            let last = model[model.len() - 1 - at];
            words.iter().all(|word| word[word.len() - 1 - at] == last)
        })
        .count();
    (prefix, suffix)
}

/// The pieces of words of one place. What all begin or end with is literal; but of what is of the class of
/// the rest, digits before digits belong to the number, and what few words share by chance to the random
/// part.
pub(super) fn describe(words: &[&[u8]]) -> Vec<Piece> {
    let Some(model) = words.first() else {
        return Vec::new();
    };
    if words.iter().all(|word| word == model) {
        return vec![Piece::Literal(model.to_vec())];
    }
    let (mut prefix, mut suffix) = shared_ends(words);
    let middles = |prefix: usize, suffix: usize| -> Vec<&[u8]> {
        words
            .iter()
            .map(|word| &word[prefix..word.len() - suffix])
            .collect()
    };
    let class = Class::narrowest(&middles(prefix, suffix));
    let near = |byte: &&u8| class.has(**byte);
    let head = model[..prefix].iter().rev().take_while(near).count();
    let tail = model[model.len() - suffix..]
        .iter()
        .take_while(near)
        .count();
    let is_chance = |shared: usize| {
        class == Class::Digits || shared * class.bits() * (words.len() - 1) < EVIDENCE_BITS
    };
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .rev()
            .take_while(|byte| byte.is_ascii_digit())
            .count()
    };
    let is_in_number = middles(prefix, suffix)
        .iter()
        .all(|middle| middle.first().is_some_and(u8::is_ascii_digit));
    if is_chance(head) {
        prefix -= head;
    } else if is_in_number {
        prefix -= number(&model[..prefix]);
    }
    if is_chance(tail) {
        suffix -= tail;
    }
    let lengths = || words.iter().map(|word| word.len() - prefix - suffix);
    vec![
        Piece::Literal(model[..prefix].to_vec()),
        Piece::Random {
            // Once more: of two names, what came in may have narrowed or widened it.
            class: Class::narrowest(&middles(prefix, suffix)),
            length_min: lengths().min().unwrap_or(0),
            length_max: lengths().max().unwrap_or(0),
        },
        Piece::Literal(model[model.len() - suffix..].to_vec()),
    ]
}

/// The words that begin alike, where at least `keep_min` do and chance can't be the reason; else all.
/// Digits are no reason: numbers that follow each other begin alike.
pub(super) fn largest_alike<'a>(words: &[&'a [u8]], keep_min: usize) -> Vec<&'a [u8]> {
    let mut alike = words.to_vec();
    loop {
        let (prefix, _) = shared_ends(&alike);
        let mut by_next: BTreeMap<u8, Vec<&[u8]>> = BTreeMap::new();
        for word in &alike {
            if let Some(next) = word.get(prefix).filter(|next| next.is_ascii_alphabetic()) {
                by_next.entry(*next).or_default().push(word);
            }
        }
        let Some(child) = by_next.into_values().rev().max_by_key(Vec::len) else {
            return alike;
        };
        let (child_prefix, _) = shared_ends(&child);
        let letters = child[0][prefix..child_prefix]
            .iter()
            .filter(|byte| byte.is_ascii_alphabetic())
            .count();
        // As many bits as there are words pay for having chosen which of them.
        let evidence = letters * Class::Letters.bits() * (child.len() - 1);
        if child.len() == alike.len()
            || child.len() < keep_min
            || evidence < alike.len() + EVIDENCE_BITS
        {
            return alike;
        }
        alike = child;
    }
}

/// Shortest random word whose length says that it was made like the others.
const FIXED_LENGTH_MIN: usize = 6;

/// The words of one length, where three quarters have it and they are random ones with digits and letters;
/// else all. Numbers grow, words differ, but a random token always has the length it was made with.
pub(super) fn same_length<'a>(words: &[&'a [u8]]) -> Vec<&'a [u8]> {
    let mut by_length: BTreeMap<usize, Vec<&[u8]>> = BTreeMap::new();
    for word in words {
        by_length.entry(word.len()).or_default().push(word);
    }
    let Some((length, alike)) = by_length.into_iter().max_by_key(|(_, words)| words.len()) else {
        return words.to_vec();
    };
    let (prefix, suffix) = shared_ends(&alike);
    let random: Vec<_> = alike
        .iter()
        .map(|word| &word[prefix..word.len() - suffix])
        .collect();
    let class = Class::narrowest(&random);
    let is_random = !matches!(class, Class::Digits | Class::Letters);
    if is_random
        && length >= prefix + suffix + FIXED_LENGTH_MIN
        && alike.len() * 4 >= words.len() * 3
    {
        alike
    } else {
        words.to_vec()
    }
}
