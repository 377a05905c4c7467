//! What runs inside a guest: each scenario provokes something for real, lets `fslockup` see it,
//! and holds what it said against the workload's own account.

mod stage;
mod walks {
    pub mod herd;
    pub mod many_watches;
    pub mod negative_flood;
    pub mod overflow;
    pub mod paths;
    pub mod quiet;
    pub mod removal;
    pub mod running;
    pub mod storm;
    pub mod triggers;
    pub mod two_walks;
}
mod waits {
    pub mod contention;
    pub mod other_lock;
    pub mod walker_waits;
}
mod stalls {
    pub mod busy;
    pub mod soft_lockup;
    pub mod stall;
}
mod origin {
    pub mod cases;
    pub mod coverage;
    pub mod hostile_names;
    pub mod several;
    pub mod short_lived;
    pub mod trace;
}
mod census {
    pub mod children;
    pub mod danger;
}
mod faults {
    pub mod capabilities;
    pub mod clock_stepped;
    pub mod cpu_offline;
    pub mod errors;
    pub mod kill;
    pub mod lockdown;
    pub mod two_instances;
    pub mod two_numbers;
}
mod service {
    pub mod daemon_reload;
    pub mod metrics;
    pub mod package;
    pub mod self_budget;
    pub mod soak;
    pub mod state_dir;
    pub mod unit;
}
mod compare {
    pub mod agreement;
    pub mod attach_coverage;
    pub mod child_access;
    pub mod cost;
    pub mod exact;
    pub mod release;
    pub mod walk_cost;
}

use std::process::ExitCode;

use anyhow::Context as _;
use stage::{checks::Checks, precondition::NotApplicable};

/// A scenario's claims go into the checks; an error means that it could not be carried out.
type Scenario = fn(&mut Checks) -> anyhow::Result<()>;

/// Every scenario by its name in images/scenarios.toml.
const SCENARIOS: &[(&str, Scenario)] = &[
    ("negative-flood", walks::negative_flood::scenario),
    ("no-watch", walks::quiet::no_watch),
    ("small-directory", walks::quiet::small_directory),
    ("entries-only", walks::quiet::entries_only),
    ("removal", walks::removal::scenario),
    ("triggers", walks::triggers::scenario),
    ("triggers-xfs", walks::triggers::on_xfs),
    ("triggers-btrfs", walks::triggers::on_btrfs),
    ("triggers-overlay", walks::triggers::on_overlay),
    ("herd", walks::herd::scenario),
    ("kprobe-fallback", walks::negative_flood::with_kprobes),
    ("running-walk", walks::running::scenario),
    ("clean-stop", faults::kill::clean_stop),
    ("kill-9", faults::kill::kill_9),
    ("two-numbers", faults::two_numbers::scenario),
    ("paths", walks::paths::scenario),
    ("capabilities", faults::capabilities::scenario),
    ("errors", faults::errors::scenario),
    ("lockdown", faults::lockdown::scenario),
    ("contention", waits::contention::scenario),
    ("wait-fallback", waits::contention::through_tracepoints),
    ("stall", stalls::stall::scenario),
    ("rt", stalls::stall::rt),
    ("two-walks", walks::two_walks::scenario),
    ("busy-not-locked", stalls::busy::scenario),
    ("other-lock", waits::other_lock::scenario),
    ("walker-waits", waits::walker_waits::scenario),
    ("soft-lockup", stalls::soft_lockup::scenario),
    ("overflow", walks::overflow::scenario),
    ("exact-hold", compare::exact::scenario),
    ("exact-release", compare::release::scenario),
    ("tracer-agreement", compare::agreement::with_function_graph),
    ("wait-agreement", compare::agreement::with_probe_events),
    ("cost", compare::cost::scenario),
    ("walk-cost", compare::walk_cost::scenario),
    ("child-access", compare::child_access::scenario),
    ("attach-coverage", compare::attach_coverage::scenario),
    ("coverage", origin::coverage::scenario),
    ("coverage-xfs", origin::coverage::on_xfs),
    ("coverage-btrfs", origin::coverage::on_btrfs),
    ("census", census::children::scenario),
    ("census-churn", census::children::churn),
    ("census-million", census::children::million),
    ("prediction", census::children::prediction),
    ("danger", census::danger::scenario),
    ("trace", origin::trace::scenario),
    ("origin", origin::several::scenario),
    ("short-lived", origin::short_lived::scenario),
    ("hostile-names", origin::hostile_names::scenario),
    ("origin-cases", origin::cases::scenario),
    ("metrics", service::metrics::scenario),
    ("service", service::unit::scenario),
    ("package", service::package::scenario),
    ("daemon-reload", service::daemon_reload::scenario),
    ("daemon-reload-252", service::daemon_reload::debian_12),
    ("daemon-reload-257", service::daemon_reload::debian_13),
    ("state-dir", service::state_dir::scenario),
    ("two-instances", faults::two_instances::scenario),
    ("clock-stepped", faults::clock_stepped::scenario),
    ("cpu-offline", faults::cpu_offline::scenario),
    ("many-watches", walks::many_watches::scenario),
    ("storm", walks::storm::scenario),
    ("self-budget", service::self_budget::scenario),
    ("soak", service::soak::scenario),
];

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
