//! What a signal leaves behind, without a guest: a program that only waits takes the emulator's place.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{self, SigHandler, Signal},
    unistd::Pid,
};
use tempfile::TempDir;

/// As long as vmtest lives, and not long after it.
const EMULATOR: &str = "#!/bin/sh\n\
    if [ \"$1\" = --version ]; then echo 'QEMU emulator version 10.0.2'; exit; fi\n\
    exec sleep 1000\n";

struct Running {
    child: Child,
    directory: TempDir,
}

impl Running {
    /// A vmtest whose guest has been started; the hangup is as in a terminal's session, or ignored as by nohup(1).
    fn start(hangup: SigHandler) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let emulator = directory.path().join("qemu-system-x86_64");
        fs::write(&emulator, EMULATOR).expect("written");
        fs::set_permissions(&emulator, fs::Permissions::from_mode(0o755)).expect("set");
        // As much of a kernel as vmtest itself looks at.
        fs::write(directory.path().join("vmlinuz"), b"\x7fELF").expect("written");
        fs::create_dir(directory.path().join("temporary")).expect("made");
        let mut command = vmtest(directory.path());
        command
            .args(["exec", "--accel", "tcg", "--kernel"])
            .arg(directory.path().join("vmlinuz"))
            .args(["--", "true"]);
        let set = move || {
            // SAFETY: neither of the two is a function of ours.
            unsafe { signal::signal(Signal::SIGHUP, hangup) }?;
            Ok(())
        };
        // SAFETY: signal(2) is async-signal-safe.
        unsafe { command.pre_exec(set) };
        let child = command.spawn().expect("vmtest runs");
        let running = Self { child, directory };
        wait_until(|| {
            let files = running.private();
            let has_image = |path: &PathBuf| path.join("qemu.log").exists();
            files.len() == 2 && files.iter().any(has_image)
        });
        running
    }

    /// The private directories that are there.
    fn private(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.directory.path().join("temporary")).expect("there");
        entries.flatten().map(|entry| entry.path()).collect()
    }

    fn send(&self, signal: Signal) {
        let process = Pid::from_raw(self.child.id().cast_signed());
        signal::kill(process, signal).expect("sent");
    }

    fn exit_code(&mut self) -> Option<i32> {
        let mut status = None;
        wait_until(|| {
            status = self.child.try_wait().expect("waitable");
            status.is_some()
        });
        status.and_then(|status| status.code())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn vmtest(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmtest"));
    let path = std::env::var("PATH").unwrap_or_default();
    command
        .env("PATH", format!("{}:{path}", directory.display()))
        .env("TMPDIR", directory.join("temporary"))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn wait_until(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "not within a minute");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_orderly_end_leaves_nothing() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut running = Running::start(SigHandler::SigDfl);
        running.send(signal);
        assert_eq!(running.exit_code(), Some(130), "{signal}");
        assert!(running.private().is_empty(), "{signal}");
    }
}

#[test]
fn what_a_killed_one_leaves_is_swept_by_the_next_and_a_living_ones_is_not() {
    let mut killed = Running::start(SigHandler::SigDfl);
    let next = |running: &Running| {
        let mut command = vmtest(running.directory.path());
        command.args(["exec", "--kernel", "no-such-kernel", "--", "true"]);
        assert_eq!(command.status().expect("runs").code(), Some(125));
    };
    next(&killed);
    assert_eq!(killed.private().len(), 2);
    killed.send(Signal::SIGKILL);
    assert_eq!(killed.exit_code(), None);
    assert_eq!(killed.private().len(), 2);
    next(&killed);
    assert!(killed.private().is_empty());
}

#[test]
fn nohup_is_respected() {
    let mut running = Running::start(SigHandler::SigIgn);
    running.send(Signal::SIGHUP);
    thread::sleep(Duration::from_millis(500));
    assert_eq!(running.child.try_wait().expect("waitable"), None);
    running.send(Signal::SIGTERM);
    assert_eq!(running.exit_code(), Some(130));
}
