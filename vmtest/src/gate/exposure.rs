//! Where the kernels walk: as `fslockup check` concludes it, as costs show it, and whether the two agree.

use std::collections::BTreeSet;

use super::{
    Finding, Measured, Rule, Rules, Standing,
    finding::{nothing_left, words, worse},
    measured::evidence,
    walk::Class,
};

/// Answers of `fslockup check`: `yes`, `no`, or why it can't be told.
const YES: &str = "yes";
const NO: &str = "no";

/// Where the share of a removal's cost in a watch's is over this, the removal walks.
const WALKS_SHARE_MIN: f64 = 0.05;

const CHILDREN: [&str; 2] = ["negative", "positive"];

/// Each exposure of both kernels, and each claim of the candidate's that was measured.
pub(super) fn exposure(baseline: &Measured, candidate: &Measured, rules: &Rules) -> Vec<Finding> {
    let mut findings = claimed(baseline, candidate, rules);
    findings.extend(measured_removal(baseline, candidate, rules));
    findings.extend(wrong_claims(baseline, candidate, rules));
    findings
}

fn claimed(baseline: &Measured, candidate: &Measured, rules: &Rules) -> Vec<Finding> {
    let (old, new) = (baseline.exposure.as_ref(), candidate.exposure.as_ref());
    if let (Some(old), None) = (old, new) {
        return vec![nothing_left(
            Rule::Exposure,
            "exposure",
            rules.exposure.level,
            &old.evidence,
        )];
    }
    let both = [old, new].into_iter().flatten();
    let names: BTreeSet<&String> = both.flat_map(|one| one.value.keys()).collect();
    let finding = |name: &String| {
        let of = |one: Option<&super::Sourced<std::collections::BTreeMap<String, String>>>| {
            one.and_then(|one| one.value.get(name)).cloned()
        };
        let (was, is) = (of(old), of(new));
        let (standing, detail) = match (was.as_deref(), is.as_deref()) {
            (None, _) => (Standing::NotCompared, "the baseline's check has no answer"),
            (_, None) => (Standing::NotCompared, "the candidate's check has no answer"),
            (Some(YES), Some(YES)) | (Some(NO), Some(NO)) => (Standing::Same, ""),
            (Some(YES), Some(NO)) => (Standing::Better, ""),
            // What can't be told any more may be worse.
            (Some(YES | NO), Some(_)) => (worse(rules.exposure.level), ""),
            (Some(_), Some(_)) => (Standing::NotCompared, "it can't be told of the baseline"),
        };
        Finding {
            standing,
            baseline: was,
            candidate: is,
            detail: detail.to_owned(),
            evidence: evidence(old, new),
            ..words(Rule::Exposure, name.replace('_', " "))
        }
    };
    names.into_iter().map(finding).collect()
}

/// Does a removal cost what a walk costs? Of the kinds of children that both were measured with.
fn measured_removal(baseline: &Measured, candidate: &Measured, rules: &Rules) -> Option<Finding> {
    let walks = |kernel| CHILDREN.map(|children| removal_walks(kernel, children));
    let (mut old, mut new) = (walks(baseline), walks(candidate));
    let is_of_both = |at: usize| old[at].is_some() && new[at].is_some();
    let of_both = [is_of_both(0), is_of_both(1)];
    if of_both.contains(&true) {
        for at in 0..CHILDREN.len() {
            old[at] = old[at].filter(|_| of_both[at]);
            new[at] = new[at].filter(|_| of_both[at]);
        }
    }
    let any = |walks: [Option<bool>; 2]| {
        walks
            .into_iter()
            .flatten()
            .reduce(|one, other| one || other)
    };
    let (old, new) = (any(old), any(new));
    let standing = match (old, new) {
        (None, None) => return None,
        (Some(true), Some(false)) => Standing::Better,
        (Some(false), Some(true)) => worse(rules.exposure.level),
        (Some(_), Some(_)) => Standing::Same,
        _ => Standing::NotCompared,
    };
    Some(Finding {
        standing,
        baseline: old.map(answer),
        candidate: new.map(answer),
        evidence: evidence(baseline.curves.as_ref(), candidate.curves.as_ref()),
        ..words(Rule::Exposure, "walk on removal, by its cost")
    })
}

fn answer(walks: bool) -> String {
    if walks { YES } else { NO }.to_owned()
}

/// Whether the removal of a watch walks over these children; none where that was not measured.
fn removal_walks(kernel: &Measured, children: &str) -> Option<bool> {
    let cost = |action: &str| {
        let curve = kernel.curve(&format!("{action}, {children} children"))?;
        Some(curve.line.instructions_per_child)
    };
    Some(cost("removal")? >= cost("watch")? * WALKS_SHARE_MIN)
}

/// Whether a first watch walks.
fn watch_walks(kernel: &Measured, children: &str) -> Option<bool> {
    let curve = kernel.curve(&format!("watch, {children} children"))?;
    Some(Class::by_instructions(curve.line.instructions_per_child) != Class::NotWalked)
}

