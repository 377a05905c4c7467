//! Runs the built `vmtest` and looks at what it does to the machine.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::{self, SigHandler, Signal};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// The kernel that most tests boot.
pub fn kernel() -> String {
    std::env::var("VMTEST_KERNEL").unwrap_or_else(|_| "6.1".to_owned())
}

/// The built program.
pub fn vmtest() -> Command {
    Command::new(env!("CARGO_BIN_EXE_vmtest"))
}

fn exec_command(options: &[&str], argv: &[&str]) -> Command {
    exec_on(&kernel(), options, argv)
}

/// `vmtest exec` on this kernel, to be run.
pub fn exec_on(kernel: &str, options: &[&str], argv: &[&str]) -> Command {
    let mut command = vmtest();
    command
        .args(["exec", "--accel", "tcg", "--kernel", kernel])
        .args(options)
        .arg("--")
        .args(argv);
    command
}

/// `vmtest exec` to its end.
pub fn exec(argv: &[&str]) -> Output {
    exec_with(&[], argv)
}

/// `vmtest exec` with options.
pub fn exec_with(options: &[&str], argv: &[&str]) -> Output {
    exec_command(options, argv).output().expect("vmtest runs")
}

/// `vmtest run` with a manifest of scenarios; the directory has its results.
pub fn run(manifest: &str, options: &[&str]) -> (Output, TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let scenarios = directory.path().join("scenarios.toml");
    fs::write(&scenarios, manifest).expect("written");
    let output = vmtest()
        .arg("run")
        .arg("--scenarios")
        .arg(&scenarios)
        .arg("--out")
        .arg(directory.path())
        .args(options)
        .output();
    (output.expect("vmtest runs"), directory)
}

/// The harness failed, and says how, in one line.
pub fn assert_harness_says(output: &Output, start: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{stderr}");
    assert!(stderr.starts_with(&format!("vmtest: {start}")), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

/// A `vmtest exec` whose program has printed its first line.
pub struct Running {
    child: Child,
    /// Its private files are below this one, so that a killed one leaves nothing for good.
    temporary: TempDir,
    stdout: BufReader<ChildStdout>,
}

impl Running {
    /// Starts it and waits for that line.
    pub fn start(argv: &[&str]) -> Self {
        let temporary = tempfile::tempdir().expect("a directory");
        let mut command = exec_command(&["--time-limit", "1000s"], argv);
        // A test run that was started by nohup(1) would hand down that the signal is ignored.
        let heed_hangup = || {
            // SAFETY: the default action is no function of ours.
            unsafe { signal::signal(Signal::SIGHUP, SigHandler::SigDfl) }?;
            Ok(())
        };
        // SAFETY: signal(2) is async-signal-safe.
        unsafe { command.pre_exec(heed_hangup) };
        let mut child = command
            .env("TMPDIR", temporary.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("vmtest runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("readable");
        assert_eq!(line, "ready\n");
        Self {
            child,
            temporary,
            stdout,
        }
    }

    /// Where its private files are.
    pub fn temporary(&self) -> &Path {
        self.temporary.path()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The process id of its QEMU.
    pub fn qemu(&self) -> u32 {
        let found = fs::read_dir("/proc")
            .expect("proc")
            .flatten()
            .find_map(|entry| {
                let id: u32 = entry.file_name().to_str()?.parse().ok()?;
                let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
                // PID (NAME) STATE PARENT …
                let parent: u32 = stat
                    .rsplit_once(')')?
                    .1
                    .split_whitespace()
                    .nth(1)?
                    .parse()
                    .ok()?;
                (parent == self.id() && stat.contains("(qemu-system")).then_some(id)
            });
        found.expect("a QEMU of this vmtest")
    }

    /// The files that its QEMU was given for this run alone.
    pub fn private_files(&self) -> Vec<PathBuf> {
        let line = fs::read(format!("/proc/{}/cmdline", self.qemu())).expect("a command line");
        let words = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        words
            .filter(|word| word.starts_with("/") && word.contains("/vmtest-"))
            .map(|word| PathBuf::from(word.into_owned()))
            .collect()
    }

    /// Waits for its end.
    pub fn wait(mut self, limit: Duration) -> Output {
        let mut status = None;
        wait_until(limit, || {
            status = self.child.try_wait().expect("waitable");
            status.is_some()
        });
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        self.stdout.read_to_end(&mut stdout).expect("readable");
        self.child
            .stderr
            .take()
            .expect("a pipe")
            .read_to_end(&mut stderr)
            .expect("readable");
        Output {
            status: status.expect("ended"),
            stdout,
            stderr,
        }
    }
}

/// Polls until it is true.
pub fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {limit:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Sends a signal to one process.
pub fn signal(process: u32, name: &str) {
    let status = Command::new("kill")
        .args(["-s", name, &process.to_string()])
        .status()
        .expect("kill runs");
    assert!(status.success());
}

/// Whether the process is there and no zombie.
pub fn is_alive(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// The digest in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
