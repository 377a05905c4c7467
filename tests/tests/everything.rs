//! `tests/everything`: no part of `just test` hides another.

#[path = "../../vmtest/tests/support/install.rs"]
mod install;

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use self::install::install;

/// Its exit code and last four lines.
fn everything(cases: &str) -> (i32, String) {
    everything_lines(4, cases)
}

/// Runs it with a program in the place of `just` that does what `cases` says for each recipe: its exit code and
/// last lines.
fn everything_lines(count: usize, cases: &str) -> (i32, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let just = directory.path().join("just");
    install(&just, &format!("#!/bin/sh\ncase $1 in\n{cases}\nesac\n"));
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("everything"))
        .env("JUST", &just)
        .env("TMPDIR", directory.path())
        .output()
        .expect("it starts");
    let left: Vec<_> = fs::read_dir(directory.path()).expect("readable").collect();
    assert_eq!(left.len(), 1, "only the program is left: {left:?}");
    said(&output, count)
}

fn said(output: &Output, count: usize) -> (i32, String) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(count)..].join("\n");
    (output.status.code().expect("an exit code"), last)
}

const HOST: &str = "test-host) echo 'test result: ok. 5 passed; 0 failed; 1 ignored'; \
                    echo 'test result: ok. 2 passed; 0 failed; 0 ignored';;";
const HARNESS: &str = "test-harness) echo 'test result: ok. 3 passed; 0 failed; 0 ignored';;";
const MATRIX: &str =
    "vmtest) [ \"$*\" = 'vmtest --repeat-failed 10' ] && echo '40 passed, 0 failed';;";

#[test]
fn parts_add_up() {
    let (code, last) = everything(&[HOST, HARNESS, MATRIX].join("\n"));
    let expected = "host tests: 7 passed, 0 failed\nharness tests: 3 passed, 0 failed\n\
                    matrix: 40 passed, 0 failed\n50 passed, 0 failed";
    assert_eq!((code, last.as_str()), (0, expected));
}

#[test]
fn a_host_test_that_fails_stops_no_other_part() {
    let host = "test-host) echo 'test result: FAILED. 4 passed; 1 failed; 0 ignored'; exit 1;;";
    let (code, last) = everything(&[host, HARNESS, MATRIX].join("\n"));
    let expected = "host tests: 4 passed, 1 failed\nharness tests: 3 passed, 0 failed\n\
                    matrix: 40 passed, 0 failed\n47 passed, 1 failed";
    assert_eq!((code, last.as_str()), (1, expected));
}

#[test]
fn what_failed_is_named_at_the_end() {
    let host = "test-host) echo 'test a::b ... ok'; echo 'test a::c ... FAILED'; \
                echo 'test result: FAILED. 1 passed; 1 failed; 0 ignored'; exit 1;;";
    let matrix = "vmtest) echo 'FAILED herd 5.10'; echo 'flaky: stall on 6.1: at first failed: late'; \
                  echo 'failed: herd on 5.10: failed: one walk: 2'; echo '2 passed, 1 failed'; exit 1;;";
    let (code, last) = everything_lines(7, &[host, HARNESS, matrix].join("\n"));
    let expected = "host tests, failed: a::c\nhost tests: 1 passed, 1 failed\n\
                    harness tests: 3 passed, 0 failed\n\
                    matrix, flaky: stall on 6.1: at first failed: late\n\
                    matrix, failed: herd on 5.10: failed: one walk: 2\n\
                    matrix: 2 passed, 1 failed\n6 passed, 2 failed";
    assert_eq!((code, last.as_str()), (1, expected));
}

#[test]
fn a_matrix_that_was_interrupted_is_not_taken_for_whole() {
    let matrix = "vmtest) echo '20 passed, 2 failed'; exit 130;;";
    let (code, last) = everything(&[HOST, HARNESS, matrix].join("\n"));
    let expected = "host tests: 7 passed, 0 failed\nharness tests: 3 passed, 0 failed\n\
                    matrix: 20 passed, 2 failed, then it broke off (exit code 130)\n30 passed, 3 failed";
    assert_eq!((code, last.as_str()), (1, expected));
}

#[test]
fn what_did_not_run_is_named_and_is_a_failure() {
    let harness =
        "test-harness) echo 'test result: FAILED. 2 passed; 1 failed; 0 ignored'; exit 1;;";
    let matrix = "vmtest) echo 'vmtest: QEMU: not found' >&2; exit 2;;";
    let (code, last) = everything(&[HOST, harness, matrix].join("\n"));
    let expected = "host tests: 7 passed, 0 failed\nharness tests: 2 passed, 1 failed\n\
                    matrix: not run (exit code 2)\n9 passed, 2 failed";
    assert_eq!((code, last.as_str()), (2, expected));
}

#[test]
fn a_part_that_ran_nothing_is_no_pass() {
    let matrix = "vmtest) exit 0;;";
    let (code, last) = everything(&[HOST, HARNESS, matrix].join("\n"));
    assert_eq!(code, 2);
    assert!(
        last.contains("matrix: not run (exit code 0)\n10 passed, 1 failed"),
        "{last}"
    );
}

#[test]
fn a_part_that_broke_off_after_its_counts_is_a_failure() {
    let host = "test-host) echo 'test result: ok. 5 passed; 0 failed; 1 ignored'; exit 101;;";
    let (code, last) = everything(&[host, HARNESS, MATRIX].join("\n"));
    assert_eq!(code, 1);
    assert!(
        last.starts_with("host tests: 5 passed, 0 failed, then it broke off (exit code 101)\n")
            && last.ends_with("\n48 passed, 1 failed"),
        "{last}"
    );
}
