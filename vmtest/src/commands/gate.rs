//! `vmtest gate`: may a kernel go to production?

use std::{
    fs,
    path::{Path, PathBuf},
    rc::Rc,
    sync::atomic::AtomicBool,
    time::Instant,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use super::{COULD_NOT_RUN, INTERRUPTED};
use crate::{
    cli::{GateArgs, GateFormat},
    gate::{self, GateResult, Measured, Rules, SideWord, Source, report},
    guest,
    manifest::{kernels::Kernels, scenarios::Scenarios},
    matrix::{Matrix, choose, plan::PlannedKernel, slots::KernelSlot},
    report::{Outcome, RESULTS, RunResult},
};

/// Judges the candidates; returns the exit code.
///
/// # Errors
/// When there is nothing to judge: a kernel can't be had, results can't be read or compared.
pub fn run(arguments: &GateArgs, kernels: &Kernels, is_interrupted: &AtomicBool) -> Result<i32> {
    let began = Instant::now();
    let started_at = jiff::Timestamp::now().to_string();
    let rules = Rules::load(arguments.rules.as_deref())?;
    let manifest = Scenarios::load(arguments.harness.scenarios.as_deref())?;
    let scenarios = match arguments.scenario.as_slice() {
        [] => manifest.for_comparison(),
        names => manifest.choose(names)?,
    };
    let asked: Vec<String> = scenarios.iter().map(|one| one.name.clone()).collect();
    let of_commands = manifest.entries.iter().filter(|one| !one.gates);
    let not_of_kernels: Vec<String> = of_commands.map(|one| one.name.clone()).collect();
    let sides = sides(arguments, kernels)?;
    let live: Vec<PlannedKernel> = sides.iter().filter_map(Side::planned).cloned().collect();
    if !live.is_empty() {
        for side in &sides {
            side.outlives_run(&arguments.out)?;
        }
    }
    fs::create_dir_all(&arguments.out).with_context(|| arguments.out.display().to_string())?;
    let own = if live.is_empty() {
        None
    } else {
        // A kernel that is not to be had is no verdict on it.
        let modules_dir = arguments.harness.modules.as_deref();
        let slots = KernelSlot::all(live, true, kernels, modules_dir);
        for slot in &slots {
            slot.get()?;
        }
        let matrix = Matrix {
            kernels: slots,
            manifest,
            scenarios,
            shard: None,
            jobs: arguments.jobs,
            repeat_failed: arguments.repeat_failed,
            out: &arguments.out,
            keeps_files: false,
            accel: arguments.harness.accel,
            bin_dir: guest::bin_dir(&arguments.harness)?,
        };
        let result = matrix.carry_out(kernels, is_interrupted)?;
        result.write(&arguments.out)?;
        if result.is_interrupted {
            println!("interrupted");
            return Ok(INTERRUPTED);
        }
        Some(Rc::new(result))
    };
    let sides = sides
        .into_iter()
        .map(|side| side.into_results(own.as_ref()))
        .collect::<Vec<_>>();
    let (baseline, candidates) = sides.split_first().context("no baseline")?;
    // Saved results may have more than what was asked for: that counts where the other side has it too, but for
    // what is no property of a kernel.
    let is_meant = |name: &str, others: &[Results]| {
        asked.iter().any(|one| one == name)
            || arguments.scenario.is_empty()
                && !not_of_kernels.iter().any(|one| one == name)
                && others.iter().any(|other| other.has(name))
    };
    let measured_baseline =
        baseline.measured(&arguments.out, &|name| is_meant(name, candidates))?;
    ensure!(
        measured_baseline
            .endings
            .iter()
            .any(|one| one.outcome == Outcome::Passed),
        "baseline {}: nothing passed on it, so nothing can be measured against it",
        baseline.kernel
    );
    let mut judged = Vec::new();
    for candidate in candidates {
        ensure!(
            candidate.results.conditions == baseline.results.conditions,
            "{}: measured with {}, but {} with {}: run both alike",
            candidate.kernel,
            candidate.results.conditions,
            baseline.kernel,
            baseline.results.conditions
        );
        let measured = candidate.measured(&arguments.out, &|name| {
            is_meant(name, std::slice::from_ref(baseline))
        })?;
        judged.push(gate::judge(&measured_baseline, measured, &rules));
    }
    let result = GateResult {
        schema: gate::SCHEMA.to_owned(),
        started_at,
        duration_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        conditions: baseline.results.conditions.clone(),
        rules,
        baseline: measured_baseline,
        candidates: judged,
    };
    report::write(&result, &arguments.out)?;
    print(&result, arguments);
    if result.failed_count() > 0 {
        return Ok(1);
    }
    let unjudged = result.candidates.iter().filter(|one| !one.is_judged());
    let mut code = 0;
    for candidate in unjudged {
        for why in &candidate.lacking {
            complain!("{}: no verdict: {why}", candidate.kernel.kernel);
        }
        code = COULD_NOT_RUN;
    }
    Ok(code)
}

fn print(result: &GateResult, arguments: &GateArgs) {
    match arguments.format {
        GateFormat::Text => {
            print!("{}", report::text(result));
            println!("results: {}", arguments.out.join("gate.html").display());
        }
        GateFormat::Json => print!("{}", report::json(result)),
        GateFormat::Junit => println!("{}", report::junit(result)),
        GateFormat::Tap => print!("{}", report::tap(result)),
        GateFormat::Markdown => print!("{}", report::markdown(result)),
    }
}

/// The baseline or a candidate, before anything ran.
enum Side {
    /// A kernel to be run here.
    Live(PlannedKernel),
    /// Measured before.
    Saved(Results),
}

/// Results of one kernel.
struct Results {
    kernel: String,
    results: Rc<RunResult>,
    /// The file that they were saved in; none where they are this gate's own.
    saved_in: Option<PathBuf>,
}

impl Side {
    fn planned(&self) -> Option<&PlannedKernel> {
        match self {
            Self::Live(planned) => Some(planned),
            Self::Saved(_) => None,
        }
    }

    /// A run begins by removing the results of the run before from its output directory.
    fn outlives_run(&self, out: &Path) -> Result<()> {
        let Self::Saved(results) = self else {
            return Ok(());
        };
        let Some(path) = &results.saved_in else {
            return Ok(());
        };
        // Only where the output directory is there can a file be in it.
        let (Ok(file), Ok(out_there)) = (path.canonicalize(), out.canonicalize()) else {
            return Ok(());
        };
        ensure!(
            file.parent() != Some(&out_there),
            "{}: in the output directory, and the run would remove it (give another directory with --out)",
            path.display()
        );
        Ok(())
    }

    /// Its results, of a kernel that was run here those of that run.
    fn into_results(self, own: Option<&Rc<RunResult>>) -> Results {
        match self {
            Self::Saved(results) => results,
            Self::Live(planned) => Results {
                kernel: planned.label,
                results: Rc::clone(own.expect("what is to be run here has run")),
                saved_in: None,
            },
        }
    }
}

impl Results {
    fn has(&self, scenario: &str) -> bool {
        let mut own = self
            .results
            .scenarios
            .iter()
            .filter(|one| one.kernel == self.kernel);
        own.any(|one| one.scenario == scenario)
    }

    /// What they say, of the scenarios that are meant. A saved file is copied to the output directory, where
    /// all evidence is.
    fn measured(&self, out: &Path, is_meant: &dyn Fn(&str) -> bool) -> Result<Measured> {
        let source = match &self.saved_in {
            None => Source {
                results: RESULTS.to_owned(),
                has_files: true,
            },
            Some(path) => Source {
                results: keep(path, out)?,
                has_files: false,
            },
        };
        Measured::of(&self.results, &self.kernel, &source, is_meant).map_err(|why| anyhow!(why))
    }
}

/// Copies saved results under a name that is theirs alone; returns the name.
fn keep(path: &Path, out: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| path.display().to_string())?;
    let name = format!("saved-{}.json", crate::digest::short(&bytes));
    let to = out.join(&name);
    fs::write(&to, bytes).with_context(|| to.display().to_string())?;
    Ok(name)
}