/// What `check` says of the candidate against what was measured of it: where they disagree the detector is
/// blind for walks, or warns of what does not happen.
fn wrong_claims(baseline: &Measured, candidate: &Measured, rules: &Rules) -> Vec<Finding> {
    type Walks = fn(&Measured, &str) -> Option<bool>;
    let claims: [(&str, Walks); 2] = [
        ("walk_on_first_watch", watch_walks),
        ("walk_on_removal", removal_walks),
    ];
    let finding = |(name, walks): (&str, Walks)| {
        let both = |kernel: &Measured| {
            let said = kernel.exposure.as_ref()?.value.get(name)?.clone();
            let measured = CHILDREN
                .iter()
                .filter_map(|children| walks(kernel, children));
            let measured = measured.reduce(|one, other| one || other)?;
            (said == YES || said == NO).then(|| (said, answer(measured)))
        };
        let text = |(said, measured): &(String, String)| {
            if said == measured {
                format!("{said}, as measured")
            } else {
                format!("{said}, but {measured} by its cost")
            }
        };
        let new = both(candidate)?;
        Some(Finding {
            standing: if new.0 == new.1 {
                Standing::Same
            } else {
                worse(rules.wrong_claim.level)
            },
            baseline: both(baseline).as_ref().map(text),
            candidate: Some(text(&new)),
            evidence: [
                candidate.exposure.as_ref().map(|one| one.evidence.clone()),
                candidate.curves.as_ref().map(|one| one.evidence.clone()),
            ]
            .into_iter()
            .flatten()
            .collect(),
            ..words(
                Rule::WrongClaim,
                format!("check says of {}", name.replace('_', " ")),
            )
        })
    };
    claims.into_iter().filter_map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::sample;

    fn rules() -> Rules {
        Rules::load(None).expect("the defaults")
    }

    fn standing(findings: &[Finding], subject: &str) -> Standing {
        let found = findings.iter().find(|one| one.subject == subject);
        found
            .unwrap_or_else(|| panic!("no {subject}: {findings:#?}"))
            .standing
    }

    fn answered(kernel: &mut Measured, name: &str, answer: Option<&str>) {
        let answers = &mut kernel.exposure.as_mut().expect("exposure").value;
        match answer {
            Some(answer) => answers.insert(name.to_owned(), answer.to_owned()),
            None => answers.remove(name),
        };
    }

    #[test]
    fn an_answer_that_only_one_has_is_named() {
        for is_old in [true, false] {
            let (mut old, mut new) = (sample::measured("6.1"), sample::measured("6.1"));
            let without = if is_old { &mut old } else { &mut new };
            answered(without, "herd", None);
            let findings = exposure(&old, &new, &rules());
            assert_eq!(standing(&findings, "herd"), Standing::NotCompared);
        }
    }

    #[test]
    fn what_can_not_be_told_is_neither_better_nor_the_same() {
        let unknown = Some("unknown: no symbols");
        for (was, is, expected) in [
            (Some(NO), unknown, Standing::Fail),
            (Some(YES), unknown, Standing::Fail),
            (unknown, Some(YES), Standing::NotCompared),
            (unknown, Some(NO), Standing::NotCompared),
            (unknown, unknown, Standing::NotCompared),
        ] {
            let (mut old, mut new) = (sample::measured("6.1"), sample::measured("6.1"));
            answered(&mut old, "herd", was);
            answered(&mut new, "herd", is);
            let findings = exposure(&old, &new, &rules());
            assert_eq!(standing(&findings, "herd"), expected, "{was:?} {is:?}");
        }
    }

    fn without_curve(kernel: &mut Measured, subject: &str) {
        let curves = &mut kernel.curves.as_mut().expect("curves").value;
        let count = curves.len();
        curves.retain(|curve| curve.subject() != subject);
        assert_eq!(curves.len(), count - 1);
    }

    #[test]
    fn one_kind_of_children_is_enough_to_see_a_removal_walk() {
        let (walks, mut gone) = (sample::measured("6.1"), sample::measured("7.3"));
        without_curve(&mut gone, "removal, negative children");
        let subject = "walk on removal, by its cost";
        assert_eq!(
            standing(&exposure(&walks, &gone, &rules()), subject),
            Standing::Better
        );
        assert_eq!(
            standing(&exposure(&gone, &walks, &rules()), subject),
            Standing::Fail
        );
        without_curve(&mut gone, "removal, positive children");
        assert_eq!(
            standing(&exposure(&walks, &gone, &rules()), subject),
            Standing::NotCompared
        );
    }

    #[test]
    fn a_claim_that_the_cost_contradicts_fails() {
        let mut kernel = sample::measured("6.1");
        let subject = "check says of walk on removal";
        let findings = exposure(&kernel, &kernel, &rules());
        assert_eq!(standing(&findings, subject), Standing::Same);
        answered(&mut kernel, "walk_on_removal", Some(NO));
        let findings = exposure(&kernel, &kernel, &rules());
        assert_eq!(standing(&findings, subject), Standing::Fail);
        let found = findings.iter().find(|one| one.subject == subject);
        let said = found.and_then(|one| one.candidate.as_deref());
        assert_eq!(said, Some("no, but yes by its cost"));
        answered(&mut kernel, "walk_on_removal", Some("unknown: no symbols"));
        let findings = exposure(&kernel, &kernel, &rules());
        assert!(findings.iter().all(|one| one.subject != subject));
    }
}
