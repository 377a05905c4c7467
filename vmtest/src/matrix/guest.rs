//! Runs one planned guest. When it dies under a scenario, the rest of its scenarios go into a
//! fresh one.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::PoisonError,
    time::{Duration, Instant},
};

use super::{
    collect::{Collector, blank},
    runner::Runner,
    slots::KernelSlot,
};
use crate::{
    image::{Content, modules::ModuleTree},
    manifest::scenarios::Scenario,
    matrix::{
        judgement::{Judgement, judge_death},
        plan::PlannedGuest,
    },
    packages::Kernel,
    protocol::{GuestCommand, Job},
    qemu::argv::{Accelerator, Mode},
    report::{GuestResult, Outcome},
    ui::progress::Line,
    vm::{
        self, End, GuestSpec,
        accel::{self, Chosen},
    },
};

/// Runs it, with as many boots as it takes.
pub fn run(runner: &Runner, planned: &PlannedGuest) {
    let slot = &runner.kernels[planned.kernel];
    let line = runner
        .progress
        .line(&format!("{} {}", slot.label(), planned.name));
    line.set("kernel");
    let kernel = match slot.get() {
        Ok(kernel) => {
            if let Some(note) = kernel.note() {
                runner.say_once(&note);
            }
            kernel
        }
        Err(error) => {
            let is_excused = slot.may_be_unavailable && error.is_unavailable();
            let judgement = Judgement::new(Outcome::Unavailable, error.to_string());
            return all(
                runner,
                slot,
                &planned.scenarios,
                None,
                &judgement,
                is_excused,
            );
        }
    };
    let chosen = match choose(runner, &kernel, planned.scenarios[0].mode) {
        Ok(chosen) => chosen,
        Err(why) => {
            let judgement = Judgement::new(Outcome::NotReady, why);
            return all(runner, slot, &planned.scenarios, None, &judgement, false);
        }
    };
    let mut left = &planned.scenarios[..];
    let mut boots_tried_count = 1;
    for number in 1_u32.. {
        let name = if number == 1 {
            planned.name.clone()
        } else {
            format!("{}.{number}", planned.name)
        };
        // Under emulation a vCPU can lose its timer while the kernel boots (seen on 6.1 on a busy
        // host), which says nothing of any scenario. Each attempt is in the results.
        let may_boot_again = boots_tried_count == 1 && chosen.accelerator == Accelerator::Tcg;
        let boot = Boot {
            runner,
            slot,
            kernel: &kernel,
            accelerator: chosen.accelerator,
            name,
            boots_tried_count,
            may_boot_again,
            scenarios: left,
            line: &line,
        };
        let done_count = boot.carry_out();
        boots_tried_count = if done_count == 0 {
            boots_tried_count + 1
        } else {
            1
        };
        left = &left[done_count..];
        if left.is_empty() {
            return;
        }
    }
}

fn choose(runner: &Runner, kernel: &Kernel, mode: Mode) -> Result<Chosen, String> {
    if mode == Mode::Icount {
        return Ok(Chosen::for_instruction_time());
    }
    // One at a time: the first probe's answer serves the others.
    let _turn = runner
        .accel_turn
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let chosen = accel::choose(runner.accel, kernel, runner.is_interrupted)
        .map_err(|error| error.to_string())?;
    runner.say_once(&format!(
        "accelerator {}: {}",
        chosen.accelerator.name(),
        chosen.reason
    ));
    Ok(chosen)
}

/// Gives all these scenarios the same judgement.
fn all(
    runner: &Runner,
    slot: &KernelSlot,
    scenarios: &[Scenario],
    guest: Option<&str>,
    judgement: &Judgement,
    is_excused: bool,
) {
    for scenario in scenarios {
        let mut result = blank(slot, scenario, judgement);
        result.guest = guest.map(str::to_owned);
        result.is_excused = is_excused;
        runner.record(result);
    }
}

/// One boot of a planned guest.
struct Boot<'a> {
    runner: &'a Runner<'a>,
    slot: &'a KernelSlot<'a>,
    kernel: &'a Kernel,
    accelerator: Accelerator,
    /// The guest's name, and its directory's below the kernel's.
    name: String,
    boots_tried_count: u32,
    may_boot_again: bool,
    scenarios: &'a [Scenario],
    line: &'a Line,
}

