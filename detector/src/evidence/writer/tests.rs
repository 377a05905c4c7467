use std::sync::{Mutex, PoisonError};

use rtrb::{Producer, RingBuffer};

use super::*;

const MINUTE_NS: u64 = 60_000_000_000;

/// What a disk was told, and how it behaves from now on.
#[derive(Default)]
struct State {
    text: Vec<u8>,
    room_bytes: usize,
    is_sync_broken: bool,
    syncs_count: usize,
    lines_begun: Vec<u64>,
}

#[derive(Clone, Default)]
struct FakeDisk(Arc<Mutex<State>>);

impl FakeDisk {
    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn text(&self) -> String {
        self.with(|state| String::from_utf8(state.text.clone()).expect("text"))
    }
}

impl Disk for FakeDisk {
    fn make_room(&mut self, line_bytes: u64) -> io::Result<()> {
        self.with(|state| state.lines_begun.push(line_bytes));
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.with(|state| {
            let taken = bytes.len().min(state.room_bytes);
            if taken == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            state.room_bytes -= taken;
            state.text.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        self.with(|state| {
            state.syncs_count += 1;
            if state.is_sync_broken {
                return Err(io::Error::other("broken"));
            }
            Ok(())
        })
    }
}

/// A disk with room for so much, and what writes to it from a ring of 32 bytes.
fn writer(room_bytes: usize) -> (FakeDisk, Producer<u8>, Writer<FakeDisk>) {
    let disk = FakeDisk::default();
    disk.with(|state| state.room_bytes = room_bytes);
    let (to, from) = RingBuffer::new(32);
    let writer = Writer::new(disk.clone(), "dir".to_owned(), from, Arc::default());
    (disk, to, writer)
}

fn push(to: &mut Producer<u8>, line: &str) {
    to.push_entire_slice(line.as_bytes()).expect("room");
}

#[test]
fn lines_come_whole_and_in_order_wherever_the_ring_ends() {
    let (disk, mut to, mut writer) = writer(usize::MAX);
    let mut expected = String::new();
    for number in 0..100 {
        let line = format!("{number} {}\n", "x".repeat(number % 25));
        push(&mut to, &line);
        expected.push_str(&line);
        assert_eq!(writer.turn(0), None);
        let (lines, syncs) = disk.with(|state| (state.lines_begun.clone(), state.syncs_count));
        assert_eq!(lines.last(), Some(&(line.len() as u64)));
        assert_eq!((lines.len(), syncs), (number + 1, number + 1));
    }
    assert_eq!(disk.text(), expected);
}

#[test]
fn a_full_disk_is_said_at_once_then_once_a_minute_and_nothing_is_torn_after_it() {
    let (disk, mut to, mut writer) = writer(8);
    push(&mut to, "first\n");
    push(&mut to, "second\n");
    let said = writer.turn(MINUTE_NS).expect("said");
    assert!(said.contains("lost so far: 0"), "{said}");
    assert_eq!(disk.text(), "first\nse");
    assert_eq!(
        disk.with(|state| state.syncs_count),
        1,
        "of what was written"
    );
    writer.shared.lost_count.fetch_add(4, Ordering::Relaxed);
    assert_eq!(writer.turn(2 * MINUTE_NS - 1), None);
    let said = writer.turn(2 * MINUTE_NS).expect("said again");
    assert!(said.contains("lost so far: 4"), "{said}");
    disk.with(|state| state.room_bytes = usize::MAX);
    let said = writer.turn(2 * MINUTE_NS + 1).expect("over");
    assert!(said.contains("again after 60 s; lines lost: 4"), "{said}");
    let text = disk.text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[..2], ["first", "second"]);
    assert!(lines[2].contains(r#""type":"loss""#) && lines[2].contains(r#""lost_count":4"#));
    assert_eq!(lines.len(), 3);
    assert_eq!(writer.turn(2 * MINUTE_NS + 2), None);
}

#[test]
fn what_a_failed_sync_may_have_taken_counts_as_lost() {
    let (disk, mut to, mut writer) = writer(usize::MAX);
    disk.with(|state| state.is_sync_broken = true);
    push(&mut to, "a\n");
    push(&mut to, "b\n");
    let said = writer.turn(0).expect("said");
    assert!(
        said.contains("broken") && said.contains("so far: 2"),
        "{said}"
    );
    assert_eq!(writer.turn(1), None);
    disk.with(|state| state.is_sync_broken = false);
    let said = writer.turn(2).expect("over");
    assert!(said.contains("lines lost: 2"), "{said}");
    assert!(disk.text().contains(r#""lost_count":2"#));
}

#[test]
fn lines_that_found_no_room_are_told_without_an_error() {
    let (disk, mut to, mut writer) = writer(usize::MAX);
    writer.shared.lost_count.fetch_add(1, Ordering::Relaxed);
    push(&mut to, "a\n");
    let said = writer.turn(0).expect("said");
    assert!(said.contains("too slow; lines lost: 1"), "{said}");
    assert_eq!(writer.turn(1), None);
    assert_eq!(disk.text().lines().count(), 2);
}
