//! What is there or not: probes, exposures, outcomes of scenarios.

use super::{
    Coverage, Finding, Measured, Rule, Rules, Standing, State,
    judge::worse,
    measured::{Ending, evidence},
    rules::Level,
};
use crate::outcome::Outcome;

/// Why a number or a fact is missing.
pub(super) const NOTHING_LEFT: &str =
    "the candidate has nothing to compare: see how its scenarios ended";

/// Answers of `fslockup check`: `yes`, `no`, or why it can't be told.
const YES: &str = "yes";
const NO: &str = "no";

/// Where the share of a removal's cost in a watch's is over this, the removal walks.
const WALKS_SHARE_MIN: f64 = 0.05;

fn words(rule: Rule, subject: impl Into<String>) -> Finding {
    Finding {
        rule,
        subject: subject.into(),
        standing: Standing::NotCompared,
        baseline: None,
        candidate: None,
        baseline_value: None,
        candidate_value: None,
        limit_value: None,
        detail: String::new(),
        evidence: Vec::new(),
    }
}

/// Each probe of both kernels.
pub(super) fn coverage(baseline: &Measured, candidate: &Measured, rules: &Rules) -> Vec<Finding> {
    let Some(new) = &candidate.coverage else {
        let old = baseline.coverage.iter();
        let lost = old.map(|old| {
            nothing_left(
                Rule::LostProbe,
                "attached probes",
                rules.lost_probe.level,
                &old.evidence,
            )
        });
        return lost.collect();
    };
    let old = baseline.coverage.as_ref();
    let of_old = |name: &str| old.and_then(|old| old.value.iter().find(|one| one.probe == name));
    let evidence = evidence(old, Some(new));
    let mut findings: Vec<Finding> = new
        .value
        .iter()
        .map(|probe| Finding {
            evidence: evidence.clone(),
            ..of_probe(of_old(&probe.probe), probe, rules)
        })
        .collect();
    // Some are of use on some kernels only: where spinlocks sleep nobody is kept from running.
    for probe in old.iter().flat_map(|old| &old.value) {
        if new.value.iter().all(|one| one.probe != probe.probe) {
            findings.push(Finding {
                standing: if probe.is_required {
                    worse(rules.lost_probe.level)
                } else {
                    Standing::Same
                },
                baseline: Some(described(probe)),
                detail: "the detector has no use for it on this kernel".to_owned(),
                evidence: evidence.clone(),
                ..words(rule_of(probe), format!("probe {}", probe.probe))
            });
        }
    }
    findings
}

fn rule_of(probe: &Coverage) -> Rule {
    if probe.is_required && probe.state == State::Missing {
        Rule::LostProbe
    } else {
        Rule::LostCoverage
    }
}

fn of_probe(old: Option<&Coverage>, new: &Coverage, rules: &Rules) -> Finding {
    let rule = rule_of(new);
    let standing = match old.map(|old| old.state) {
        _ if rule == Rule::LostProbe => worse(rules.lost_probe.level),
        None => Standing::NotCompared,
        Some(old) if new.state < old => worse(rules.lost_coverage.level),
        Some(old) if new.state > old => Standing::Better,
        Some(_) => Standing::Same,
    };
    let detail = if new.lost.is_empty() {
        String::new()
    } else {
        format!("lost: {}", new.lost.join("; "))
    };
    Finding {
        standing,
        baseline: old.map(described),
        candidate: Some(described(new)),
        detail,
        ..words(rule, format!("probe {}", new.probe))
    }
}

fn described(probe: &Coverage) -> String {
    if probe.targets.is_empty() {
        probe.state.word().to_owned()
    } else {
        format!("{} ({})", probe.state.word(), probe.targets.join(", "))
    }
}

/// A finding for what only the baseline has.
fn nothing_left(rule: Rule, subject: &str, level: Level, evidence: &str) -> Finding {
    Finding {
        standing: worse(level),
        detail: NOTHING_LEFT.to_owned(),
        evidence: vec![evidence.to_owned()],
        ..words(rule, subject)
    }
}

