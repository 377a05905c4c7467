use fslockup_ebpf::change;

use super::*;
use crate::producers::Producer;

/// A directory in which somebody made so many negative entries.
pub fn danger(ino: u64, children_count: u64, negative: Option<u64>, made: u64) -> Danger {
    let mut producer = Producer {
        pid: Some(42),
        processes_count: 1,
        ..Producer::default()
    };
    producer.changes.counts[change::MADE_NEGATIVE as usize] = made;
    Danger {
        dev: 259 << 20,
        ino,
        fstype: b"ext4".to_vec(),
        path: Some(format!("/srv/{ino}").into_bytes()),
        children_count,
        negative_count: negative,
        predicted_ns: children_count.saturating_mul(70),
        watchers: Vec::new(),
        producers: vec![producer],
    }
}

fn snapshot(at_s: u64, dangers: Vec<Danger>) -> Snapshot {
    Snapshot {
        at_ns: at_s * 1_000_000_000,
        dangers,
        ..Snapshot::default()
    }
}

fn inodes(top: &Top, sort: SortKey) -> Vec<u64> {
    let view = top.view(sort, 10);
    view.rows.iter().map(|row| row.danger.ino).collect()
}

#[test]
fn each_key_sorts_by_its_column() {
    let mut top = Top::default();
    top.update(snapshot(1, Vec::new()));
    let mut slow = danger(4, 10, None, 5);
    slow.predicted_ns = 1_000_000;
    top.update(snapshot(
        2,
        vec![
            danger(1, 100, None, 70),
            danger(2, 200, Some(10), 60),
            danger(3, 150, Some(90), 50),
            slow,
        ],
    ));
    assert_eq!(inodes(&top, SortKey::Predicted), [4, 2, 3, 1]);
    assert_eq!(inodes(&top, SortKey::Children), [2, 3, 1, 4]);
    // Not known comes after anything known.
    assert_eq!(inodes(&top, SortKey::Negative), [3, 2, 1, 4]);
    assert_eq!(inodes(&top, SortKey::Created), [1, 2, 3, 4]);
}

#[test]
fn the_limit_cuts_the_rows_and_not_their_count() {
    let mut top = Top::default();
    top.update(snapshot(
        1,
        (0..50).map(|ino| danger(ino, 1, None, 1)).collect(),
    ));
    let view = top.view(SortKey::Children, 3);
    assert_eq!((view.rows.len(), view.directories_count), (3, 50));
    assert_eq!(view.rows[0].danger.ino, 0);
}

#[test]
fn a_rate_needs_two_readings_and_the_time_between_them() {
    let mut top = Top::default();
    let rate = |top: &Top| top.view(SortKey::Children, 1).rows[0].created_per_s;
    top.update(snapshot(1, vec![danger(1, 9, None, 1_000)]));
    assert_eq!(rate(&top), None);
    top.update(snapshot(3, vec![danger(1, 9, None, 1_500)]));
    assert_eq!(rate(&top), Some(250));
    // A producer was forgotten.
    top.update(snapshot(5, vec![danger(1, 9, None, 700)]));
    assert_eq!(rate(&top), Some(0));
    // A clock that stands still.
    top.update(snapshot(5, vec![danger(1, 9, None, 900)]));
    assert_eq!(rate(&top), None);
    assert_eq!(top.view(SortKey::Children, 1).duration_ns, 4_000_000_000);
}

#[test]
fn a_directory_that_was_not_there_before_was_made_from_nothing() {
    let mut top = Top::default();
    top.update(snapshot(1, Vec::new()));
    top.update(snapshot(2, vec![danger(1, 9, None, 300)]));
    assert_eq!(
        top.view(SortKey::Created, 1).rows[0].created_per_s,
        Some(300)
    );
}
