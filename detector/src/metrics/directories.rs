//! Which directories of the danger list are exported: few, and the same ones as long as possible, for
//! each new set of labels is a new time series for whoever collects them.

use std::{cmp::Reverse, collections::BTreeSet};

use crate::{
    directories::danger::{Danger, DirectoryId},
    escape::escape,
};

/// Directories exported at most.
pub const DIRECTORIES_MAX: usize = 10;

/// A smaller directory is nobody's danger: a walk over it takes some microseconds.
pub const CHILDREN_MIN: u64 = 1_000;

/// Characters of a path at most: what is left out is its beginning.
const PATH_CHARS_MAX: usize = 256;

/// A directory that is exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryReading {
    /// Device, as the kernel packs it, and inode number.
    pub id: DirectoryId,
    /// Path as the host sees it, escaped; empty where no mount shows it.
    pub path: String,
    /// Cached children.
    pub children_count: u64,
    /// Those without an inode; none where nobody has counted them.
    pub negative_count: Option<u64>,
    /// Length of a walk over them.
    pub predicted_ns: u64,
}

/// The directories with the longest predicted freeze. One that is among `shown` leaves only for
/// one whose prediction is longer by more than a quarter.
#[must_use]
pub fn choose(shown: &[DirectoryReading], dangers: &[Danger]) -> Vec<DirectoryReading> {
    let shown: BTreeSet<DirectoryId> = shown.iter().map(|one| one.id).collect();
    let mut ranked: Vec<_> = dangers
        .iter()
        .filter(|danger| danger.children_count >= CHILDREN_MIN)
        .collect();
    ranked.sort_by_key(|danger| {
        let id = (danger.dev, danger.ino);
        let bonus_ns = if shown.contains(&id) {
            danger.predicted_ns / 4
        } else {
            0
        };
        (Reverse(danger.predicted_ns.saturating_add(bonus_ns)), id)
    });
    ranked.truncate(DIRECTORIES_MAX);
    let mut chosen: Vec<_> = ranked.into_iter().map(reading).collect();
    // By what doesn't change, so that lines keep their places.
    chosen.sort_by_key(|one| one.id);
    chosen
}

fn reading(danger: &Danger) -> DirectoryReading {
    DirectoryReading {
        id: (danger.dev, danger.ino),
        path: danger.path.as_deref().map(label).unwrap_or_default(),
        children_count: danger.children_count,
        negative_count: danger.negative_count,
        predicted_ns: danger.predicted_ns,
    }
}

fn label(path: &[u8]) -> String {
    let escaped = escape(path);
    let count = escaped.chars().count();
    if count <= PATH_CHARS_MAX {
        return escaped;
    }
    let kept: String = escaped.chars().skip(count - PATH_CHARS_MAX).collect();
    format!("...{kept}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn danger(ino: u64, predicted_ns: u64) -> Danger {
        Danger {
            dev: 1,
            ino,
            fstype: b"ext4".to_vec(),
            path: Some(format!("/data/{ino}").into_bytes()),
            children_count: 100_000,
            negative_count: None,
            predicted_ns,
            watchers: Vec::new(),
            producers: Vec::new(),
        }
    }

    fn inodes(chosen: &[DirectoryReading]) -> Vec<u64> {
        chosen.iter().map(|one| one.id.1).collect()
    }

    #[test]
    fn the_worst_are_chosen_and_stand_by_number() {
        let dangers: Vec<_> = (1..=20).map(|ino| danger(ino, ino * 1_000)).collect();
        let chosen = choose(&[], &dangers);
        assert_eq!(inodes(&chosen), (11..=20).collect::<Vec<_>>());
        assert_eq!(chosen[0].path, "/data/11");
    }

    #[test]
    fn who_is_shown_leaves_only_for_one_that_is_much_worse() {
        let dangers: Vec<_> = (1..=10).map(|ino| danger(ino, 1_000)).collect();
        let shown = choose(&[], &dangers);
        let with = |predicted_ns| {
            let mut dangers = dangers.clone();
            dangers.push(danger(11, predicted_ns));
            inodes(&choose(&shown, &dangers)).contains(&11)
        };
        assert!(!with(1_250));
        assert!(with(1_251));
    }

    #[test]
    fn small_directories_are_nobodys_danger() {
        let small = Danger {
            children_count: CHILDREN_MIN - 1,
            ..danger(1, 1)
        };
        assert_eq!(choose(&[], &[small]), []);
    }

    #[test]
    fn hostile_and_long_paths_are_bounded_text() {
        let path = [b"/a\"\n\\\xff/".as_slice(), &[b'x'; 4096]].concat();
        let found = choose(
            &[],
            &[
                Danger {
                    path: Some(path),
                    ..danger(1, 1)
                },
                Danger {
                    path: Some(b"/a\"\n\\\xff".to_vec()),
                    ..danger(2, 1)
                },
                Danger {
                    path: None,
                    ..danger(3, 1)
                },
            ],
        );
        assert_eq!(found[0].path, format!("...{}", "x".repeat(PATH_CHARS_MAX)));
        assert_eq!(found[1].path, "/a\"\\x0a\\\\\\xff");
        assert_eq!(found[2].path, "");
    }
}
