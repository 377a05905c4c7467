//! Collects what a guest sends into results and files.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::KernelSlot;
use crate::{
    artifacts::Files,
    kernel_log::{self, Record, Report},
    outcome::{Findings, Judgement, Outcome, judge},
    progress::Line,
    protocol::{Ended, Message, Stream},
    qemu::argv::Accelerator,
    report::ScenarioResult,
    scenarios::Scenario,
};

/// A scenario's verdict on itself.
const FINDINGS: &str = "result.json";

/// A result with nothing but a judgement.
pub(super) fn blank(
    slot: &KernelSlot,
    scenario: &Scenario,
    judgement: &Judgement,
) -> ScenarioResult {
    ScenarioResult {
        kernel: slot.label().to_owned(),
        scenario: scenario.name.clone(),
        outcome: judgement.outcome,
        detail: judgement.detail.clone(),
        is_excused: judgement.outcome == Outcome::NotApplicable && slot.may_not_apply,
        guest: None,
        mode: scenario.mode,
        accelerator: None,
        duration_ms: None,
        checks: Vec::new(),
        figures: std::collections::BTreeMap::new(),
        data: serde_json::Value::Null,
        kernel_reports: Vec::new(),
        files: Vec::new(),
        directory: None,
        troubles: Vec::new(),
        first_failure: None,
    }
}

/// The scenario that runs.
struct Current {
    index: usize,
    directory: PathBuf,
    files: Files,
    reports: Vec<Report>,
}

/// Collects what one guest sends.
pub struct Collector<'a> {
    slot: &'a KernelSlot<'a>,
    scenarios: &'a [Scenario],
    guest: &'a str,
    /// The guest's directory below the output directory, and the output directory.
    relative: &'a Path,
    out: &'a Path,
    accelerator: Accelerator,
    began: Instant,
    current: Option<Current>,
    is_done: Vec<bool>,
    kernel_log: Vec<u8>,
    warnings: Vec<u8>,
    troubles: Vec<String>,
    /// `uname -r`.
    pub release: Option<String>,
    /// Host time to the first message.
    pub boot: Option<Duration>,
    /// Reports before the first scenario.
    pub boot_reports: Vec<Report>,
    /// Whether any scenario of this guest did not pass.
    pub has_failure: bool,
}

impl<'a> Collector<'a> {
    /// A collector for a guest that starts now.
    pub fn new(
        slot: &'a KernelSlot<'a>,
        scenarios: &'a [Scenario],
        guest: &'a str,
        relative: &'a Path,
        out: &'a Path,
        accelerator: Accelerator,
    ) -> Self {
        Self {
            slot,
            scenarios,
            guest,
            relative,
            out,
            accelerator,
            began: Instant::now(),
            current: None,
            is_done: vec![false; scenarios.len()],
            kernel_log: Vec::new(),
            warnings: Vec::new(),
            troubles: Vec::new(),
            release: None,
            boot: None,
            boot_reports: Vec::new(),
            has_failure: false,
        }
    }

    /// How far the guest came: the scenarios up to the last one that has a result.
    pub fn done_count(&self) -> usize {
        self.is_done
            .iter()
            .rposition(|is_done| *is_done)
            .map_or(0, |index| index + 1)
    }

