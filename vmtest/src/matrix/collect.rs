//! Collects what a guest sends into results and files.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use fslockup::escape::escape_rest;

use super::slots::KernelSlot;
use crate::{
    kernel_log::{self, Record, Report},
    manifest::scenarios::Scenario,
    matrix::outcome::{Findings, Judgement, Outcome, Suspicions, TimesMs, judge},
    protocol::{Ended, FINDINGS, Message, Stream},
    qemu::argv::Accelerator,
    report::ScenarioResult,
    ui::progress::Line,
    vm::artifacts::{FILE_BYTES_MAX, Files},
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

/// The scenario that runs.
struct Current {
    index: usize,
    began: Instant,
    directory: PathBuf,
    files: Files,
    suspicions: Suspicions,
    /// Bytes of its two streams.
    streams_bytes: [u64; 2],
    flood: Option<String>,
}

/// The scenario that ended last: what comes before the next one begins, or before the guest's end, is its own.
struct Last {
    index: usize,
    result: ScenarioResult,
    directory: PathBuf,
    suspicions: Suspicions,
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
                let files = Files::new(Some(directory.clone()));
                self.current = Some(Current {
                    index,
                    began: Instant::now(),
                    directory,
                    files,
                    suspicions: Suspicions::default(),
                    streams_bytes: [0, 0],
                    flood: None,
                });
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
        let Last {
            index,
            mut result,
            directory,
            suspicions,
        } = self.last.take()?;
        let judgement = Judgement {
            outcome: result.outcome,
            detail: result.detail,
            is_final: result.is_final,
        };
        let expects = &self.scenarios[index].expects;
        let judgement = suspicions.added_to(judgement, "after it had ended: ", expects);
        result.outcome = judgement.outcome;
        result.detail = judgement.detail;
        result.is_final = judgement.is_final;
        result.kernel_reports.extend(suspicions.reports);
        result.troubles.append(&mut self.troubles);
        if result.outcome == Outcome::Passed {
            for name in crate::vm::artifacts::STREAM_NAMES {
                let _ = fs::remove_file(directory.join(name));
            }
            let _ = fs::remove_dir(&directory);
        } else {
            self.has_failure = true;
        }
        result.directory = directory
            .exists()
            .then(|| self.relative.join(&result.scenario));
        Some(result)
    }

    /// The guest died: the result of the scenario that ran, or of the one that ended last.
    pub fn die(&mut self, judgement: &Judgement) -> Option<ScenarioResult> {
        if let Some(mut current) = self.current.take() {
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
        } else if let Some(last) = &mut self.last {
            let why = format!("the guest ended after this scenario: {}", judgement.detail);
            last.result.detail = match last.result.outcome {
                Outcome::Passed => why,
                _ => format!("{why}; {}", last.result.detail),
            };
            last.result.outcome = judgement.outcome;
            last.result.is_final |= judgement.is_final;
        }
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
        let name = match stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        let written_bytes = &mut current.streams_bytes[stream as usize];
        *written_bytes += bytes.len() as u64;
        if *written_bytes > FILE_BYTES_MAX {
            current.flood = Some(format!(
                "{name}: more than {} MiB, the rest is not kept",
                FILE_BYTES_MAX >> 20
            ));
            return;
        }
        let path = current.directory.join(name);
        let written = fs::create_dir_all(&current.directory)
            .and_then(|()| File::options().create(true).append(true).open(&path))
            .and_then(|mut file| file.write_all(bytes));
        if let Err(error) = written {
            self.trouble(format!("{}: {error}", path.display()));
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
        let findings = read_findings(&current);
        let expects = &self.scenarios[current.index].expects;
        let mut judgement = judge(ended, &findings, &current.suspicions, expects);
        let too_much = current.flood.clone();
        let problem = too_much.or_else(|| current.files.problems().into_iter().next());
        if let Some(problem) = problem.filter(|_| judgement.outcome == Outcome::Passed) {
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
        let scenario = &self.scenarios[current.index];
        let mut troubles = std::mem::take(&mut self.troubles);
        troubles.extend(current.files.problems());
        let result = ScenarioResult {
            guest: Some(self.guest.to_owned()),
            accelerator: Some(self.accelerator),
            duration_ms,
            host_ms: u64::try_from(current.began.elapsed().as_millis()).ok(),
            times_ms: findings.times_ms,
            checks: findings.checks,
            figures: findings.figures,
            data: findings.data,
            kernel_reports: current.suspicions.reports,
            files: current.files.complete().to_vec(),
            troubles,
            ..blank(self.slot, scenario, &judgement)
        };
        self.last = Some(Last {
            index: current.index,
            result,
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

/// A scenario need not leave findings, but what it leaves must make sense.
fn read_findings(current: &Current) -> Result<Findings, String> {
    if !current.files.complete().iter().any(|name| name == FINDINGS) {
        return Ok(Findings::default());
    }
    let bytes = fs::read(current.directory.join(FINDINGS)).map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        manifest::{kernels::Kernels, scenarios::Scenarios},
        matrix::plan::PlannedKernel,
        ui::progress::Progress,
    };

    const WARNING: &[u8] = b"4,9,1,-;WARNING: CPU: 0 PID: 1 at fs/dcache.c:1 d_x+0x1/0x2";
    const LOCKUP: &[u8] = b"0,9,1,-;watchdog: BUG: soft lockup - CPU#1 stuck for 22s!";

    fn ended(index: usize) -> Message {
        Message::Ended(Ended {
            index,
            code: Some(0),
            signal: None,
            is_timed_out: false,
            duration_ms: 5,
        })
    }

    fn kmsg(record: &[u8]) -> Message {
        Message::Kmsg(record.to_vec())
    }

    /// Two scenarios, a and b, in one guest that sends this; then it ends so.
    fn results(
        messages: impl IntoIterator<Item = Message>,
        death: Option<&Judgement>,
    ) -> Vec<ScenarioResult> {
        let out = tempfile::tempdir().expect("a directory");
        let manifest = out.path().join("scenarios.toml");
        let entry = "[[scenario]]\nname = \"NAME\"\nsummary = \"s\"\nis_shared = true\ntime_limit_s = 9\n\
            expects = [\"soft-lockup\"]\n";
        let text = [entry.replace("NAME", "a"), entry.replace("NAME", "b")].concat();
        fs::write(&manifest, text).expect("written");
        let scenarios = Scenarios::load(Some(&manifest))
            .expect("a manifest")
            .entries;
        let kernels = Kernels::load(None).expect("built in");
        let slot = KernelSlot::new(PlannedKernel::new("6.1".into(), &[]), false, &kernels, None);
        let relative = Path::new("6.1/shared");
        let mut collector = Collector::new(
            &slot,
            &scenarios,
            "shared",
            relative,
            out.path(),
            Accelerator::Tcg,
        );
        let line = Progress::new().line("");
        let mut results = Vec::new();
        for message in messages {
            results.extend(collector.take(message, &line));
        }
        results.extend(match death {
            Some(judgement) => collector.die(judgement),
            None => collector.conclude(),
        });
        results
    }

    fn outcomes(results: &[ScenarioResult]) -> Vec<(&str, Outcome, bool)> {
        results
            .iter()
            .map(|one| (one.scenario.as_str(), one.outcome, one.is_final))
            .collect()
    }

    const PASSED: (Outcome, bool) = (Outcome::Passed, false);
    const FOR_GOOD: (Outcome, bool) = (Outcome::Failed, true);

    fn both(a: (Outcome, bool), b: (Outcome, bool)) -> [(&'static str, Outcome, bool); 2] {
        [("a", a.0, a.1), ("b", b.0, b.1)]
    }

    #[test]
    fn a_report_counts_whenever_it_comes() {
        // At boot, within a, between the two, within b, after the last.
        let expected = [
            both(FOR_GOOD, PASSED),
            both(FOR_GOOD, PASSED),
            both(FOR_GOOD, PASSED),
            both(PASSED, FOR_GOOD),
            both(PASSED, FOR_GOOD),
        ];
        for suspicion in [kmsg(WARNING), Message::KmsgLost(3)] {
            for (place, expected) in expected.iter().enumerate() {
                let mut messages =
                    vec![Message::Started(0), ended(0), Message::Started(1), ended(1)];
                messages.insert(place, suspicion.clone());
                let results = results(messages, None);
                assert_eq!(outcomes(&results), expected, "{place}");
            }
        }
    }

    #[test]
    fn what_is_said_names_the_time() {
        let at = |place: usize| {
            let mut messages = vec![Message::Started(0), ended(0)];
            messages.insert(place, kmsg(WARNING));
            results(messages, None).swap_remove(0).detail
        };
        assert!(at(0).starts_with("at boot: unexpected report"), "{}", at(0));
        assert!(at(1).starts_with("unexpected report"), "{}", at(1));
        assert!(
            at(2).starts_with("after it had ended: unexpected"),
            "{}",
            at(2)
        );
    }

    #[test]
    fn what_a_scenario_expects_is_a_fault_at_boot_alone() {
        let within = [Message::Started(0), kmsg(LOCKUP), ended(0), kmsg(LOCKUP)];
        let found = results(within, None);
        assert_eq!(outcomes(&found), [("a", Outcome::Passed, false)]);
        assert_eq!(found[0].kernel_reports.len(), 2);
        let at_boot = results([kmsg(LOCKUP), Message::Started(0), ended(0)], None);
        assert_eq!(outcomes(&at_boot), [("a", Outcome::Failed, true)]);
    }

    #[test]
    fn a_death_between_two_is_the_last_ones_and_hides_nothing() {
        let panic = Judgement::new(Outcome::Panicked, "Kernel panic").final_if(true);
        let died = results([Message::Started(0), ended(0)], Some(&panic));
        assert_eq!(outcomes(&died), [("a", Outcome::Panicked, true)]);
        assert!(
            died[0]
                .detail
                .starts_with("the guest ended after this scenario: ")
        );
        // QEMU's own death is excused, but not the report before it.
        let lost = Judgement::new(Outcome::Lost, "QEMU ended");
        let died = results([Message::Started(0)], Some(&lost));
        assert_eq!(outcomes(&died), [("a", Outcome::Lost, false)]);
        let died = results([Message::Started(0), kmsg(WARNING)], Some(&lost));
        assert_eq!(outcomes(&died), [("a", Outcome::Lost, true)]);
        let died = results([Message::Started(0), ended(0), kmsg(WARNING)], Some(&lost));
        assert_eq!(outcomes(&died), [("a", Outcome::Lost, true)]);
    }

    #[test]
    fn a_stream_has_an_end_and_too_much_is_no_pass() {
        let flood = |bytes_count: u64| {
            let chunks = (0..bytes_count.div_ceil(1 << 20))
                .map(|_| Message::Output(Stream::Stdout, vec![b'x'; 1 << 20]));
            let all = std::iter::once(Message::Started(0))
                .chain(chunks)
                .chain([ended(0)]);
            results(all, None).swap_remove(0)
        };
        assert_eq!(flood(FILE_BYTES_MAX).outcome, Outcome::Passed);
        let result = flood(FILE_BYTES_MAX + 1);
        assert_eq!((result.outcome, result.is_final), (Outcome::Failed, false));
        assert_eq!(
            result.detail,
            "stdout: more than 64 MiB, the rest is not kept"
        );
    }
}
