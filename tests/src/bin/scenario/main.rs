//! What runs inside a guest: each scenario provokes something for real, lets `fslockup` see it,
//! and holds what it said against the workload's own account.

mod stage;

use std::process::ExitCode;

use anyhow::Context as _;
use stage::{checks::Checks, precondition::NotApplicable};

/// A scenario's claims go into the checks; an error means that it could not be carried out.
type Scenario = fn(&mut Checks) -> anyhow::Result<()>;

/// One line per file of scenarios: below its folder the file, then what images/scenarios.toml calls each function of
/// it. The modules and the list are made from it. rustfmt does not see files that a macro names; `just lint` and
/// `just format` name them.
macro_rules! scenarios {
    ($($(#[$about:meta])* $folder:ident {
        $($file:ident: $($name:literal => $function:ident),+;)+
    })+) => {
        $($(#[$about])* mod $folder {
            $(pub mod $file;)+
        })+

        const SCENARIOS: &[(&str, Scenario)] = &[
            $($($(($name, $folder::$file::$function),)+)+)+
        ];
    };
}

scenarios! {
    /// When a walk happens and when none does, and what is said of it: its length, its trigger, its directory, its loss.
    walks {
        herd: "herd" => scenario;
        many_watches: "many-watches" => scenario;
        negative_flood: "negative-flood" => scenario, "kprobe-fallback" => with_kprobes;
        overflow: "overflow" => scenario;
        paths: "paths" => scenario;
        preempted: "preempted-walk" => scenario;
        quiet:
            "no-watch" => no_watch,
            "small-directory" => small_directory,
            "entries-only" => entries_only;
        removal: "removal" => scenario;
        running: "running-walk" => scenario;
        storm: "storm" => scenario;
        triggers:
            "triggers" => scenario,
            "triggers-xfs" => on_xfs,
            "triggers-btrfs" => on_btrfs,
            "triggers-overlay" => on_overlay;
        two_walks: "two-walks" => scenario;
    }
    /// Who waits for the locks of a walk, and who for others.
    waits {
        contention: "contention" => scenario, "wait-fallback" => through_tracepoints;
        other_lock: "other-lock" => scenario;
        quiet_host: "quiet-host" => scenario;
        walker_waits: "walker-waits" => scenario;
    }
    /// Tasks and CPUs that a walk keeps from running.
    stalls {
        busy: "busy-not-locked" => scenario;
        soft_lockup: "soft-lockup" => scenario;
        stall: "stall" => scenario, "rt" => rt;
    }
    /// Who made the children of a directory, and which changes are seen.
    origin {
        cases: "origin-cases" => scenario;
        coverage: "coverage" => scenario, "coverage-xfs" => on_xfs, "coverage-btrfs" => on_btrfs;
        hostile_names: "hostile-names" => scenario;
        several: "origin" => scenario;
        short_lived: "short-lived" => scenario;
        trace: "trace" => scenario;
    }
    /// Children that are counted where no walk is, and what they would cost.
    census {
        children:
            "census" => scenario,
            "census-churn" => churn,
            "census-million" => million,
            "prediction" => prediction;
        danger: "danger" => scenario;
    }
    /// What is missing, refused, killed, changed or doubled around the detector.
    faults {
        capabilities: "capabilities" => scenario;
        clock_stepped: "clock-stepped" => scenario;
        cpu_offline: "cpu-offline" => scenario;
        errors: "errors" => scenario;
        kill: "clean-stop" => clean_stop, "kill-9" => kill_9;
        lockdown: "lockdown" => scenario;
        stale_walk: "stale-walk" => scenario;
        two_instances: "two-instances" => scenario;
        two_numbers: "two-numbers" => scenario;
    }
    /// The detector as a service: its unit, its package, its files, its metrics, its own budget.
    service {
        daemon_reload:
            "daemon-reload" => scenario,
            "daemon-reload-252" => debian_12,
            "daemon-reload-257" => debian_13;
        metrics: "metrics" => scenario;
        package: "package" => scenario;
        self_budget: "self-budget" => scenario;
        soak: "soak" => scenario;
        state_dir: "state-dir" => scenario;
        unit: "service" => scenario;
    }
    /// Held against the kernel's own tracers, against exact probes, and one kernel against another.
    compare {
        agreement: "tracer-agreement" => with_function_graph, "wait-agreement" => with_probe_events;
        attach_coverage: "attach-coverage" => scenario;
        child_access: "child-access" => scenario;
        cost: "cost" => scenario;
        exact: "exact-hold" => scenario;
        release: "exact-release" => scenario;
        walk_cost: "walk-cost" => scenario;
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let name = std::env::args()
        .nth(1)
        .context("usage: scenario NAME | --list")?;
    if name == "--list" {
        for (name, _) in SCENARIOS {
            println!("{name}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let (_, scenario) = SCENARIOS
        .iter()
        .find(|(known, _)| *known == name)
        .with_context(|| format!("no scenario {name}"))?;
    let mut checks = Checks::default();
    if let Err(error) = scenario(&mut checks) {
        match error.downcast::<NotApplicable>() {
            Ok(lack) => checks.not_applicable(lack.0),
            Err(error) => {
                checks.that("the scenario was carried out", false, format!("{error:#}"));
            }
        }
    }
    checks.finish()
}