    /// Of the first `count` scenarios, those whose result did not arrive.
    pub fn missing(&self, count: usize) -> Vec<&'a Scenario> {
        let pairs = self.scenarios.iter().zip(&self.is_done).take(count);
        pairs
            .filter(|(_, is_done)| !**is_done)
            .map(|(scenario, _)| scenario)
            .collect()
    }

    /// Takes one message; returns the result of the scenario that it ended.
    pub fn take(&mut self, message: Message, line: &Line) -> Option<ScenarioResult> {
        match message {
            Message::Hello(hello) => {
                self.boot = Some(self.began.elapsed());
                self.release = Some(hello.release);
            }
            Message::Started(index) => {
                let scenario = self.scenarios.get(index)?;
                line.set(&scenario.name);
                let directory = self.out.join(self.relative).join(&scenario.name);
                let files = Files::new(Some(directory.clone()));
                self.current = Some(Current {
                    index,
                    directory,
                    files,
                    reports: Vec::new(),
                });
            }
            Message::Output(stream, bytes) => self.output(stream, &bytes),
            Message::Kmsg(record) => self.kmsg(&record),
            Message::KernelLog(bytes) => self.kernel_log.extend(bytes),
            Message::Trouble(text) => {
                log::info!("{} {}: {text}", self.slot.label(), self.guest);
                self.troubles.push(kernel_log::printable(text.as_bytes()));
            }
            Message::Ended(ended) => return self.ended(&ended),
            Message::Heartbeat | Message::Bye(_) | Message::Broken(_) => {}
            file => {
                if let Some(current) = &mut self.current {
                    current.files.take(&file);
                }
            }
        }
        None
    }

    /// The guest died: the result of the scenario that ran, if one did.
    pub fn die(&mut self, judgement: &Judgement) -> Option<ScenarioResult> {
        let mut current = self.current.take()?;
        let console =
            fs::read(self.out.join(self.relative).join("console.log")).unwrap_or_default();
        // What the kernel said last did not come through the channel.
        for report in kernel_log::scan(&console) {
            if !current.reports.contains(&report) {
                current.reports.push(report);
            }
        }
        Some(self.result(current, judgement, None, Findings::default()))
    }

    /// Writes the logs, or removes them when everything passed; nothing is left of a scenario
    /// that passed but its files.
    pub fn finish(self, is_finished: bool) {
        let directory = self.out.join(self.relative);
        if is_finished && !self.has_failure {
            let _ = fs::remove_file(directory.join("console.log"));
        } else {
            let log = if self.kernel_log.is_empty() {
                &self.warnings
            } else {
                &self.kernel_log
            };
            if let Err(error) = fs::write(directory.join("kernel.log"), log) {
                log::warn!("{}: {error}", directory.join("kernel.log").display());
            }
        }
        // Only succeeds when it is empty, which is what is wanted.
        let _ = fs::remove_dir(&directory);
    }

    fn output(&mut self, stream: Stream, bytes: &[u8]) {
        let Some(current) = &self.current else { return };
        let name = match stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        let path = current.directory.join(name);
        let written = fs::create_dir_all(&current.directory)
            .and_then(|()| File::options().create(true).append(true).open(&path))
            .and_then(|mut file| file.write_all(bytes));
        if let Err(error) = written {
            self.troubles.push(format!("{}: {error}", path.display()));
        }
    }

    fn kmsg(&mut self, bytes: &[u8]) {
        let Some(record) = Record::parse(bytes) else {
            return;
        };
        self.warnings.extend(record.render());
        let Some(report) = kernel_log::classify(record.text()) else {
            return;
        };
        let is_booting = self.done_count() == 0;
        match &mut self.current {
            Some(current) => current.reports.push(report),
            None if is_booting => self.boot_reports.push(report),
            None => {}
        }
    }

    fn ended(&mut self, ended: &Ended) -> Option<ScenarioResult> {
        let current = self.current.take()?;
        let findings = read_findings(&current);
        let expects = &self.scenarios[current.index].expects;
        let mut judgement = judge(ended, &findings, &current.reports, expects);
        if let Some(problem) = current
            .files
            .problems()
            .first()
            .filter(|_| judgement.outcome == Outcome::Passed)
        {
            judgement = Judgement {
                outcome: Outcome::Failed,
                detail: problem.clone(),
            };
        }
        Some(self.result(
            current,
            &judgement,
            Some(ended.duration_ms),
            findings.unwrap_or_default(),
        ))
    }

    fn result(
        &mut self,
        current: Current,
        judgement: &Judgement,
        duration_ms: Option<u64>,
        findings: Findings,
    ) -> ScenarioResult {
        self.is_done[current.index] = true;
        let scenario = &self.scenarios[current.index];
        if judgement.outcome == Outcome::Passed {
            for name in crate::artifacts::STREAM_NAMES {
                let _ = fs::remove_file(current.directory.join(name));
            }
            let _ = fs::remove_dir(&current.directory);
        } else {
            self.has_failure = true;
        }
        let mut troubles = std::mem::take(&mut self.troubles);
        troubles.extend(current.files.problems());
        ScenarioResult {
            guest: Some(self.guest.to_owned()),
            accelerator: Some(self.accelerator),
            duration_ms,
            checks: findings.checks,
            figures: findings.figures,
            data: findings.data,
            kernel_reports: current.reports,
            files: current.files.complete().to_vec(),
            directory: current
                .directory
                .exists()
                .then(|| self.relative.join(&scenario.name)),
            troubles,
            ..blank(self.slot, scenario, judgement)
        }
    }
}

/// A scenario need not leave findings, but what it leaves must make sense.
fn read_findings(current: &Current) -> Result<Findings, String> {
    if !current.files.complete().iter().any(|name| name == FINDINGS) {
        return Ok(Findings::default());
    }
    let bytes = fs::read(current.directory.join(FINDINGS)).map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| error.to_string())
}
