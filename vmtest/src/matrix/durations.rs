//! How long scenarios took when that was last measured (`images/durations.toml`, made by `vmtest durations`): what
//! guests are split and put in order by. Only how they compare matters, so another machine's figures serve as well.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    manifest::scenarios::Scenario,
    qemu::argv::Mode,
    report::{GuestResult, Outcome, RunResult, ScenarioResult},
};

const MEASURED: &str = include_str!("../../../images/durations.toml");

/// A scenario that was never measured is expected to take this part of its time limit.
const PART_OF_LIMIT: u64 = 10;

/// Durations in milliseconds of the host's time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Durations {
    /// From QEMU's start to the guest's first message, by mode.
    boot_ms: BTreeMap<String, u64>,
    /// What a kernel takes of the mean of all, in percent.
    kernel_percent: BTreeMap<String, u64>,
    /// The mean of all kernels, by scenario.
    scenario_ms: BTreeMap<String, u64>,
}

impl Durations {
    /// Those built into this program.
    ///
    /// # Panics
    /// When they are damaged, which a test rules out.
    #[must_use]
    pub fn load() -> Self {
        toml::from_str(MEASURED).expect("images/durations.toml parses")
    }

    /// Of scenarios by name, on every kernel alike.
    #[must_use]
    pub fn of_scenarios(scenario_ms: impl IntoIterator<Item = (String, u64)>) -> Self {
        Self {
            scenario_ms: scenario_ms.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Of a scenario on a kernel; where either was never measured, a guess.
    #[must_use]
    pub fn scenario_ms(&self, kernel: &str, scenario: &Scenario) -> u64 {
        let guess_ms = || {
            let limit_ms = scenario.time_limit_s * 1_000 * u64::from(scenario.mode.slowness());
            limit_ms / PART_OF_LIMIT
        };
        let mean_ms = self.scenario_ms.get(&scenario.name).copied();
        let percent = self.kernel_percent.get(kernel).copied().unwrap_or(100);
        mean_ms.unwrap_or_else(guess_ms) * percent / 100
    }

    /// Of a boot.
    #[must_use]
    pub fn boot_ms(&self, mode: Mode) -> u64 {
        self.boot_ms.get(mode.name()).copied().unwrap_or(0)
    }

    /// As a run had them. A guest's own clock doesn't run with the host's in instruction time: what a guest took on
    /// the host is divided among its scenarios by what they took in the guest.
    #[must_use]
    pub fn of_run(run: &RunResult) -> Self {
        let mut boots: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        let mut by_scenario: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        let mut by_pair: BTreeMap<(String, String), u64> = BTreeMap::new();
        for guest in &run.guests {
            let inside: Vec<_> = of_guest(run, guest).collect();
            let (Some(first), Some(boot_ms)) = (inside.first(), guest.boot_ms) else {
                continue;
            };
            let mode = first.0.mode.name().to_owned();
            boots.entry(mode).or_default().push(boot_ms);
            let inside_ms: u64 = inside.iter().map(|(_, ms)| ms).sum();
            for (result, ms) in inside {
                let host_ms = guest.duration_ms.saturating_sub(boot_ms) * ms / inside_ms.max(1);
                let name = result.scenario.clone();
                by_scenario.entry(name.clone()).or_default().push(host_ms);
                by_pair.insert((result.kernel.clone(), name), host_ms);
            }
        }
        let means = |sums: BTreeMap<String, Vec<u64>>| -> BTreeMap<_, _> {
            let mean = |values: Vec<u64>| values.iter().sum::<u64>() / values.len() as u64;
            sums.into_iter()
                .map(|(name, values)| (name, mean(values)))
                .collect()
        };
        let scenario_ms = means(by_scenario);
        let mut kernels: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for ((kernel, scenario), ms) in by_pair {
            let (sum_ms, mean_ms) = kernels.entry(kernel).or_default();
            *sum_ms += ms;
            *mean_ms += scenario_ms.get(&scenario).copied().unwrap_or(0);
        }
        let percent = |(sum_ms, mean_ms): (u64, u64)| sum_ms * 100 / mean_ms.max(1);
        Self {
            boot_ms: means(boots),
            kernel_percent: kernels
                .into_iter()
                .map(|(name, sums)| (name, percent(sums)))
                .collect(),
            scenario_ms,
        }
    }

    /// As a file of `images/`.
    ///
    /// # Panics
    /// Never: names and numbers always serialize.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let text = toml::to_string(self).expect("names and numbers always serialize");
        format!(
            "# How long scenarios take, which guests are put in order by; `vmtest durations RESULTS` writes\n\
             # them from a results.json. In milliseconds of the host's time; only how they compare matters.\n\n{text}"
        )
    }
}

/// What passed in a guest, and how long it took by the guest's clock. What did not says nothing of how long it takes.
fn of_guest<'a>(
    run: &'a RunResult,
    guest: &'a GuestResult,
) -> impl Iterator<Item = (&'a ScenarioResult, u64)> {
    let is_inside = |result: &&ScenarioResult| {
        result.kernel == guest.kernel
            && result.guest.as_ref() == Some(&guest.name)
            && result.outcome == Outcome::Passed
    };
    let inside = run.scenarios.iter().filter(is_inside);
    inside.filter_map(|result| Some((result, result.duration_ms?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        manifest::{kernels::Kernels, scenarios::Scenarios},
        report::sample,
    };

    #[test]
    fn every_name_is_one_of_the_lists() {
        let durations = Durations::load();
        let scenarios = Scenarios::load(None).expect("parses");
        for name in durations.scenario_ms.keys() {
            let is_known = scenarios.entries.iter().any(|entry| entry.name == *name);
            assert!(is_known, "{name}");
        }
        let kernels = Kernels::load(None).expect("parses");
        for name in durations.kernel_percent.keys() {
            let is_known = kernels.entries.iter().any(|entry| entry.name == *name);
            assert!(is_known, "{name}");
        }
    }

    #[test]
    fn the_file_is_as_the_program_writes_it() {
        assert_eq!(Durations::load().to_toml(), MEASURED);
    }

    /// A run of one guest that took 10 s, 2 s of it to boot, for two scenarios of 1 and 3 s of its own time.
    #[test]
    fn a_guests_time_is_divided_among_its_scenarios() {
        let mut run = sample::run();
        let mut scenario = run.scenarios.swap_remove(0);
        scenario.outcome = Outcome::Passed;
        scenario.guest = Some("shared".into());
        scenario.kernel = "6.1".into();
        let of = |name: &str, duration_ms| ScenarioResult {
            scenario: name.into(),
            duration_ms: Some(duration_ms),
            ..scenario.clone()
        };
        run.scenarios = vec![of("one", 1_000), of("two", 3_000)];
        let guest = serde_json::json!({
            "kernel": "6.1", "release": null, "name": "shared", "end": "finished",
            "boot_ms": 2_000, "duration_ms": 10_000, "boot_reports": [],
        });
        run.guests = vec![serde_json::from_value(guest).expect("a guest's result")];
        let durations = Durations::of_run(&run);
        let expected = [("one".to_owned(), 2_000), ("two".to_owned(), 6_000)];
        assert_eq!(durations.scenario_ms, expected.into());
        assert_eq!(durations.kernel_percent, [("6.1".to_owned(), 100)].into());
        let boots: Vec<_> = durations.boot_ms.into_values().collect();
        assert_eq!(boots, [2_000]);
    }
}