/// Where the kernels walk: what `fslockup check` says, and whether a removal cost a walk.
pub(super) fn exposure(baseline: &Measured, candidate: &Measured, rules: &Rules) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let (Some(old), None) = (&baseline.exposure, &candidate.exposure) {
        findings.push(nothing_left(
            Rule::Exposure,
            "exposure",
            rules.exposure.level,
            &old.evidence,
        ));
    }
    if let Some(new) = &candidate.exposure {
        let old = baseline.exposure.as_ref();
        for (name, answer) in &new.value {
            let was = old.and_then(|old| old.value.get(name));
            let standing = match (was.map(String::as_str), answer.as_str()) {
                (Some(was), now) if was == now => Standing::Same,
                (Some(YES), NO) => Standing::Better,
                (None, _) | (Some(_), NO) => Standing::NotCompared,
                (Some(_), _) => worse(rules.exposure.level),
            };
            findings.push(Finding {
                standing,
                baseline: was.cloned(),
                candidate: Some(answer.clone()),
                evidence: evidence(old, Some(new)),
                ..words(Rule::Exposure, name.replace('_', " "))
            });
        }
    }
    findings.extend(measured_removal(baseline, candidate, rules));
    findings
}

/// Beside what the detector concludes from a kernel's functions: does a removal cost what a walk costs?
fn measured_removal(baseline: &Measured, candidate: &Measured, rules: &Rules) -> Option<Finding> {
    let (old, new) = (removal_walks(baseline), removal_walks(candidate)?);
    let standing = match (old, new) {
        (None, _) => Standing::NotCompared,
        (Some(true), false) => Standing::Better,
        (Some(false), true) => worse(rules.exposure.level),
        _ => Standing::Same,
    };
    let word = |walks: bool| if walks { YES } else { NO }.to_owned();
    Some(Finding {
        standing,
        baseline: old.map(word),
        candidate: Some(word(new)),
        evidence: evidence(baseline.curves.as_ref(), candidate.curves.as_ref()),
        ..words(Rule::Exposure, "walk on removal, by its cost")
    })
}

fn removal_walks(kernel: &Measured) -> Option<bool> {
    let curves = &kernel.curves.as_ref()?.value;
    let cost = |action: &str, children: &str| {
        let is_it = |one: &&super::MeasuredCurve| {
            one.curve.action == action && one.curve.children == children
        };
        Some(curves.iter().find(is_it)?.line.instructions_per_child)
    };
    let walks =
        |children| Some(cost("removal", children)? >= cost("watch", children)? * WALKS_SHARE_MIN);
    Some(walks("negative")? || walks("positive")?)
}

/// How each scenario ended on both.
pub(super) fn scenarios(baseline: &Measured, candidate: &Measured, rules: &Rules) -> Vec<Finding> {
    let of = |kernel: &'_ Measured, name: &str| -> Option<Ending> {
        kernel
            .endings
            .iter()
            .find(|one| one.scenario == name)
            .cloned()
    };
    let mut findings: Vec<Finding> = candidate
        .endings
        .iter()
        .map(|new| of_scenario(of(baseline, &new.scenario).as_ref(), new, rules))
        .collect();
    for old in &baseline.endings {
        if of(candidate, &old.scenario).is_none() {
            findings.push(Finding {
                baseline: Some(old.outcome.word().to_owned()),
                detail: "it does not run on the candidate, or was not asked for".to_owned(),
                evidence: vec![old.evidence.clone()],
                ..words(Rule::Scenario, format!("scenario {}", old.scenario))
            });
        }
    }
    findings
}

fn of_scenario(old: Option<&Ending>, new: &Ending, rules: &Rules) -> Finding {
    let passed = |ending: &Ending| ending.outcome == Outcome::Passed;
    let standing = match (old.map(passed), passed(new)) {
        (None, _) => Standing::NotCompared,
        (Some(true), false) => worse(rules.scenario.level),
        (Some(false), true) => Standing::Better,
        (Some(true), true) | (Some(false), false) => Standing::Same,
    };
    Finding {
        standing,
        baseline: old.map(|old| old.outcome.word().to_owned()),
        candidate: Some(new.outcome.word().to_owned()),
        detail: new.detail.clone(),
        evidence: old
            .into_iter()
            .chain([new])
            .map(|one| one.evidence.clone())
            .collect(),
        ..words(Rule::Scenario, format!("scenario {}", new.scenario))
    }
}
