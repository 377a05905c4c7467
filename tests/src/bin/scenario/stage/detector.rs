//! `fslockup` as a user runs it: a process, its lines of JSON, its exit code.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc::{Receiver, channel},
    },
    thread,
};

use anyhow::Context as _;
use fslockup_tests::times::{Part, spent};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use super::{
    checks::Checks,
    kernel::{self, PATIENCE, out_dir},
};

/// A running `fslockup run --format json`, or `trace`, or `top`.
pub struct Detector {
    child: Child,
    lines: Receiver<Value>,
    /// The first line: the facts, or what is traced, printed when everything is attached.
    pub facts: Value,
    seen: Vec<Value>,
    recording: PathBuf,
}

/// What it had said when it ended.
pub struct Ended {
    /// What it recorded.
    pub recording: PathBuf,
    /// All lines behind the first.
    pub lines: Vec<Value>,
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// What it said on stderr.
    pub stderr: String,
}

impl Detector {
    /// Starts it and waits until it is attached. What it saw is recorded into the results.
    pub fn start(options: &[&str]) -> anyhow::Result<Self> {
        static STARTED_COUNT: AtomicU32 = AtomicU32::new(0);
        let number = STARTED_COUNT.fetch_add(1, Ordering::Relaxed) + 1;
        let recording = out_dir().join(format!("{number}.recording"));
        let mut command = Command::new("fslockup");
        command
            .args(["run", "--format", "json", "--record"])
            .arg(&recording)
            .args(options)
            .stderr(Stdio::piped());
        // Programs take many times as long under emulation: a budget is for those who try it.
        if !options.contains(&"--cpu-budget") {
            command.args(["--cpu-budget", "0"]);
        }
        // Some make more incidents than anybody reads, and look at each.
        if !options.contains(&"--incidents-per-minute") {
            command.args(["--incidents-per-minute", "0"]);
        }
        Self::spawn(command, "facts", recording)
    }

    /// Starts `fslockup trace --format json` in its place and waits until it is attached.
    pub fn trace(options: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new("fslockup");
        command
            .args(["trace", "--format", "json"])
            .args(options)
            .stderr(Stdio::piped());
        Self::spawn(command, "trace", PathBuf::new())
    }

    /// Starts `fslockup top --format json` in its place and waits for the first directory that it lists.
    pub fn top(options: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new("fslockup");
        command
            .args(["top", "--format", "json"])
            .args(options)
            .stderr(Stdio::piped());
        Self::spawn(command, "danger", PathBuf::new())
    }

    /// Starts a command that was made ready elsewhere: JSON to its output, and where it records.
    pub fn start_as(command: Command, recording: PathBuf) -> anyhow::Result<Self> {
        Self::spawn(command, "facts", recording)
    }

    fn spawn(command: Command, first: &str, recording: PathBuf) -> anyhow::Result<Self> {
        spent(Part::Starts, || Self::attached(command, first, recording))
    }

    fn attached(mut command: Command, first: &str, recording: PathBuf) -> anyhow::Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn().context("fslockup")?;
        let stdout = BufReader::new(child.stdout.take().context("its output")?);
        let (to, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if to.send(value).is_err() {
                    break;
                }
            }
        });
        let mut detector = Self {
            child,
            lines,
            facts: Value::Null,
            seen: Vec::new(),
            recording,
        };
        match detector.lines.recv_timeout(PATIENCE) {
            Ok(facts) if facts["type"] == first => detector.facts = facts,
            other => {
                let _ = detector.child.kill();
                anyhow::bail!(
                    "{command:?}: first line {other:?}, stderr {:?}",
                    detector.stderr()
                );
            }
        }
        Ok(detector)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has read the symbol table, which it goes on with behind its first line: until then a thread of
    /// its own takes a CPU, and an incident waits for the names in its stacks.
    pub fn settle(&self) -> anyhow::Result<()> {
        let open_files = format!("/proc/{}/fd", self.pid());
        kernel::wait_until("the symbol table is read", || {
            let files = std::fs::read_dir(&open_files).context("its open files")?;
            let mut targets = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
            Ok(!targets.any(|target| target.ends_with("kallsyms")))
        })
    }

    /// Waits until a line is what is looked for.
    pub fn wait_for(
        &mut self,
        what: &str,
        is_it: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        loop {
            let line = self
                .lines
                .recv_timeout(PATIENCE)
                .with_context(|| format!("no {what}: {:?}", self.seen))?;
            self.seen.push(line.clone());
            if is_it(&line) {
                return Ok(line);
            }
        }
    }

    /// What came so far, for a run whose lines nobody waits for; they are kept nowhere.
    pub fn take_lines(&mut self) -> Vec<Value> {
        self.lines.try_iter().collect()
    }

    /// Sends a signal and waits for the end.
    pub fn end(mut self, signal: Signal) -> anyhow::Result<Ended> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), signal)?;
        let status = spent(Part::Stops, || self.child.wait())?;
        let mut lines = std::mem::take(&mut self.seen);
        lines.extend(self.lines.iter());
        let stderr = self.stderr();
        Ok(Ended {
            recording: self.recording,
            lines,
            code: status.code(),
            stderr,
        })
    }

    fn stderr(&mut self) -> String {
        let mut text = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            let _ = stderr.read_to_string(&mut text);
        }
        text
    }
}

