//! What is a number: costs, waits, times.

use super::{
    Finding, Measured, Ratio, Rule, Rules, Standing,
    compare::NOTHING_LEFT,
    judge::worse,
    line::{decimal, rounded},
    measured::{Sourced, evidence, kinds},
    rules::Level,
};

/// A number of both kernels with what to say about it.
struct Number<'a> {
    rule: Rule,
    ratio: &'a Ratio,
    subject: String,
    unit: &'a str,
    /// Places behind the point.
    places: usize,
}

impl Number<'_> {
    fn compare(&self, old: Option<&Sourced<f64>>, new: Option<&Sourced<f64>>) -> Option<Finding> {
        let standing = match (old, new) {
            (None, None) => return None,
            (None, Some(_)) => Standing::NotCompared,
            (Some(_), None) => worse(self.ratio.level),
            (Some(old), Some(new)) => self.standing(old.value, new.value),
        };
        let text =
            |one: &Sourced<f64>| format!("{} {}", decimal(one.value, self.places), self.unit);
        let detail = if new.is_none() { NOTHING_LEFT } else { "" };
        Some(Finding {
            rule: self.rule,
            subject: self.subject.clone(),
            standing,
            baseline: old.map(text),
            candidate: new.map(text),
            baseline_value: old.map(|one| one.value),
            candidate_value: new.map(|one| one.value),
            limit_value: old.map(|old| rounded(self.ratio.limit(old.value))),
            detail: detail.to_owned(),
            evidence: evidence(old, new),
        })
    }

    fn standing(&self, old: f64, new: f64) -> Standing {
        if new > self.ratio.limit(old) {
            worse(self.ratio.level)
        } else if old > self.ratio.limit(new) && self.ratio.level != Level::Ignore {
            Standing::Better
        } else {
            Standing::Same
        }
    }
}

/// Instructions for each child, of each curve.
pub(super) fn walk_cost(baseline: &Measured, candidate: &Measured, rules: &Rules) -> Vec<Finding> {
    let kinds = kinds(&[baseline, candidate]);
    let found = kinds.into_iter().filter_map(|kind| {
        let subject = kind.subject();
        let slope = |kernel: &Measured| {
            Some(Sourced {
                value: kernel.curve(&subject)?.line.instructions_per_child,
                evidence: kernel.curves.as_ref()?.evidence.clone(),
            })
        };
        let number = Number {
            rule: Rule::WalkCost,
            ratio: &rules.walk_cost,
            subject: subject.clone(),
            unit: "instructions per child",
            places: 2,
        };
        let mut finding = number.compare(slope(baseline).as_ref(), slope(candidate).as_ref())?;
        if let Some(new) = candidate.curve(&subject) {
            finding.detail = format!(
                "spread of repetitions {:.2}",
                new.line.spread_instructions_per_child
            );
        }
        Some(finding)
    });
    found.collect()
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
            let number = Number {
                rule: Rule::Contention,
                ratio: &rules.contention,
                subject: subject.to_owned(),
                unit,
                places,
            };
            number.compare(of(baseline).as_ref(), of(candidate).as_ref())
        });
    found.collect()
}

/// How long it takes until anything runs.
pub(super) fn times(baseline: &Measured, candidate: &Measured, rules: &Rules) -> Vec<Finding> {
    let number = |rule, ratio, subject: &str| Number {
        rule,
        ratio,
        subject: subject.to_owned(),
        unit: "ms",
        places: 0,
    };
    let boot = number(Rule::BootTime, &rules.boot_time, "boot");
    let attach = number(
        Rule::AttachTime,
        &rules.attach_time,
        "attaching the detector",
    );
    [
        boot.compare(baseline.boot_ms.as_ref(), candidate.boot_ms.as_ref()),
        attach.compare(baseline.attach_ms.as_ref(), candidate.attach_ms.as_ref()),
    ]
    .into_iter()
    .flatten()
    .collect()
}
