//! A program for a test, written so that it can be started at once.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

/// Writes a program that can be run at once. Another process writes it: a child that another test of this
/// process starts meanwhile would hold a file of ours open for writing, and execve(2) refuses such a
/// file with ETXTBSY.
pub fn install(program: &Path, text: &str) {
    let mut child = Command::new("install")
        .args(["-m", "755", "/dev/stdin"])
        .arg(program)
        .stdin(Stdio::piped())
        .spawn()
        .expect("install");
    let mut stdin = child.stdin.take().expect("its input");
    stdin.write_all(text.as_bytes()).expect("written");
    drop(stdin);
    assert!(child.wait().expect("it ends").success());
}
