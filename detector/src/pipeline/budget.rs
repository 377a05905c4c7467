//! What the detector may cost its host: which probes to take away when it costs more, when to try them
//! again, and what an incident lacks meanwhile. Time comes from the measurements.

use crate::model::budget::{BudgetEvent, Change, Group};

/// So many measurements in a row must be over the budget: a burst is no reason.
const OVER_COUNT: u32 = 3;
/// First time away, in periods; it doubles each time.
const PAUSE_PERIODS: u64 = 6;
/// Longest time away, in first ones.
const PAUSE_FACTOR_MAX: u64 = 64;
/// A probe that takes less than this part of what is measured is not worth the loss.
const WORTHWHILE_DIVISOR: u64 = 10;
/// Of one CPU: 100 %.
const PPM: u64 = 1_000_000;

/// One measurement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Its end, CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// How long the programs were measured.
    pub measured_ns: u64,
    /// Run time of each group's programs meanwhile, on all CPUs, in the order of [`Group::ALL`].
    pub run_ns: [u64; 3],
    /// The same of all other programs.
    pub others_ns: u64,
    /// How long the process was watched.
    pub own_measured_ns: u64,
    /// Its CPU time meanwhile.
    pub own_ns: u64,
}

#[derive(Clone, Copy)]
enum Place {
    /// This kernel has none of its probes.
    Nowhere,
    Attached {
        since_ns: u64,
    },
    Detached {
        since_ns: u64,
        until_ns: u64,
        group_ppm: u64,
    },
}

#[derive(Clone, Copy)]
struct State {
    place: Place,
    pause_ns: u64,
}

/// The decisions.
pub struct Budget {
    limit_ppm: u64,
    first_pause_ns: u64,
    over_count: u32,
    is_exceeded: bool,
    /// Not told again before this.
    exceeded_next_ns: u64,
    exceeded_pause_ns: u64,
    states: [State; 3],
}

impl Budget {
    /// A budget, the time between measurements, and the groups that are attached.
    #[must_use]
    pub fn new(limit_ppm: u64, period_ns: u64, attached: &[Group]) -> Self {
        let first_pause_ns = period_ns.saturating_mul(PAUSE_PERIODS).max(1);
        Self {
            limit_ppm,
            first_pause_ns,
            over_count: 0,
            is_exceeded: false,
            exceeded_next_ns: 0,
            exceeded_pause_ns: first_pause_ns,
            states: Group::ALL.map(|group| State {
                place: if attached.contains(&group) {
                    Place::Attached { since_ns: 0 }
                } else {
                    Place::Nowhere
                },
                pause_ns: first_pause_ns,
            }),
        }
    }

    /// What a measurement leads to: one step at most, to be carried out by the caller.
    pub fn judge(&mut self, sample: &Sample) -> Option<BudgetEvent> {
        let share = |ns: u64, of_ns: u64| {
            u64::try_from(u128::from(ns) * u128::from(PPM) / u128::from(of_ns.max(1)))
                .unwrap_or(u64::MAX)
        };
        let group_ppm = sample.run_ns.map(|ns| share(ns, sample.measured_ns));
        let own_ppm = share(sample.own_ns, sample.own_measured_ns);
        let cpu_ppm = group_ppm
            .iter()
            .fold(own_ppm, |sum, ppm| sum.saturating_add(*ppm))
            .saturating_add(share(sample.others_ns, sample.measured_ns));
        let budget_ppm = self.limit_ppm;
        let event = |change, group: Option<Group>, pause_ns, away_ns| BudgetEvent {
            at_ns: sample.at_ns,
            change,
            group,
            cpu_ppm,
            group_ppm: group.map_or(0, |group| group_ppm[group.index()]),
            own_ppm,
            budget_ppm,
            pause_ns,
            away_ns,
            reason: None,
        };
        if cpu_ppm > self.limit_ppm {
            self.over_count += 1;
            if self.over_count < OVER_COUNT {
                return None;
            }
            self.over_count = 0;
            let Some(group) = self.dearest(&group_ppm, cpu_ppm) else {
                let event = event(Change::Exceeded, None, 0, 0);
                return self.tells_exceeded(sample.at_ns).then_some(event);
            };
            let pause_ns = self.states[group.index()].pause_ns;
            let event = event(Change::Detached, Some(group), pause_ns, 0);
            self.take_away(group, sample.at_ns, sample.at_ns, event.group_ppm);
            return Some(event);
        }
        self.over_count = 0;
        self.is_exceeded = false;
        self.forgive(sample.at_ns);
        let group = self.next_back(sample.at_ns)?;
        let away_ns = match self.states[group.index()].place {
            Place::Detached { since_ns, .. } => sample.at_ns.saturating_sub(since_ns),
            _ => 0,
        };
        let event = event(Change::Attached, Some(group), 0, away_ns);
        self.states[group.index()].place = Place::Attached {
            since_ns: sample.at_ns,
        };
        Some(event)
    }

