//! Collects what a guest sends into results and files.

mod current;
mod last;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use fslockup::escape::escape_rest;

use self::{current::Current, last::Last};
use super::slots::KernelSlot;
use crate::{
    kernel_log::{self, Record, Report},
    manifest::scenarios::Scenario,
    matrix::judgement::{Judgement, Suspicions, judge},
    protocol::{Ended, Findings, Message, Stream, TimesMs},
    qemu::argv::Accelerator,
    report::{Outcome, ScenarioResult},
    ui::progress::Line,
    vm::artifacts::STREAM_NAMES,
};

/// What is kept of a guest's log of the kernel; its console has a limit of its own.
const LOG_BYTES_MAX: usize = 64 << 20;
/// Beyond these only a report of a kind that is not among them is kept.
const REPORTS_MAX: usize = 1_000;
/// Troubles beyond these add nothing.
const TROUBLES_MAX: usize = 1_000;

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
        is_final: judgement.is_final,
        guest: None,
        mode: scenario.mode,
        accelerator: None,
        duration_ms: None,
        host_ms: None,
        times_ms: TimesMs::default(),
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
    last: Option<Last>,
    is_done: Vec<bool>,
    kernel_log: Vec<u8>,
    warnings: Vec<u8>,
    troubles: Vec<String>,
    /// `uname -r`.
    pub release: Option<String>,
    /// Host time to the first message.
    pub boot: Option<Duration>,
    /// What the kernel's log had before the first scenario.
    pub at_boot: Suspicions,
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
            last: None,
            is_done: vec![false; scenarios.len()],
            kernel_log: Vec::new(),
            warnings: Vec::new(),
            troubles: Vec::new(),
            release: None,
            boot: None,
            at_boot: Suspicions::default(),
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

    /// Takes one message; returns the result of a scenario that is over, with all that came behind its end.
    pub fn take(&mut self, message: Message, line: &Line) -> Option<ScenarioResult> {
        match message {
            Message::Hello(hello) => {
                self.boot = Some(self.began.elapsed());
                self.release = Some(hello.release);
            }
            Message::Started(index) => {
                let scenario = self.scenarios.get(index)?;
                line.set(&scenario.name);
                let over = self.conclude();
                let directory = self.out.join(self.relative).join(&scenario.name);
                self.current = Some(Current::new(index, directory));
                return over;
            }
            Message::Output(stream, bytes) => self.output(stream, &bytes),
            Message::Kmsg(record) => self.kmsg(&record),
            Message::KmsgLost(count) => self.suspicions().lost_count += count,
            Message::KernelLog(bytes) => append(&mut self.kernel_log, &bytes),
            Message::Trouble(text) => {
                log::info!("{} {}: {text}", self.slot.label(), self.guest);
                self.trouble(escape_rest(text.as_bytes()));
            }
            Message::Ended(ended) => self.ended(&ended),
            Message::Heartbeat | Message::Bye(_) | Message::Broken(_) => {}
            file => {
                if let Some(current) = &mut self.current {
                    current.files.take(&file);
                }
            }
        }
        None
    }

    /// The result of the scenario that ended last, now that nothing of its own can come any more.
    pub fn conclude(&mut self) -> Option<ScenarioResult> {
        self.conclude_by(None)
    }

    fn conclude_by(&mut self, death: Option<&Judgement>) -> Option<ScenarioResult> {
        let last = self.last.take()?;
        let scenario = &self.scenarios[last.index];
        let judgement = last.judgement(death, &scenario.expects);
        let mut kernel_reports = last.reports;
        kernel_reports.extend(last.suspicions.reports);
        let mut troubles = last.troubles;
        troubles.append(&mut self.troubles);
        if judgement.outcome == Outcome::Passed {
            for name in STREAM_NAMES {
                let _ = fs::remove_file(last.directory.join(name));
            }
            let _ = fs::remove_dir(&last.directory);
        } else {
            self.has_failure = true;
        }
        let is_there = last.directory.exists();
        Some(ScenarioResult {
            guest: Some(self.guest.to_owned()),
            accelerator: Some(self.accelerator),
            duration_ms: last.duration_ms,
            host_ms: last.host_ms,
            times_ms: last.findings.times_ms,
            checks: last.findings.checks,
            figures: last.findings.figures,
            data: last.findings.data,
            kernel_reports,
            files: last.files,
            directory: is_there.then(|| self.relative.join(&scenario.name)),
            troubles,
            ..blank(self.slot, scenario, &judgement)
        })
    }

    /// The guest died: the result of the scenario that ran, or of the one that ended last.
    pub fn die(&mut self, judgement: &Judgement) -> Option<ScenarioResult> {
        let Some(mut current) = self.current.take() else {
            return self.conclude_by(Some(judgement));
        };
        let console =
            fs::read(self.out.join(self.relative).join("console.log")).unwrap_or_default();
        // What the kernel said last did not come through the channel.
        for report in kernel_log::scan(&console) {
            if !current.suspicions.reports.contains(&report) {
                keep(&mut current.suspicions.reports, report);
            }
        }
        let expects = &self.scenarios[current.index].expects;
        // What killed it is in the judgement already.
        let judgement = if judgement.is_final {
            judgement.clone()
        } else {
            current.suspicions.added_to(judgement.clone(), "", expects)
        };
        self.over(current, judgement, None, Findings::default());
        self.conclude()
    }

    /// Writes the logs, or removes them when everything passed; nothing is left of a scenario
    /// that passed but its files.
    pub fn finish(self, is_finished: bool) {
        let directory = self.out.join(self.relative);
        // The guest only sends its log where there is something in it, or the user wants it.
        if is_finished && !self.has_failure && self.kernel_log.is_empty() {
            let _ = fs::remove_file(directory.join("console.log"));
        } else {
            let log = if self.kernel_log.is_empty() {
                &self.warnings
            } else {
                &self.kernel_log
            };
            if !log.is_empty()
                && let Err(error) = fs::write(directory.join("kernel.log"), log)
            {
                log::warn!("{}: {error}", directory.join("kernel.log").display());
            }
        }
        // Only succeeds when it is empty, which is what is wanted.
        let _ = fs::remove_dir(&directory);
    }

    fn output(&mut self, stream: Stream, bytes: &[u8]) {
        let Some(current) = &mut self.current else {
            return;
        };
        if let Err(trouble) = current.keep_output(stream, bytes) {
            self.trouble(trouble);
        }
    }

    fn trouble(&mut self, text: String) {
        if self.troubles.len() < TROUBLES_MAX {
            self.troubles.push(text);
        }
    }

    fn kmsg(&mut self, bytes: &[u8]) {
        let Some(record) = Record::parse(bytes) else {
            return;
        };
        append(&mut self.warnings, &record.render());
        if let Some(report) = kernel_log::classify(record.text()) {
            keep(&mut self.suspicions().reports, report);
        }
    }

    /// Whom the kernel's log counts for now.
    fn suspicions(&mut self) -> &mut Suspicions {
        match (&mut self.current, &mut self.last) {
            (Some(current), _) => &mut current.suspicions,
            (None, Some(last)) => &mut last.suspicions,
            (None, None) => &mut self.at_boot,
        }
    }

    fn ended(&mut self, ended: &Ended) {
        let Some(current) = self.current.take() else {
            return;
        };
        let findings = current.findings();
        let expects = &self.scenarios[current.index].expects;
        let mut judgement = judge(ended, &findings, &current.suspicions, expects);
        if let Some(problem) = current.problem()
            && judgement.outcome == Outcome::Passed
        {
            judgement = Judgement::new(Outcome::Failed, problem);
        }
        let findings = findings.unwrap_or_default();
        self.over(current, judgement, Some(ended.duration_ms), findings);
    }

    /// The scenario is over, but for what comes behind its end.
    fn over(
        &mut self,
        current: Current,
        judgement: Judgement,
        duration_ms: Option<u64>,
        findings: Findings,
    ) {
        // A guest's boot has no result of its own: the first scenario that ends pays for it.
        let judgement = if self.is_done.contains(&true) {
            judgement
        } else {
            self.at_boot.added_to(judgement, "at boot: ", &[])
        };
        self.is_done[current.index] = true;
        let mut troubles = std::mem::take(&mut self.troubles);
        troubles.extend(current.files.problems());
        self.last = Some(Last {
            index: current.index,
            judgement,
            duration_ms,
            host_ms: u64::try_from(current.began.elapsed().as_millis()).ok(),
            findings,
            reports: current.suspicions.reports,
            files: current.files.complete().to_vec(),
            troubles,
            directory: current.directory,
            suspicions: Suspicions::default(),
        });
    }
}

fn append(log: &mut Vec<u8>, bytes: &[u8]) {
    if log.len() + bytes.len() <= LOG_BYTES_MAX {
        log.extend(bytes);
    }
}

fn keep(reports: &mut Vec<Report>, report: Report) {
    if reports.len() < REPORTS_MAX || reports.iter().all(|one| one.kind != report.kind) {
        reports.push(report);
    }
}

#[cfg(test)]
mod tests;
