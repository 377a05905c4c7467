//! What many names have in common, as one line: `null<16 hex>`, `<uuid>.tmp`, `core.<3-5 digits>`.
//!
//! Names are cut into words (ASCII letters and digits) and what separates them. Names with the same
//! separators are laid over each other word by word; inside a word, what all share at its ends stays
//! and the rest is given as the narrowest class that fits all, with its length. `<` and `>` of a
//! name, and the `|` that stands between two templates, are written as `\x3c`, `\x3e`, `\x7c`, in
//! the notation of `escape.rs`, which doubles backslashes: so what stands in `<…>` is never a name's.

mod words;

use std::collections::{BTreeMap, BTreeSet};

use crate::escape::escape;
use words::{Class, describe, largest_alike, same_length};

/// A name as its words and separators: one separator more than words, each perhaps empty.
#[derive(Clone, Debug)]
struct Name<'a> {
    whole: &'a [u8],
    words: Vec<&'a [u8]>,
    separators: Vec<&'a [u8]>,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(Vec<u8>),
    Random {
        class: Class,
        length_min: usize,
        length_max: usize,
    },
    Uuid,
}

/// The template of the names: of the largest group of one shape, if it has more than half of them; of
/// the two largest, as `A | B`, if each has a quarter and both together three quarters. None where the
/// names have no more in common. Neither the order of the names nor how often one comes matters.
#[must_use]
pub fn template(names: &[Vec<u8>]) -> Option<String> {
    let distinct: BTreeSet<&[u8]> = names
        .iter()
        .map(Vec::as_slice)
        .filter(|name| !name.is_empty())
        .collect();
    let names: Vec<Name<'_>> = distinct.into_iter().map(split).collect();
    let total = names.len();
    let first = family(&names, total);
    if first.len() * 4 < total * 3
        && let Some(pieces) = url_safe(&names)
    {
        return Some(render(&pieces));
    }
    let rest: Vec<_> = without(&names, &first);
    let second = family(&rest, total);
    let is_second_large = second.len() >= 2 && second.len() * 4 >= total;
    if is_second_large && (first.len() + second.len()) * 4 >= total * 3 {
        let (first, second) = (render(&pieces(&first)), render(&pieces(&second)));
        // Of two that are as large, either may have been found first.
        let (first, second) = (first.clone().min(second.clone()), first.max(second));
        return Some(format!("{first} | {second}"));
    }
    if first.len() * 2 > total {
        return Some(render(&pieces(&first)));
    }
    let shape = largest_shape(&names);
    (shape.len() * 2 > total).then(|| render(&pieces(&shape)))
}

fn split(name: &[u8]) -> Name<'_> {
    let (mut words, mut separators) = (Vec::new(), Vec::new());
    let mut rest = name;
    loop {
        let separator = rest
            .iter()
            .take_while(|byte| !byte.is_ascii_alphanumeric())
            .count();
        separators.push(&rest[..separator]);
        rest = &rest[separator..];
        if rest.is_empty() {
            break;
        }
        let word = rest
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric())
            .count();
        words.push(&rest[..word]);
        rest = &rest[word..];
    }
    // A name that ends in a word has an empty separator behind it.
    if separators.len() == words.len() {
        separators.push(&[]);
    }
    Name {
        whole: name,
        words,
        separators,
    }
}

/// The largest group of names with the same separators; of two as large, the one that sorts first.
fn largest_shape<'a>(names: &[Name<'a>]) -> Vec<Name<'a>> {
    let mut shapes: BTreeMap<&[&[u8]], Vec<Name<'a>>> = BTreeMap::new();
    for name in names {
        let shape = shapes.entry(&name.separators).or_default();
        shape.push(name.clone());
    }
    let largest = shapes.into_values().rev().max_by_key(Vec::len);
    largest.unwrap_or_default()
}

/// Of the largest shape, the names that were made alike: those that share the beginning of a word
/// which a quarter of all names or more begin with, and the length of their random words.
fn family<'a>(names: &[Name<'a>], total: usize) -> Vec<Name<'a>> {
    let mut alike = largest_shape(names);
    let keep_min = total.div_ceil(4).max(2);
    let slots_count = alike.first().map_or(0, |name| name.words.len());
    for slot in 0..slots_count {
        if !is_uuid_near(&alike, slot) {
            keep(&mut alike, slot, |words| largest_alike(words, keep_min));
        }
    }
    for slot in 0..slots_count {
        keep(&mut alike, slot, same_length);
    }
    alike
}

