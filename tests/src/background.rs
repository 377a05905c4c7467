//! A workload that runs beside the scenario until it is stopped, then gives its account.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, ChildStdout, Command, Stdio},
};

use anyhow::Context as _;
use serde::de::DeserializeOwned;

/// The first line of such a workload: all its threads run.
pub const STARTED: &str = "started";

/// A running workload; killed when dropped without [`Background::stop`].
pub struct Background {
    what: String,
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Background {
    /// Starts `workload` with these arguments and waits until all its threads run.
    ///
    /// # Errors
    /// When it does not come that far.
    pub fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let what = format!("workload {}", arguments.join(" "));
        let mut child = Command::new("workload")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| what.clone())?;
        let stdout = BufReader::new(child.stdout.take().context("its output")?);
        let mut background = Self {
            what,
            child,
            stdout,
        };
        let mut line = String::new();
        background.stdout.read_line(&mut line)?;
        if line.trim_end() != STARTED {
            let said = background.stderr();
            anyhow::bail!("{}: first line {line:?}, stderr {said:?}", background.what);
        }
        Ok(background)
    }

    /// A task on a CPU of its own that wakes up ten times in a millisecond. In instruction time QEMU
    /// gives each CPU a turn until the next timer is due: so no CPU of the guest is away for longer.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn metronome(cpu: usize) -> anyhow::Result<Self> {
        let cpu = cpu.to_string();
        Self::start(&[
            "sleepers",
            "--cpus",
            &cpu,
            "--period",
            "100us",
            "--priority",
            "20",
        ])
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends its input, which is the sign to stop; the lines it then printed.
    ///
    /// # Errors
    /// When it fails or prints something else.
    pub fn stop<T: DeserializeOwned>(mut self) -> anyhow::Result<Vec<T>> {
        drop(self.child.stdin.take());
        let mut text = String::new();
        self.stdout.read_to_string(&mut text)?;
        let status = self.child.wait()?;
        let said = self.stderr();
        anyhow::ensure!(status.success(), "{}: {status}, {said}", self.what);
        text.lines()
            .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
            .collect()
    }

    fn stderr(&mut self) -> String {
        let mut text = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            // What it said is only for the error message.
            let _ = stderr.read_to_string(&mut text);
        }
        text
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Already reaped after `stop`: then both only say so.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