    /// The kernel refused a group that was to come back: it stays away, and longer than before.
    pub fn refused(&mut self, attached: &BudgetEvent, reason: String) -> BudgetEvent {
        let mut pause_ns = 0;
        if let Some(group) = attached.group {
            pause_ns = self.states[group.index()].pause_ns;
            let since_ns = attached.at_ns.saturating_sub(attached.away_ns);
            self.take_away(group, since_ns, attached.at_ns, 0);
        }
        BudgetEvent {
            change: Change::Refused,
            pause_ns,
            reason: Some(reason),
            ..attached.clone()
        }
    }

    /// Once while it lasts, and seldom where it comes and goes.
    fn tells_exceeded(&mut self, now_ns: u64) -> bool {
        if self.is_exceeded || now_ns < self.exceeded_next_ns {
            return false;
        }
        self.is_exceeded = true;
        self.exceeded_next_ns = now_ns.saturating_add(self.exceeded_pause_ns);
        let longest_ns = self.first_pause_ns.saturating_mul(PAUSE_FACTOR_MAX);
        self.exceeded_pause_ns = self.exceeded_pause_ns.saturating_mul(2).min(longest_ns);
        true
    }

    fn take_away(&mut self, group: Group, since_ns: u64, now_ns: u64, group_ppm: u64) {
        let longest_ns = self.first_pause_ns.saturating_mul(PAUSE_FACTOR_MAX);
        let state = &mut self.states[group.index()];
        state.place = Place::Detached {
            since_ns,
            until_ns: now_ns.saturating_add(state.pause_ns),
            group_ppm,
        };
        state.pause_ns = state.pause_ns.saturating_mul(2).min(longest_ns);
    }

    /// The attached group that costs most, if that is worth it.
    fn dearest(&self, group_ppm: &[u64; 3], cpu_ppm: u64) -> Option<Group> {
        Group::ALL
            .into_iter()
            .filter(|group| matches!(self.states[group.index()].place, Place::Attached { .. }))
            .filter(|group| group_ppm[group.index()] >= cpu_ppm / WORTHWHILE_DIVISOR)
            .filter(|group| group_ppm[group.index()] > 0)
            // The first of those that cost the same.
            .min_by_key(|group| u64::MAX - group_ppm[group.index()])
    }

    /// The one whose time is over; of several the cheapest.
    fn next_back(&self, now_ns: u64) -> Option<Group> {
        Group::ALL
            .into_iter()
            .filter_map(|group| match self.states[group.index()].place {
                Place::Detached {
                    until_ns,
                    group_ppm,
                    ..
                } if until_ns <= now_ns => Some((group_ppm, group)),
                _ => None,
            })
            .min()
            .map(|(_, group)| group)
    }

    /// A group that stayed for twice its next pause starts anew.
    fn forgive(&mut self, now_ns: u64) {
        for state in &mut self.states {
            if let Place::Attached { since_ns } = state.place
                && now_ns.saturating_sub(since_ns) >= state.pause_ns.saturating_mul(2)
            {
                state.pause_ns = self.first_pause_ns;
            }
        }
    }
}

/// When which group was away: what incidents lack.
#[derive(Clone, Debug, Default)]
pub struct Absences([Absence; 3]);

#[derive(Clone, Copy, Debug, Default)]
struct Absence {
    since_ns: Option<u64>,
    /// The latest that is over.
    last: Option<(u64, u64)>,
    /// Of all that are over.
    total_ns: u64,
}

impl Absences {
    /// Notes a change.
    pub fn note(&mut self, event: &BudgetEvent) {
        let Some(group) = event.group else { return };
        let absence = &mut self.0[group.index()];
        match event.change {
            Change::Detached => absence.since_ns = absence.since_ns.or(Some(event.at_ns)),
            Change::Attached => {
                if let Some(since_ns) = absence.since_ns.take() {
                    let away_ns = event.at_ns.saturating_sub(since_ns);
                    absence.total_ns = absence.total_ns.saturating_add(away_ns);
                    absence.last = Some((since_ns, event.at_ns));
                }
            }
            Change::Refused | Change::Exceeded | Change::Unmeasured => {}
        }
    }

    /// What is not known of a walk, and why.
    #[must_use]
    pub fn degraded(&self, start_ns: u64, end_ns: u64) -> Vec<String> {
        let mut degraded = Vec::new();
        for group in Group::ALL {
            let absence = &self.0[group.index()];
            let is_away = absence.since_ns.is_some_and(|since_ns| since_ns < end_ns);
            let was_away = absence
                .last
                .is_some_and(|(since_ns, until_ns)| since_ns < end_ns && start_ns < until_ns);
            let name = group.name();
            if group == Group::Producers {
                // What was made while nobody counted is in the directory ever after.
                let now_ns = absence
                    .since_ns
                    .map_or(0, |since_ns| end_ns.saturating_sub(since_ns));
                let away_ns = absence.total_ns.saturating_add(now_ns);
                if away_ns > 0 {
                    degraded.push(format!(
                        "{name}: not counted for {} s in sum, their probes were detached to keep the CPU budget",
                        away_ns.div_ceil(1_000_000_000)
                    ));
                }
            } else if is_away || was_away {
                degraded.push(format!(
                    "{name}: not seen, their probe was detached to keep the CPU budget"
                ));
            }
        }
        degraded
    }
}

#[cfg(test)]
mod tests;