impl Boot<'_> {
    /// Boots once; returns how many of the scenarios have a result now (all, when the run was interrupted).
    fn carry_out(&self) -> usize {
        let relative: PathBuf = [self.slot.label(), &self.name].iter().collect();
        let directory = self.runner.out.join(&relative);
        if let Err(error) = fs::create_dir_all(&directory) {
            let why = format!("{}: {error}", directory.display());
            self.all(self.scenarios, &Judgement::new(Outcome::NotReady, why));
            return self.scenarios.len();
        }
        let (spec, content) = (self.spec(), self.content());
        let request = self.request(&spec, &content, &directory);
        self.line.set("boot");
        let began = Instant::now();
        let mut collector = Collector::new(
            self.slot,
            self.scenarios,
            &self.name,
            &relative,
            &self.runner.out,
            self.accelerator,
        );
        let end = vm::run(&request, self.runner.is_interrupted, |message| {
            if let Some(result) = collector.take(message, self.line) {
                self.runner.record(result);
            }
        });
        let end = end.unwrap_or_else(|error| End::Broken(error.to_string()));
        self.account(&collector, &end, began.elapsed());
        let done_count = self.blame(&mut collector, &end);
        self.find_missing(&mut collector, &end, done_count);
        collector.finish(end == End::Finished);
        done_count
    }

    fn request<'a>(
        &'a self,
        spec: &'a GuestSpec,
        content: &'a Content,
        directory: &Path,
    ) -> vm::Request<'a> {
        vm::Request {
            kernel: self.kernel,
            spec,
            accelerator: self.accelerator,
            content,
            job: Job {
                keeps_all: self.runner.keeps_files,
                ..job(self.slot, self.scenarios)
            },
            console: directory.join("console.log"),
            boot_limit: None,
        }
    }

    fn spec(&self) -> GuestSpec {
        let mut spec = self.scenarios[0].guest();
        spec.kernel_args
            .extend_from_slice(&self.slot.planned.kernel_args);
        // Where a scenario may find that it doesn't apply, it does so by a module that is missing.
        if self.slot.may_not_apply
            && let Some(tree) = self.kernel.modules_dir.as_deref().map(ModuleTree::read)
        {
            spec.modules
                .retain(|name| tree.as_ref().map_or(true, |tree| tree.has(name)));
        }
        spec
    }

    fn content(&self) -> Content {
        let mut content = self.runner.content.clone();
        let wanted = |path: &str| {
            let names = self.scenarios.iter().flat_map(|scenario| &scenario.files);
            names.into_iter().any(|name| path[1..] == **name)
        };
        content.copies.retain(|(_, path)| wanted(path));
        content
    }

    fn account(&self, collector: &Collector, end: &End, duration: Duration) {
        self.runner.results().guests.push(GuestResult {
            kernel: self.slot.label().to_owned(),
            release: collector.release.clone(),
            name: self.name.clone(),
            boots_tried_count: self.boots_tried_count,
            end: end.to_string(),
            boot_ms: collector.boot.map(milliseconds),
            duration_ms: milliseconds(duration),
            boot_reports: collector.at_boot.reports.clone(),
        });
    }

    /// Decides who pays for the guest's end; returns how many scenarios have a result now.
    fn blame(&self, collector: &mut Collector, end: &End) -> usize {
        let Some(judgement) = judge_death(end) else {
            if let Some(result) = collector.conclude() {
                self.runner.record(result);
            }
            return self.scenarios.len();
        };
        let is_silent = judgement.outcome == Outcome::NotBooted
            && !judgement.is_final
            && collector.release.is_none();
        if is_silent && self.may_boot_again {
            collector.has_failure = true;
            self.runner.progress.say(&format!(
                "{} {}: {}, booting again",
                self.slot.label(),
                self.name,
                judgement.detail
            ));
            return 0;
        }
        self.settle(collector, judgement)
    }

    /// The guest died: under a scenario, after one, or before the first; returns how many scenarios have a result
    /// now.
    fn settle(&self, collector: &mut Collector, judgement: Judgement) -> usize {
        if let Some(result) = collector.die(&judgement) {
            self.runner.record(result);
            return collector.done_count();
        }
        let done_count = collector.done_count();
        if done_count > 0 {
            return done_count;
        }
        // It died before the first one began: a fresh guest would do the same.
        let judgement = collector.at_boot.added_to(judgement, "at boot: ", &[]);
        self.all(self.scenarios, &judgement);
        self.scenarios.len()
    }

    /// No scenario may go without a result: a frame can be lost on a serial line.
    fn find_missing(&self, collector: &mut Collector, end: &End, done_count: usize) {
        // A guest that died before its first scenario has been settled as a whole.
        let has_run = collector.done_count() > 0;
        if *end != End::Finished && (*end == End::Interrupted || !has_run) {
            return;
        }
        let judgement = Judgement::new(Outcome::Lost, "its result did not arrive");
        for scenario in collector.missing(done_count) {
            collector.has_failure = true;
            self.all(std::slice::from_ref(scenario), &judgement);
        }
    }

    /// Gives all these scenarios of this guest the same judgement.
    fn all(&self, scenarios: &[Scenario], judgement: &Judgement) {
        all(
            self.runner,
            self.slot,
            scenarios,
            Some(&self.name),
            judgement,
            false,
        );
    }
}

fn job(slot: &KernelSlot, scenarios: &[Scenario]) -> Job {
    let commands = scenarios.iter().map(|scenario| GuestCommand {
        scenario: scenario.name.clone(),
        argv: scenario.argv(),
        time_limit_ms: scenario.time_limit_s * 1000,
    });
    Job {
        kernel_name: slot.listed_name().map(str::to_owned),
        commands: commands.collect(),
        ..Job::default()
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
