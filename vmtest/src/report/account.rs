//! Where the time of a run went.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{GuestResult, ScenarioResult};
use crate::protocol::TimesMs;

/// What scenarios spent, in milliseconds of the host's time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// What they say of themselves.
    times_ms: TimesMs,
    /// All of it.
    all_ms: f64,
}

impl Spent {
    /// Adds one. A scenario counts in the guest's time, which in instruction time is another one: its shares are
    /// taken of the host's.
    pub fn add(&mut self, result: &ScenarioResult) {
        let host_ms = precise(result.host_ms.unwrap_or(0));
        self.all_ms += host_ms;
        let TimesMs {
            starts,
            stops,
            floods,
        } = result.times_ms;
        let [starts, stops, floods] =
            [starts, stops, floods].map(|ms| if ms.is_finite() { ms.max(0.0) } else { 0.0 });
        let guest_ms = precise(result.duration_ms.unwrap_or(0)).max(starts + stops + floods);
        if guest_ms > 0.0 {
            let scale = host_ms / guest_ms;
            self.times_ms.starts += starts * scale;
            self.times_ms.stops += stops * scale;
            self.times_ms.floods += floods * scale;
        }
    }
}

/// Where the time of all jobs went, in milliseconds of the host's time: together it is the run's duration for
/// each job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// From QEMU's start to the guest's first message; all of a guest that sent none.
    pub boots_ms: u64,
    /// Starting detectors, until they are ready.
    pub starts_ms: u64,
    /// Stopping them.
    pub stops_ms: u64,
    /// Flooding directories.
    pub floods_ms: u64,
    /// What else scenarios did.
    pub scenarios_ms: u64,
    /// Before, between and behind scenarios: images, disks, modules, files, logs.
    pub between_ms: u64,
    /// Jobs without a guest: the end of the run, and kernels that had to be fetched.
    pub idle_ms: u64,
}

impl Account {
    /// That of a run.
    #[must_use]
    pub fn of(spent: &Spent, guests: &[GuestResult], jobs_count: usize, duration_ms: u64) -> Self {
        let sum = |of: fn(&GuestResult) -> u64| guests.iter().map(of).sum::<u64>();
        let guests_ms = sum(|guest| guest.duration_ms);
        let boots_ms = sum(|guest| guest.boot_ms.unwrap_or(guest.duration_ms));
        let jobs_ms = duration_ms.saturating_mul(jobs_count as u64);
        let whole = |ms: f64| {
            let rounded = Duration::try_from_secs_f64((ms + 0.5) / 1000.0);
            rounded.map_or(0, |time| {
                u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
            })
        };
        let TimesMs {
            starts,
            stops,
            floods,
        } = spent.times_ms;
        let (starts_ms, stops_ms, floods_ms) = (whole(starts), whole(stops), whole(floods));
        let scenarios_ms = whole(spent.all_ms);
        Self {
            boots_ms,
            starts_ms,
            stops_ms,
            floods_ms,
            scenarios_ms: scenarios_ms.saturating_sub(starts_ms + stops_ms + floods_ms),
            between_ms: guests_ms.saturating_sub(boots_ms + scenarios_ms),
            idle_ms: jobs_ms.saturating_sub(guests_ms),
        }
    }

    /// Those of two parts of a run.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            boots_ms: self.boots_ms + other.boots_ms,
            starts_ms: self.starts_ms + other.starts_ms,
            stops_ms: self.stops_ms + other.stops_ms,
            floods_ms: self.floods_ms + other.floods_ms,
            scenarios_ms: self.scenarios_ms + other.scenarios_ms,
            between_ms: self.between_ms + other.between_ms,
            idle_ms: self.idle_ms + other.idle_ms,
        }
    }

    /// A line for each part, the shares first.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let parts = [
            ("boots", self.boots_ms),
            ("starts of detectors", self.starts_ms),
            ("stops of detectors", self.stops_ms),
            ("floods", self.floods_ms),
            ("scenarios besides", self.scenarios_ms),
            ("between scenarios", self.between_ms),
            ("jobs without a guest", self.idle_ms),
        ];
        let all_ms = parts.iter().map(|(_, ms)| ms).sum::<u64>().max(1);
        parts
            .iter()
            .map(|(what, ms)| {
                format!(
                    "{:>5.1} % {:>8.1} s  {what}",
                    precise(*ms) * 100.0 / precise(all_ms),
                    precise(*ms) / 1000.0
                )
            })
            .collect()
    }
}

fn precise(ms: u64) -> f64 {
    ms as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_parts_are_the_whole() {
        let mut spent = Spent::default();
        let mut result = sample::run().scenarios.swap_remove(0);
        // In instruction time: a second of the guest took four of the host.
        (result.duration_ms, result.host_ms) = (Some(1_000), Some(4_000));
        result.times_ms = TimesMs {
            starts: 250.0,
            stops: 100.0,
            floods: 50.0,
        };
        spent.add(&result);
        result.times_ms.starts = f64::INFINITY;
        result.times_ms.stops = -1.0;
        result.times_ms.floods = 0.0;
        spent.add(&result);
        let guest = |boot_ms, duration_ms| GuestResult {
            kernel: "6.1".into(),
            release: None,
            name: "shared".into(),
            boots_tried_count: 1,
            end: "finished".into(),
            boot_ms,
            duration_ms,
            boot_reports: Vec::new(),
        };
        let guests = [guest(Some(500), 9_000), guest(None, 700)];
        let account = Account::of(&spent, &guests, 2, 10_000);
        let expected = Account {
            boots_ms: 1_200,
            starts_ms: 1_000,
            stops_ms: 400,
            floods_ms: 200,
            scenarios_ms: 6_400,
            between_ms: 500,
            idle_ms: 10_300,
        };
        assert_eq!(account, expected);
        assert_eq!(account.and(account).idle_ms, 20_600);
        let lines = account.lines();
        assert_eq!(lines[0], "  6.0 %      1.2 s  boots");
        assert_eq!(lines[6], " 51.5 %     10.3 s  jobs without a guest");
    }

    #[test]
    fn what_a_scenario_says_is_never_more_than_it_took() {
        let mut spent = Spent::default();
        let mut result = sample::run().scenarios.swap_remove(0);
        (result.duration_ms, result.host_ms) = (Some(1_000), Some(1_000));
        result.times_ms.starts = 3_000.0;
        spent.add(&result);
        let account = Account::of(&spent, &[], 1, 0);
        assert_eq!((account.starts_ms, account.scenarios_ms), (1_000, 0));
    }
}
