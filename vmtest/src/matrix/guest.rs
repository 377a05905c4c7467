//! Runs one planned guest. When it dies under a scenario, the rest of its scenarios go into a
//! fresh one.

use std::{
    fs,
    path::PathBuf,
    sync::PoisonError,
    time::{Duration, Instant},
};

use super::{
    collect::{Collector, blank},
    runner::Runner,
    slots::KernelSlot,
};
use crate::{
    image::modules::ModuleTree,
    manifest::scenarios::Scenario,
    matrix::{
        outcome::{Judgement, Outcome, judge_death},
        plan::PlannedGuest,
    },
    packages::Kernel,
    protocol::{GuestCommand, Job},
    qemu::argv::{Accelerator, Mode},
    report::GuestResult,
    vm::{
        self, End,
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
    for boot in 1_u32.. {
        let name = if boot == 1 {
            planned.name.clone()
        } else {
            format!("{}.{boot}", planned.name)
        };
        // Under emulation a vCPU can lose its timer while the kernel boots (seen on 6.1 on a busy
        // host), which says nothing of any scenario. Each attempt is in the results.
        let may_boot_again = boots_tried_count == 1 && chosen.accelerator == Accelerator::Tcg;
        let attempt = Attempt {
            name: &name,
            boots_tried_count,
            may_boot_again,
        };
        let done_count = boot_once(runner, slot, &kernel, &chosen, &attempt, left, &line);
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
struct Attempt<'a> {
    name: &'a str,
    boots_tried_count: u32,
    may_boot_again: bool,
}

/// Boots once; returns how many of the scenarios have a result now (all, when the run was
/// interrupted).
fn boot_once(
    runner: &Runner,
    slot: &KernelSlot,
    kernel: &Kernel,
    chosen: &Chosen,
    attempt: &Attempt,
    scenarios: &[Scenario],
    line: &crate::ui::progress::Line,
) -> usize {
    let name = attempt.name;
    let relative: PathBuf = [slot.label(), name].iter().collect();
    let directory = runner.out.join(&relative);
    if let Err(error) = fs::create_dir_all(&directory) {
        let why = format!("{}: {error}", directory.display());
        let judgement = Judgement::new(Outcome::NotReady, why);
        all(runner, slot, scenarios, Some(name), &judgement, false);
        return scenarios.len();
    }
    let mut spec = scenarios[0].guest();
    spec.kernel_args
        .extend_from_slice(&slot.planned.kernel_args);
    // Where a scenario may find that it doesn't apply, it does so by a module that is missing.
    if slot.may_not_apply
        && let Some(tree) = kernel.modules_dir.as_deref().map(ModuleTree::read)
    {
        spec.modules
            .retain(|name| tree.as_ref().map_or(true, |tree| tree.has(name)));
    }
    let mut content = runner.content.clone();
    let wanted = |path: &str| {
        let names = scenarios.iter().flat_map(|scenario| &scenario.files);
        names.into_iter().any(|name| path[1..] == **name)
    };
    content.copies.retain(|(_, path)| wanted(path));
    let request = vm::Request {
        kernel,
        spec: &spec,
        accelerator: chosen.accelerator,
        content: &content,
        job: Job {
            keeps_all: runner.keeps_files,
            ..job(slot, scenarios)
        },
        console: directory.join("console.log"),
        boot_limit: None,
    };
    line.set("boot");
    let began = Instant::now();
    let mut collector = Collector::new(
        slot,
        scenarios,
        name,
        &relative,
        &runner.out,
        chosen.accelerator,
    );
    let end = vm::run(&request, runner.is_interrupted, |message| {
        if let Some(result) = collector.take(message, line) {
            runner.record(result);
        }
    });
    let end = end.unwrap_or_else(|error| End::Broken(error.to_string()));
    runner.results().guests.push(GuestResult {
        kernel: slot.label().to_owned(),
        release: collector.release.clone(),
        name: name.to_owned(),
        boots_tried_count: attempt.boots_tried_count,
        end: end.to_string(),
        boot_ms: collector.boot.map(milliseconds),
        duration_ms: milliseconds(began.elapsed()),
        boot_reports: collector.at_boot.reports.clone(),
    });
    let done_count = match judge_death(&end) {
        None => {
            if let Some(result) = collector.conclude() {
                runner.record(result);
            }
            scenarios.len()
        }
        Some(judgement)
            if judgement.outcome == Outcome::NotBooted
                && !judgement.is_final
                && collector.release.is_none()
                && attempt.may_boot_again =>
        {
            collector.has_failure = true;
            let label = slot.label();
            runner.progress.say(&format!(
                "{label} {name}: {}, booting again",
                judgement.detail
            ));
            0
        }
        Some(judgement) => settle(runner, slot, &mut collector, scenarios, name, &judgement),
    };
    // A guest that died before its first scenario has been settled as a whole.
    if end == End::Finished || (end != End::Interrupted && collector.done_count() > 0) {
        // No scenario may go without a result: a frame can be lost on a serial line.
        let judgement = Judgement::new(Outcome::Lost, "its result did not arrive");
        for scenario in collector.missing(done_count) {
            collector.has_failure = true;
            all(
                runner,
                slot,
                std::slice::from_ref(scenario),
                Some(name),
                &judgement,
                false,
            );
        }
    }
    collector.finish(end == End::Finished);
    done_count
}

/// Decides who pays for the guest's death; returns how many scenarios have a result now.
fn settle(
    runner: &Runner,
    slot: &KernelSlot,
    collector: &mut Collector,
    scenarios: &[Scenario],
    name: &str,
    judgement: &Judgement,
) -> usize {
    if let Some(result) = collector.die(judgement) {
        runner.record(result);
        return collector.done_count();
    }
    let done_count = collector.done_count();
    if done_count > 0 {
        return done_count;
    }
    // It died before the first one began: a fresh guest would do the same.
    let judgement = collector
        .at_boot
        .added_to(judgement.clone(), "at boot: ", &[]);
    all(runner, slot, scenarios, Some(name), &judgement, false);
    scenarios.len()
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
