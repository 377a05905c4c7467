//! What is a number: waits, times, what the verifier went through.

use super::{
    Finding, Measured, Ratio, Rule, Rules, Standing,
    finding::{NOTHING_LEFT, worse},
    line::{decimal, precise, rounded},
    measured::{Sourced, evidence},
    rules::Level,
};

/// A number of both kernels with what to say about it.
pub(super) struct Number<'a> {
    pub(super) rule: Rule,
    pub(super) ratio: Ratio,
    pub(super) subject: &'a str,
    pub(super) unit: &'a str,
    /// Places behind the point.
    pub(super) places: usize,
    /// Over this the candidate's is warned of.
    pub(super) warn_limit: Option<f64>,
    /// How far repetitions of the measurement are apart: what they leave open is a warning.
    pub(super) spread: f64,
}

impl<'a> Number<'a> {
    pub(super) fn new(
        rule: Rule,
        ratio: Ratio,
        subject: &'a str,
        unit: &'a str,
        places: usize,
    ) -> Self {
        Self {
            rule,
            ratio,
            subject,
            unit,
            places,
            warn_limit: None,
            spread: 0.0,
        }
    }

    pub(super) fn compare(
        &self,
        old: Option<&Sourced<f64>>,
        new: Option<&Sourced<f64>>,
    ) -> Option<Finding> {
        let standing = match (old, new) {
            (None, None) => return None,
            (None, Some(_)) => Standing::NotCompared,
            (Some(_), None) => worse(self.ratio.level),
            (Some(old), Some(new)) => self.standing(old.value, new.value),
        };
        let text =
            |one: &Sourced<f64>| format!("{} {}", decimal(one.value, self.places), self.unit);
        let limit = |old: &Sourced<f64>| {
            let limit = self.ratio.limit(old.value);
            let is_warned = standing == Standing::Warn;
            rounded(self.warn_limit.filter(|_| is_warned).unwrap_or(limit))
        };
        let detail = if new.is_none() { NOTHING_LEFT } else { "" };
        Some(Finding {
            rule: self.rule,
            subject: self.subject.to_owned(),
            standing,
            baseline: old.map(text),
            candidate: new.map(text),
            baseline_value: old.map(|one| one.value),
            candidate_value: new.map(|one| one.value),
            limit_value: old.map(limit),
            detail: detail.to_owned(),
            evidence: evidence(old, new),
        })
    }

    fn standing(&self, old: f64, new: f64) -> Standing {
        let limit = self.ratio.limit(old);
        let may_warn = self.ratio.level != Level::Ignore;
        let is_over_warn_limit = self.warn_limit.is_some_and(|limit| new > limit);
        if new - self.spread > limit {
            worse(self.ratio.level)
        } else if may_warn && (new + self.spread > limit || is_over_warn_limit) {
            Standing::Warn
        } else if may_warn && old - self.spread > self.ratio.limit(new) {
            Standing::Better
        } else {
            Standing::Same
        }
    }
}

/// The longest wait, in walks, and how many waited.
pub(super) fn contention(baseline: &Measured, candidate: &Measured, rules: &Rules) -> Vec<Finding> {
    type Part = fn(&(f64, f64)) -> f64;
    let parts: [(&str, &str, Part, usize); 2] = [
        (
            "longest wait for the walk's locks",
            "walks",
            |both| both.0,
            2,
        ),
        ("waiters of a walk", "waiters", |both| both.1, 0),
    ];
    let found = parts
        .into_iter()
        .filter_map(|(subject, unit, part, places)| {
            let of = |kernel: &Measured| {
                kernel.contention.as_ref().map(|both| Sourced {
                    value: part(&both.value),
                    evidence: both.evidence.clone(),
                })
            };
            let number = Number::new(Rule::Contention, rules.contention, subject, unit, places);
            number.compare(of(baseline).as_ref(), of(candidate).as_ref())
        });
    found.collect()
}

/// How long it takes until anything runs, and until nothing does.
pub(super) fn times(baseline: &Measured, candidate: &Measured, rules: &Rules) -> Vec<Finding> {
    let number = |rule, ratio, subject| Number::new(rule, ratio, subject, "ms", 0);
    let boot = number(Rule::BootTime, rules.boot_time, "boot");
    let attach = number(
        Rule::AttachTime,
        rules.attach_time,
        "attaching the detector",
    );
    let stop = number(Rule::StopTime, rules.stop_time, "stopping the detector");
    [
        boot.compare(baseline.boot_ms.as_ref(), candidate.boot_ms.as_ref()),
        attach.compare(baseline.attach_ms.as_ref(), candidate.attach_ms.as_ref()),
        stop.compare(baseline.stop_ms.as_ref(), candidate.stop_ms.as_ref()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What the verifier went through, of each program that both kernels have.
pub(super) fn verifier(baseline: &Measured, candidate: &Measured, rules: &Rules) -> Vec<Finding> {
    let (Some(old), Some(new)) = (
        &baseline.verified_instructions,
        &candidate.verified_instructions,
    ) else {
        return Vec::new();
    };
    let programs = old
        .value
        .keys()
        .filter(|name| new.value.contains_key(*name));
    let found = programs.filter_map(|name| {
        let of = |all: &Sourced<std::collections::BTreeMap<String, u64>>| Sourced {
            value: precise(all.value[name]),
            evidence: all.evidence.clone(),
        };
        let subject = format!("program {name}");
        let number = Number::new(
            Rule::VerifiedInstructions,
            rules.verified_instructions,
            &subject,
            "instructions verified",
            0,
        );
        number.compare(Some(&of(old)), Some(&of(new)))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repetitions_leave_open_is_a_warning() {
        let ratio = Ratio {
            level: Level::Fail,
            ratio_max: 1.25,
            difference_min: 4.0,
        };
        let standing = |spread, warn_limit, old, new| {
            let number = Number {
                spread,
                warn_limit,
                ..Number::new(Rule::WalkCost, ratio, "a", "b", 2)
            };
            number.standing(old, new)
        };
        assert_eq!(standing(0.0, None, 100.0, 126.0), Standing::Fail);
        assert_eq!(standing(0.5, None, 100.0, 126.0), Standing::Fail);
        assert_eq!(standing(2.0, None, 100.0, 126.0), Standing::Warn);
        assert_eq!(standing(2.0, None, 100.0, 124.0), Standing::Warn);
        assert_eq!(standing(2.0, None, 100.0, 120.0), Standing::Same);
        assert_eq!(standing(0.0, Some(110.0), 100.0, 111.0), Standing::Warn);
        assert_eq!(standing(0.0, None, 126.0, 100.0), Standing::Better);
        assert_eq!(standing(2.0, None, 126.0, 100.0), Standing::Same);
    }
}
