//! What is a number: costs, waits, times.

use super::{
    Finding, Measured, MeasuredCurve, Ratio, Rule, Rules, Standing, compare::NOTHING_LEFT,
    judge::worse, line::rounded, measured::Sourced, rules::Level,
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
        // 0.0 added: a slope of -0.001 is no "-0.00".
        let round = |value: f64| (value * 100.0).round() / 100.0 + 0.0;
        let text =
            |one: &Sourced<f64>| format!("{:.*} {}", self.places, round(one.value), self.unit);
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
            evidence: old
                .into_iter()
                .chain(new)
                .map(|one| one.evidence.clone())
                .collect(),
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
    let curves = |kernel: &Measured| -> Vec<Sourced<MeasuredCurve>> {
        let of_one = |all: &Sourced<Vec<MeasuredCurve>>| {
            let one = |curve: &MeasuredCurve| Sourced {
                value: curve.clone(),
                evidence: all.evidence.clone(),
            };
            all.value.iter().map(one).collect::<Vec<_>>()
        };
        kernel.curves.as_ref().map(of_one).unwrap_or_default()
    };
    let (old, new) = (curves(baseline), curves(candidate));
    let mut subjects: Vec<String> = Vec::new();
    for curve in old.iter().chain(&new) {
        if !subjects.contains(&curve.value.subject()) {
            subjects.push(curve.value.subject());
        }
    }
    let of = |all: &[Sourced<MeasuredCurve>], subject: &str| {
        all.iter()
            .find(|one| one.value.subject() == subject)
            .cloned()
    };
    let found = subjects.into_iter().filter_map(|subject| {
        let (old, new) = (of(&old, &subject), of(&new, &subject));
        let slope = |one: &Sourced<MeasuredCurve>| Sourced {
            value: one.value.line.instructions_per_child,
            evidence: one.evidence.clone(),
        };
        let number = Number {
            rule: Rule::WalkCost,
            ratio: &rules.walk_cost,
            subject,
            unit: "instructions per child",
            places: 2,
        };
        let mut finding = number.compare(
            old.as_ref().map(slope).as_ref(),
            new.as_ref().map(slope).as_ref(),
        )?;
        if let Some(new) = &new {
            finding.detail = format!(
                "spread of repetitions {:.2}",
                new.value.line.spread_instructions_per_child
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
