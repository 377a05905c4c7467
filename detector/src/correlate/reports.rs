//! Which of the kernel's own reports belong to an incident.

use super::{
    Correlator, Open,
    join::{Joined, span},
};
use crate::{event::Walk, model::Session};

impl Correlator {
    /// The kernel's reports for a walk: those near it in time, without the ones that name somebody
    /// of another walk. Each with whether it names somebody of this one.
    pub(super) fn reports_of(
        &self,
        session: &Session,
        place: usize,
        joined: &Joined,
    ) -> Vec<(usize, bool)> {
        let names = |at: usize, walk: &Walk, joined: &Joined| {
            let waits = joined
                .waits
                .iter()
                .map(|(place, _, _)| self.records.waits.get(*place));
            self.log.reports[at].names(walk, waits)
        };
        let walk = &self.open[place].found.walk;
        let near = |at: &usize| self.log.is_near(*at, span(walk));
        let others = || {
            let others = self.open.iter().enumerate();
            others.filter(|(other, _)| *other != place)
        };
        (0..self.log.reports.len())
            .filter(near)
            .map(|at| (at, names(at, walk, joined)))
            .filter(|(at, is_named)| {
                *is_named
                    || !self.log.reports[*at].is_claimed
                        && !others().any(|(_, Open { found: other, .. })| {
                            self.log.is_near(*at, span(&other.walk))
                                && names(
                                    *at,
                                    &other.walk,
                                    &Joined::of(session, &other.walk, &self.records),
                                )
                        })
            })
            .collect()
    }
}
