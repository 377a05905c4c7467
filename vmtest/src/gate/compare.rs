//! How the detector's probes are attached.

use super::{
    Coverage, Finding, Measured, Rule, Rules, Standing, State,
    finding::{nothing_left, words, worse},
    measured::evidence,
};

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
                    Standing::NotCompared
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
    let detail = if !new.lost.is_empty() {
        format!("lost: {}", new.lost.join("; "))
    } else if old.is_none() {
        "the detector has no use for it on the baseline".to_owned()
    } else {
        String::new()
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