/// Keeps the names whose word is one of those that `choose` kept.
fn keep<'a>(names: &mut Vec<Name<'a>>, slot: usize, choose: impl Fn(&[&'a [u8]]) -> Vec<&'a [u8]>) {
    let words: Vec<_> = names.iter().map(|name| name.words[slot]).collect();
    let kept: BTreeSet<_> = choose(&words).into_iter().collect();
    names.retain(|name| kept.contains(name.words[slot]));
}

fn without<'a>(names: &[Name<'a>], taken: &[Name<'a>]) -> Vec<Name<'a>> {
    let taken: BTreeSet<_> = taken.iter().map(|name| name.whole).collect();
    let rest = names.iter().filter(|name| !taken.contains(name.whole));
    rest.cloned().collect()
}

/// Lengths of the groups of a UUID (RFC 9562, section 4).
const UUID_GROUPS: [usize; 5] = [8, 4, 4, 4, 12];

/// A UUID begins at this word, in every name.
fn is_uuid(names: &[Name<'_>], slot: usize) -> bool {
    names.iter().all(|name| {
        let words = name.words.get(slot..slot + UUID_GROUPS.len());
        let between = name.separators.get(slot + 1..slot + UUID_GROUPS.len());
        let (Some(words), Some(between)) = (words, between) else {
            return false;
        };
        between.iter().all(|separator| *separator == b"-")
            && words.iter().zip(UUID_GROUPS).all(|(word, length)| {
                word.len() == length && word.iter().all(u8::is_ascii_hexdigit)
            })
    })
}

/// The word is part of a UUID in every name: what its groups share means nothing.
fn is_uuid_near(names: &[Name<'_>], slot: usize) -> bool {
    let starts = slot.saturating_sub(UUID_GROUPS.len() - 1)..=slot;
    starts.into_iter().any(|start| is_uuid(names, start))
}

/// The template of names with the same separators.
fn pieces(names: &[Name<'_>]) -> Vec<Piece> {
    let Some(model) = names.first() else {
        return Vec::new();
    };
    let mut pieces = Vec::new();
    let mut slot = 0;
    while slot < model.words.len() {
        pieces.push(Piece::Literal(model.separators[slot].to_vec()));
        let end = slot + UUID_GROUPS.len();
        let varies = |slot| {
            names
                .iter()
                .any(|name| name.words[slot] != model.words[slot])
        };
        if is_uuid(names, slot) && (slot..end).any(varies) {
            pieces.push(Piece::Uuid);
            slot = end;
        } else {
            let words: Vec<_> = names.iter().map(|name| name.words[slot]).collect();
            pieces.extend(describe(&words));
            slot += 1;
        }
    }
    pieces.push(Piece::Literal(model.separators[slot].to_vec()));
    pieces
}

/// Shortest random part that is taken for base64 with `-` and `_` (RFC 4648, section 5): shorter ones are
/// too much like words with hyphens.
const BASE64_LENGTH_MIN: usize = 16;

/// Names whose random part has `-` and `_` in it, at places that differ: all of one length, all of
/// these characters, in more than one shape.
fn url_safe(names: &[Name<'_>]) -> Option<Vec<Piece>> {
    let wholes: Vec<_> = names.iter().map(|name| name.whole).collect();
    let length = wholes.first()?.len();
    let first_shape = &names.first()?.separators;
    if wholes.iter().any(|whole| whole.len() != length)
        || names.iter().all(|name| name.separators == *first_shape)
    {
        return None;
    }
    let (prefix, suffix) = words::shared_ends(&wholes);
    let is_url_safe = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let middle = length.checked_sub(prefix + suffix)?;
    let are_safe = wholes
        .iter()
        .all(|whole| whole[prefix..length - suffix].iter().all(is_url_safe));
    (are_safe && middle >= BASE64_LENGTH_MIN).then(|| {
        vec![
            Piece::Literal(wholes[0][..prefix].to_vec()),
            Piece::Random {
                class: Class::Base64,
                length_min: middle,
                length_max: middle,
            },
            Piece::Literal(wholes[0][length - suffix..].to_vec()),
        ]
    })
}

fn render(pieces: &[Piece]) -> String {
    let (mut text, mut literal) = (String::new(), Vec::new());
    for piece in pieces {
        match piece {
            // Escaped in one piece: a character's bytes may come from more than one.
            Piece::Literal(bytes) => literal.extend_from_slice(bytes),
            Piece::Random {
                class,
                length_min,
                length_max,
            } => {
                text.push_str(&quote(&std::mem::take(&mut literal)));
                let class = class.as_str();
                if length_min == length_max {
                    text.push_str(&format!("<{length_min} {class}>"));
                } else {
                    text.push_str(&format!("<{length_min}-{length_max} {class}>"));
                }
            }
            Piece::Uuid => {
                text.push_str(&quote(&std::mem::take(&mut literal)));
                text.push_str("<uuid>");
            }
        }
    }
    text + &quote(&literal)
}

fn quote(literal: &[u8]) -> String {
    escape(literal)
        .replace('<', "\\x3c")
        .replace('>', "\\x3e")
        .replace('|', "\\x7c")
}

#[cfg(test)]
mod tests;