impl Ended {
    /// Walks that ended over the threshold.
    pub fn walks(&self) -> Vec<&Value> {
        self.of_state("finished")
    }

    /// Walks announced while they ran.
    pub fn running(&self) -> Vec<&Value> {
        self.of_state("running")
    }

    fn of_state(&self, state: &str) -> Vec<&Value> {
        self.lines
            .iter()
            .filter(|line| line["type"] == "walk" && line["state"] == state)
            .collect()
    }

    /// The last line.
    pub fn summary(&self) -> Option<&Value> {
        self.lines.last().filter(|line| line["type"] == "summary")
    }
}

/// Where all vCPUs run at the host's pleasure, one can be taken away while it holds the ring buffer's lock. Whoever
/// writes a record on another CPU waits for it then, perhaps for longer than the threshold for waits, and such a
/// wait leaves no record of its own (`emit.rs`; from 5.12 on the kernel keeps the program out, and it is not
/// counted). It can happen to each record that is written, so what is no failure is a share of them.
const RECORDS_PER_UNTOLD_WAIT: u64 = 20;

/// The summary is there and counts no loss.
pub fn nothing_lost(checks: &mut Checks, ended: &Ended) {
    ended_well(checks, ended);
    let summary = ended.summary().cloned().unwrap_or_default();
    let written_count = records_count(&summary);
    let allowed_count = match summary["lost"]["waits_untold_count"].as_u64() {
        Some(count) if !kernel::is_instruction_time() => {
            count.min(written_count.div_ceil(RECORDS_PER_UNTOLD_WAIT))
        }
        _ => 0,
    };
    checks.that(
        "nothing was lost",
        summary["lost_count"] == allowed_count,
        format!("{} of {written_count} records", summary["lost"]),
    );
}

/// Records that came out of the ring buffer, but for those of producers.
fn records_count(summary: &Value) -> u64 {
    let fates = summary["records"].as_object().into_iter().flatten();
    let counted: u64 = fates
        .flat_map(|(_, fates)| {
            ["used_count", "below_threshold_count", "unrelated_count"].map(|fate| &fates[fate])
        })
        .filter_map(Value::as_u64)
        .sum();
    counted + summary["walks_reported_count"].as_u64().unwrap_or(0)
}

fn ended_well(checks: &mut Checks, ended: &Ended) {
    checks.equal("exit code", ended.code, Some(0));
    checks.equal("stderr", ended.stderr.as_str(), "");
    let bad = ended
        .summary()
        .map(|summary| summary["bad_records_count"].clone());
    checks.equal("bad records", bad, Some(Value::from(0)));
}

/// Any other call of `fslockup`, to its end.
pub fn call(options: &[&str]) -> anyhow::Result<Output> {
    output(Command::new("fslockup").args(options))
}

/// A call that was made ready elsewhere, to its end.
pub fn output(command: &mut Command) -> anyhow::Result<Output> {
    spent(Part::Starts, || command.output()).with_context(|| format!("{command:?}"))
}

/// What `fslockup check` says of this kernel.
pub fn check() -> anyhow::Result<Value> {
    let output = call(&["check", "--format", "json"])?;
    serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Holds one failed call against what users are promised.
pub fn one_line(checks: &mut Checks, what: &str, output: &Output, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    checks.equal(format!("{what}: exit code"), output.status.code(), Some(2));
    checks.equal(format!("{what}: lines on stderr"), said.lines().count(), 1);
    for word in words {
        checks.that(
            format!("{what}: it says '{word}'"),
            said.contains(word),
            said.trim(),
        );
    }
}

/// The kernel frees programs some time after the last descriptor closes.
pub fn nothing_left(checks: &mut Checks, when: &str) -> anyhow::Result<()> {
    let gone = kernel::wait_until("nothing left", || Ok(kernel::leftovers()?.is_empty()));
    checks.that(
        format!("{when}: nothing is left in the kernel"),
        gone.is_ok(),
        format!("{:?}", kernel::leftovers()?),
    );
    Ok(())
}

/// Where a probe is attached, or would be.
pub fn function_of(facts: &Value, probe: &str) -> anyhow::Result<String> {
    let probes = facts["attached"]["probes"].as_array();
    let found = probes
        .into_iter()
        .flatten()
        .find(|attached| attached["probe"] == probe)
        .and_then(|attached| attached["targets"][0]["function"].as_str());
    Ok(found
        .with_context(|| format!("no probe {probe} in {facts}"))?
        .to_owned())
}
