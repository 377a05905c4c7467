use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use super::*;
use crate::evidence::line::tests::run_body;

const LIMITS: Limits = Limits {
    total_bytes: 2 << 20,
    age_max: Duration::from_secs(24 * 60 * 60),
};

fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("state");
    (dir, path)
}

fn append(store: &mut Store, line: &[u8]) {
    store.make_room(line.len() as u64).expect("room");
    assert_eq!(store.write(line).expect("written"), line.len());
    store.sync().expect("synced");
}

fn read(path: &Path) -> Vec<(String, String)> {
    files(path)
        .expect("files")
        .map(|(name, file)| {
            let mut text = String::new();
            file.expect("opened")
                .read_to_string(&mut text)
                .expect("text");
            (name, text)
        })
        .collect()
}

#[test]
fn only_the_owner_may_look() {
    let (_dir, path) = place();
    let store = Store::open(&path, LIMITS).expect("made");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join(name(store.number))), 0o600);
}

#[test]
fn a_second_instance_is_told_and_a_reader_is_not_in_its_way() {
    let (_dir, path) = place();
    let store = Store::open(&path, LIMITS).expect("made");
    assert!(is_in_use(&path).expect("looked"));
    let error = Store::open(&path, LIMITS).expect_err("locked");
    assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    drop(store);
    assert!(!is_in_use(&path).expect("looked"));
    // Held for a moment, as `report` does.
    let shared = Flock::lock(open_dir(&path).expect("opened"), FlockArg::LockShared);
    let reader = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        drop(shared);
    });
    Store::open(&path, LIMITS).expect("it waited for the reader");
    reader.join().expect("over");
}

#[test]
fn the_next_run_goes_on_in_the_same_file_behind_a_torn_line() {
    let (_dir, path) = place();
    let mut store = Store::open(&path, LIMITS).expect("made");
    append(&mut store, b"one\n");
    store.write(b"tor").expect("written");
    drop(store);
    let mut store = Store::open(&path, LIMITS).expect("opened");
    append(&mut store, b"two\n");
    assert_eq!(read(&path), [(name(1), "one\ntor\ntwo\n".to_owned())]);
}

#[test]
fn files_follow_each_other_and_the_total_is_bounded() {
    let (_dir, path) = place();
    let mut store = Store::open(&path, LIMITS).expect("made");
    store.run(run_body(RunState::Started, "a"));
    let line = [vec![b'x'; 50_000], b"\n".to_vec()].concat();
    for _ in 0..100 {
        append(&mut store, &line);
        let total: usize = read(&path).iter().map(|(_, text)| text.len()).sum();
        assert!(total as u64 <= LIMITS.total_bytes, "{total}");
    }
    let found = read(&path);
    assert!(found.len() > 10, "{}", found.len());
    assert!(found[0].0 > name(30), "the oldest are gone: {}", found[0].0);
    for (name, text) in &found {
        let first = text.lines().next().expect("a line");
        assert!(first.contains(r#""state":"continued""#), "{name}: {first}");
    }
    drop(store);
    let store = Store::open(&path, LIMITS).expect("opened");
    assert_eq!(
        store.number,
        number(&found[found.len() - 1].0).expect("ours")
    );
}

#[test]
fn a_file_that_is_old_by_its_first_line_is_not_gone_on_with() {
    let (_dir, path) = place();
    let mut store = Store::open(&path, LIMITS).expect("made");
    // It has the time of the test's line, far from now.
    append(&mut store, &line::run(&run_body(RunState::Started, "a")));
    drop(store);
    let mut store = Store::open(&path, LIMITS).expect("opened");
    store.first_ns -= 24 * 60 * 60 * 1_000_000_000;
    append(&mut store, b"two\n");
    assert_eq!(read(&path).len(), 2);
}

#[test]
fn others_files_are_left_alone() {
    let (_dir, path) = place();
    drop(Store::open(&path, LIMITS).expect("made"));
    fs::write(path.join("notes"), "mine").expect("written");
    fs::create_dir(path.join(name(7))).expect("made");
    std::os::unix::fs::symlink("/etc/passwd", path.join(name(8))).expect("made");
    let store = Store::open(&path, LIMITS).expect("opened");
    assert_eq!(store.number, 1);
    assert_eq!(read(&path).len(), 1);
    drop(store);
    fs::remove_file(path.join(name(1))).expect("removed");
    std::os::unix::fs::symlink("/etc/passwd", path.join(name(1))).expect("made");
    Store::open(&path, LIMITS).expect_err("no symbolic link is followed");
}

#[test]
fn a_directory_that_cannot_be_there_is_an_error() {
    let (dir, _) = place();
    let error = Store::open(&dir.path().join("a/b"), LIMITS).expect_err("no parent");
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    fs::write(dir.path().join("file"), "").expect("written");
    let error = Store::open(&dir.path().join("file"), LIMITS).expect_err("a file");
    assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
}