/// The baseline, then the candidates.
fn sides(arguments: &GateArgs, kernels: &Kernels) -> Result<Vec<Side>> {
    let mut sides = side(&arguments.baseline, &arguments.harness.tag, kernels)?;
    if sides.len() != 1 {
        bail!(
            "--baseline {}: means {} kernels, not one",
            arguments.baseline,
            sides.len()
        );
    }
    for word in &arguments.candidate {
        for mut candidate in side(word, &arguments.harness.tag, kernels)? {
            if let Side::Live(planned) = &mut candidate {
                planned.kernel_args.clone_from(&arguments.candidate_arg);
                // The baseline's own directories stay its own.
                let is_baseline = sides[0]
                    .planned()
                    .is_some_and(|one| one.label == planned.label);
                if is_baseline {
                    planned.label += "-candidate";
                }
                let is_there = sides
                    .iter()
                    .filter_map(Side::planned)
                    .any(|one| one.label == planned.label);
                ensure!(
                    !is_there,
                    "--candidate {word}: {} given twice, or two files of one name",
                    planned.label
                );
            }
            sides.push(candidate);
        }
    }
    Ok(sides)
}

/// What a word means: saved results, or kernels to run.
fn side(word: &SideWord, tags: &[String], kernels: &Kernels) -> Result<Vec<Side>> {
    let (path, kernel) = match word {
        SideWord::Saved { path, kernel, .. } => (path, kernel.as_deref()),
        SideWord::Live(one) => {
            let found = choose::kernels(std::slice::from_ref(one), tags, kernels)?;
            return Ok(found.into_iter().map(Side::Live).collect());
        }
    };
    let results = RunResult::read(path)?;
    let there = results.kernels();
    let kernel = match (kernel, there.as_slice()) {
        (Some(kernel), _) if there.contains(&kernel) => kernel.to_owned(),
        (Some(kernel), _) => bail!(
            "{word}: no kernel {kernel} in it (it has: {})",
            there.join(" ")
        ),
        (None, [only]) => (*only).to_owned(),
        (None, _) => bail!(
            "{word}: which kernel of it? write {}:NAME (it has: {})",
            path.display(),
            there.join(" ")
        ),
    };
    Ok(vec![Side::Saved(Results {
        kernel,
        results: Rc::new(results),
        saved_in: Some(path.clone()),
    })])
}
