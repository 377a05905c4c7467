//! `vmtest gate`: may a kernel go to production?

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    time::Instant,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use super::{INTERRUPTED, matrix::Matrix};
use crate::{
    choose,
    cli::{GateArgs, GateFormat},
    gate::{self, GateResult, Measured, Rules, Source, report},
    kernel,
    kernels::Kernels,
    outcome::Outcome,
    packages::store::Store,
    plan::PlannedKernel,
    report::RunResult,
    scenarios::Scenarios,
};

/// The results of what runs here, below the output directory.
const OWN_RESULTS: &str = "results.json";

/// Judges the candidates; returns the exit code.
///
/// # Errors
/// When there is nothing to judge: a kernel can't be had, results can't be read or compared.
pub fn run(arguments: &GateArgs, kernels: &Kernels, is_interrupted: &AtomicBool) -> Result<i32> {
    let began = Instant::now();
    let started_at = jiff::Timestamp::now().to_string();
    let rules = Rules::load(arguments.rules.as_deref())?;
    let manifest = Scenarios::load(arguments.accel.scenarios.as_deref())?;
    let scenarios = match arguments.scenario.as_slice() {
        [] => manifest.for_any_kernel(),
        names => manifest.choose(names)?,
    };
    let asked: Vec<String> = scenarios.iter().map(|one| one.name.clone()).collect();
    let mut sides = sides(arguments, kernels)?;
    let live: Vec<PlannedKernel> = sides.iter().filter_map(Side::planned).cloned().collect();
    fs::create_dir_all(&arguments.out).with_context(|| arguments.out.display().to_string())?;
    if !live.is_empty() {
        // A kernel that is not to be had is no verdict on it.
        for planned in &live {
            kernel::resolve(
                &planned.name,
                arguments.accel.modules.as_deref(),
                kernels,
                &Store::default(),
            )?;
        }
        let matrix = Matrix {
            kernels: live,
            manifest,
            scenarios,
            shard: None,
            jobs: arguments.jobs,
            repeat_failed: arguments.repeat_failed,
            out: &arguments.out,
            accel: &arguments.accel,
        };
        let result = matrix.carry_out(kernels, is_interrupted)?;
        result.write(&arguments.out)?;
        if result.is_interrupted {
            println!("interrupted");
            return Ok(INTERRUPTED);
        }
        for side in &mut sides {
            side.ran(&result);
        }
    }
    let sides = sides
        .into_iter()
        .map(Side::into_results)
        .collect::<Vec<_>>();
    let (baseline, candidates) = sides.split_first().context("no baseline")?;
    let measured_baseline = baseline.measured(&arguments.out, &|name| {
        asked.iter().any(|one| one == name)
            || arguments.scenario.is_empty()
                && candidates.iter().any(|candidate| candidate.has(name))
    })?;
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
            asked.iter().any(|one| one == name)
                || arguments.scenario.is_empty() && baseline.has(name)
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
    Ok(i32::from(result.failed_count() > 0))
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
    /// A kernel to be run here; then its results.
    Live(PlannedKernel, Option<RunResult>),
    /// Measured before.
    Saved(Results),
}

/// Results of one kernel.
struct Results {
    kernel: String,
    results: RunResult,
    /// The file that they were saved in; none where they are this gate's own.
    saved_in: Option<PathBuf>,
}

impl Side {
    fn planned(&self) -> Option<&PlannedKernel> {
        match self {
            Self::Live(planned, _) => Some(planned),
            Self::Saved(_) => None,
        }
    }

    fn ran(&mut self, result: &RunResult) {
        if let Self::Live(_, slot) = self {
            *slot = Some(result.clone());
        }
    }

    fn into_results(self) -> Results {
        match self {
            Self::Saved(results) => results,
            Self::Live(planned, results) => Results {
                kernel: planned.label,
                results: results.expect("what is to be run here has run"),
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
                results: OWN_RESULTS.to_owned(),
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
    let mut sides = side(&arguments.baseline, &arguments.accel.tag, kernels)?;
    if sides.len() != 1 {
        bail!(
            "--baseline {}: means {} kernels, not one",
            arguments.baseline,
            sides.len()
        );
    }
    for word in &arguments.candidate {
        for mut candidate in side(word, &arguments.accel.tag, kernels)? {
            if let Side::Live(planned, _) = &mut candidate {
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
fn side(word: &str, tags: &[String], kernels: &Kernels) -> Result<Vec<Side>> {
    let (path, kernel) = match word.split_once(".json:") {
        Some((path, kernel)) => (format!("{path}.json"), Some(kernel)),
        None if word.ends_with(".json") => (word.to_owned(), None),
        None => {
            let found = choose::kernels(&[word.to_owned()], tags, kernels)?;
            return Ok(found
                .into_iter()
                .map(|planned| Side::Live(planned, None))
                .collect());
        }
    };
    let path = PathBuf::from(path);
    let results = RunResult::read(&path)?;
    let mut there: Vec<&str> = Vec::new();
    for result in &results.scenarios {
        if !there.contains(&result.kernel.as_str()) {
            there.push(&result.kernel);
        }
    }
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
        results,
        saved_in: Some(path),
    })])
}
