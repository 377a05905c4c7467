use super::*;
use crate::producers::Changes;

fn directory(ino: u64, counts: [u64; change::LEN]) -> Directory {
    let producer = Producer {
        pid: Some(1),
        changes: Changes { counts },
        ..Producer::default()
    };
    Directory {
        dev: 7,
        ino,
        fstype: b"ext4".to_vec(),
        producers: vec![producer],
        ..Directory::default()
    }
}

fn census(ino: u64, children_count: u64, negative_count: u64) -> Census {
    Census {
        dev: 7,
        ino,
        children_count,
        negative_count,
        ..Census::default()
    }
}

/// A walk takes 10 ns for a negative child and 30 ns for any other.
fn list(
    directories: &[Directory],
    censuses: &[Census],
    references: &[(u64, u64)],
    watchers: &[(u32, u64, Watcher)],
) -> Vec<Danger> {
    let references = references
        .iter()
        .map(|(ino, count)| ((7, *ino), *count))
        .collect();
    dangers(
        &Sources {
            directories,
            censuses,
            references: &references,
            watchers,
        },
        |(_, ino), _| Some(format!("/{ino}").into_bytes()),
        |children, negative| {
            let positive = children.saturating_sub(negative);
            negative
                .saturating_mul(10)
                .saturating_add(positive.saturating_mul(30))
        },
    )
}

#[test]
fn without_a_census_children_are_what_was_made_and_is_left() {
    // 1000 misses of which 100 were filled, 50 lookups of files, 20 and 10 removed.
    let found = list(&[directory(1, [1_000, 50, 100, 0, 20, 10])], &[], &[], &[]);
    assert_eq!(found[0].children_count, 1_020);
    assert_eq!(found[0].negative_count, None);
    assert_eq!(found[0].predicted_ns, 880 * 10 + 140 * 30);
    assert_eq!(found[0].created_count(), 1_050);
    assert_eq!(found[0].path.as_deref(), Some(b"/1".as_slice()));
}

#[test]
fn a_census_is_believed_before_the_producers() {
    let found = list(
        &[directory(1, [1_000, 0, 0, 0, 0, 0])],
        &[census(1, 500, 400)],
        &[],
        &[],
    );
    assert_eq!(found[0].children_count, 500);
    assert_eq!(found[0].negative_count, Some(400));
    assert_eq!(found[0].predicted_ns, 400 * 10 + 100 * 30);
}

#[test]
fn references_are_newer_and_take_the_share_of_the_census() {
    let found = list(&[], &[census(1, 500, 400)], &[(1, 1_000)], &[]);
    assert_eq!(found[0].children_count, 1_000);
    assert_eq!(found[0].negative_count, Some(800));
    assert_eq!(found[0].producers, Vec::new());
}

#[test]
fn more_removed_than_made_is_nothing_left() {
    let found = list(&[directory(1, [5, 0, 0, 0, 9, 9])], &[], &[], &[]);
    assert_eq!(found[0].children_count, 0);
    assert_eq!(found[0].predicted_ns, 0);
}

#[test]
fn forgotten_producers_still_count() {
    let mut forgotten = directory(1, [10, 0, 0, 0, 0, 0]);
    forgotten.dropped.counts[change::MADE_NEGATIVE as usize] = 90;
    assert_eq!(list(&[forgotten], &[], &[], &[])[0].children_count, 100);
}

#[test]
fn watchers_come_to_their_directory_once() {
    let watcher = |pid, mask| Watcher {
        pid,
        comm: b"watcher".to_vec(),
        through: WatchKind::Inotify,
        mask,
    };
    let watchers = [
        (7, 1, watcher(10, 0x100)),
        (7, 1, watcher(10, 0x100)),
        (7, 1, watcher(11, 0x102)),
        (8, 1, watcher(12, 0x102)),
    ];
    let found = list(&[directory(1, [1; change::LEN])], &[], &[], &watchers);
    let on_children: Vec<_> = found[0]
        .watchers
        .iter()
        .map(|watcher| (watcher.pid, watcher.is_on_children()))
        .collect();
    assert_eq!(on_children, [(10, false), (11, true)]);
}

#[test]
fn no_figure_is_too_large() {
    let found = list(
        &[directory(1, [u64::MAX; change::LEN])],
        &[census(2, u64::MAX, u64::MAX)],
        &[],
        &[],
    );
    assert_eq!(found.len(), 2);
    assert_eq!(share(u64::MAX, 1, u64::MAX), u64::MAX);
    assert_eq!(share(5, 0, 9), 0);
}
