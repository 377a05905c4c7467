//! What runs inside a guest: each scenario provokes something for real, lets `fslockup` see it,
//! and holds what it said against the workload's own account.

mod agreement;
mod attach_coverage;
mod busy;
mod capabilities;
mod census;
mod checks;
mod child_access;
mod clock_stepped;
mod contended;
mod contention;
mod cost;
mod coverage;
mod cpu_offline;
mod daemon_reload;
mod danger;
mod detector;
mod errors;
mod exact;
mod exposure;
mod floods;
mod herd;
mod incident;
mod kernel;
mod kill;
mod lockdown;
mod many_watches;
mod metrics;
mod negative_flood;
mod origin;
mod origin_cases;
mod origin_container;
mod origin_deep;
mod origin_drop;
mod origin_hostile;
mod origin_short;
mod other_lock;
mod overflow;
mod overlay;
mod package;
mod package_life;
mod paths;
mod precondition;
mod producers;
mod quiet;
mod release;
mod removal;
mod running;
mod sandbox;
mod scrape;
mod self_budget;
mod service;
mod soak;
mod soft_lockup;
mod stall;
mod state_dir;
mod storm;
mod systemd;
mod trace;
mod tracefs;
mod triggers;
mod truth;
mod two_instances;
mod two_numbers;
mod two_walks;
mod walk_cost;
mod walker_waits;
mod worse;

use std::process::ExitCode;

use anyhow::Context as _;
use checks::Checks;
use precondition::NotApplicable;

/// A scenario's claims go into the checks; an error means that it could not be carried out.
type Scenario = fn(&mut Checks) -> anyhow::Result<()>;

/// Every scenario by its name in images/scenarios.toml.
const SCENARIOS: &[(&str, Scenario)] = &[
    ("negative-flood", negative_flood::scenario),
    ("no-watch", quiet::no_watch),
    ("small-directory", quiet::small_directory),
    ("entries-only", quiet::entries_only),
    ("removal", removal::scenario),
    ("triggers", triggers::scenario),
    ("triggers-xfs", triggers::on_xfs),
    ("triggers-btrfs", triggers::on_btrfs),
    ("triggers-overlay", triggers::on_overlay),
    ("herd", herd::scenario),
    ("kprobe-fallback", negative_flood::with_kprobes),
    ("running-walk", running::scenario),
    ("clean-stop", kill::clean_stop),
    ("kill-9", kill::kill_9),
    ("two-numbers", two_numbers::scenario),
    ("paths", paths::scenario),
    ("capabilities", capabilities::scenario),
    ("errors", errors::scenario),
    ("lockdown", lockdown::scenario),
    ("contention", contention::scenario),
    ("wait-fallback", contention::through_tracepoints),
    ("stall", stall::scenario),
    ("rt", stall::rt),
    ("two-walks", two_walks::scenario),
    ("busy-not-locked", busy::scenario),
    ("other-lock", other_lock::scenario),
    ("walker-waits", walker_waits::scenario),
    ("soft-lockup", soft_lockup::scenario),
    ("overflow", overflow::scenario),
    ("exact-hold", exact::scenario),
    ("exact-release", release::scenario),
    ("tracer-agreement", agreement::with_function_graph),
    ("wait-agreement", agreement::with_probe_events),
    ("cost", cost::scenario),
    ("walk-cost", walk_cost::scenario),
    ("child-access", child_access::scenario),
    ("attach-coverage", attach_coverage::scenario),
    ("coverage", coverage::scenario),
    ("coverage-xfs", coverage::on_xfs),
    ("coverage-btrfs", coverage::on_btrfs),
    ("census", census::scenario),
    ("census-churn", census::churn),
    ("census-million", census::million),
    ("prediction", census::prediction),
    ("danger", danger::scenario),
    ("trace", trace::scenario),
    ("origin", origin::scenario),
    ("short-lived", origin_short::scenario),
    ("hostile-names", origin_hostile::scenario),
    ("origin-cases", origin_cases::scenario),
    ("metrics", metrics::scenario),
    ("service", service::scenario),
    ("package", package::scenario),
    ("daemon-reload", daemon_reload::scenario),
    ("daemon-reload-252", daemon_reload::debian_12),
    ("daemon-reload-257", daemon_reload::debian_13),
    ("state-dir", state_dir::scenario),
    ("two-instances", two_instances::scenario),
    ("clock-stepped", clock_stepped::scenario),
    ("cpu-offline", cpu_offline::scenario),
    ("many-watches", many_watches::scenario),
    ("storm", storm::scenario),
    ("self-budget", self_budget::scenario),
    ("soak", soak::scenario),
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
