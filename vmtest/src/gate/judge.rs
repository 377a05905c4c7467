//! A candidate against the baseline, by the rules.

use super::{
    Finding, Judged, Measured, Rules, Standing,
    compare::{coverage, exposure, scenarios},
    costs::{contention, times, walk_cost},
    rules::Level,
};

/// Compares and judges.
#[must_use]
pub fn judge(baseline: &Measured, candidate: Measured, rules: &Rules) -> Judged {
    let mut findings = Vec::new();
    findings.extend(coverage(baseline, &candidate, rules));
    findings.extend(exposure(baseline, &candidate, rules));
    findings.extend(walk_cost(baseline, &candidate, rules));
    findings.extend(contention(baseline, &candidate, rules));
    findings.extend(scenarios(baseline, &candidate, rules));
    findings.extend(times(baseline, &candidate, rules));
    findings.sort_by_key(|finding| finding.standing);
    Judged {
        kernel: candidate,
        standing: findings
            .first()
            .map_or(Standing::NotCompared, |worst: &Finding| worst.standing),
        findings,
    }
}

/// How something stands that is worse.
pub(super) fn worse(level: Level) -> Standing {
    match level {
        Level::Fail => Standing::Fail,
        Level::Warn => Standing::Warn,
        Level::Ignore => Standing::Ignored,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::{Rule, State, sample};

    fn rules() -> Rules {
        Rules::load(None).expect("the defaults")
    }

    fn of(judged: &Judged, rule: Rule, subject: &str) -> Finding {
        let found = judged
            .findings
            .iter()
            .find(|one| one.rule == rule && one.subject.contains(subject));
        found
            .unwrap_or_else(|| panic!("no {rule} {subject}: {judged:#?}"))
            .clone()
    }

    #[test]
    fn a_kernel_is_as_good_as_itself() {
        let baseline = sample::measured("6.1");
        let judged = judge(&baseline, baseline.clone(), &rules());
        assert_eq!(
            judged.counts(),
            format!("{} as good", judged.findings.len())
        );
        assert!(judged.findings.len() > 15 && !judged.is_failed());
    }

    #[test]
    fn each_rule_finds_what_it_is_for() {
        let judged = judge(&sample::measured("6.1"), sample::measured("7.3"), &rules());
        for (rule, subject, standing) in [
            (Rule::LostProbe, "walk", Standing::Fail),
            (Rule::LostCoverage, "wait", Standing::Warn),
            (Rule::LostCoverage, "stall", Standing::Same),
            (Rule::LostCoverage, "fcntl", Standing::Better),
            (Rule::Scenario, "origin", Standing::Fail),
            (Rule::Scenario, "stall", Standing::NotCompared),
            (Rule::WalkCost, "watch, negative", Standing::Fail),
            (Rule::WalkCost, "watch, positive", Standing::Same),
            (Rule::WalkCost, "removal, positive", Standing::Better),
            (Rule::Exposure, "walk on removal", Standing::Better),
            (Rule::Exposure, "by its cost", Standing::Better),
            (Rule::Exposure, "herd", Standing::Fail),
            (Rule::Contention, "longest wait", Standing::Warn),
            (Rule::Contention, "waiters", Standing::Same),
            (Rule::AttachTime, "attaching", Standing::Ignored),
            (Rule::BootTime, "boot", Standing::Same),
        ] {
            let finding = of(&judged, rule, subject);
            assert_eq!(finding.standing, standing, "{finding:?}");
            assert!(!finding.evidence.is_empty(), "{finding:?}");
        }
        assert!(judged.is_failed() && judged.standing == Standing::Fail);
    }

    #[test]
    fn the_level_of_a_rule_is_what_follows() {
        let mut rules = rules();
        rules.walk_cost.level = Level::Ignore;
        rules.scenario.level = Level::Warn;
        let judged = judge(&sample::measured("6.1"), sample::measured("7.3"), &rules);
        assert_eq!(
            of(&judged, Rule::WalkCost, "watch, negative").standing,
            Standing::Ignored
        );
        assert_eq!(
            of(&judged, Rule::Scenario, "origin").standing,
            Standing::Warn
        );
    }

    #[test]
    fn a_candidate_without_figures_is_no_better() {
        let baseline = sample::measured("6.1");
        let bare = Measured {
            coverage: None,
            exposure: None,
            curves: None,
            contention: None,
            ..baseline.clone()
        };
        let judged = judge(&baseline, bare.clone(), &rules());
        assert_eq!(
            of(&judged, Rule::LostProbe, "probes").standing,
            Standing::Fail
        );
        assert_eq!(
            of(&judged, Rule::Exposure, "exposure").standing,
            Standing::Fail
        );
        assert_eq!(
            of(&judged, Rule::WalkCost, "removal").standing,
            Standing::Fail
        );
        assert_eq!(
            of(&judged, Rule::Contention, "longest").standing,
            Standing::Warn
        );
        let judged = judge(&bare, baseline, &rules());
        assert!(!judged.is_failed(), "{judged:#?}");
        assert_eq!(
            of(&judged, Rule::WalkCost, "removal").standing,
            Standing::NotCompared
        );
    }

    #[test]
    fn a_kernel_that_neither_can_watch_fails() {
        let mut blind = sample::measured("6.1");
        for probe in blind.coverage.iter_mut().flat_map(|all| &mut all.value) {
            probe.state = State::Missing;
        }
        let judged = judge(&blind.clone(), blind, &rules());
        assert_eq!(
            of(&judged, Rule::LostProbe, "walk").standing,
            Standing::Fail
        );
    }

    #[test]
    fn what_can_not_be_told_any_more_is_worse_than_no() {
        let (baseline, mut candidate) = (sample::measured("6.1"), sample::measured("6.1"));
        for exposure in candidate.exposure.iter_mut() {
            exposure
                .value
                .insert("herd".into(), "unknown: no symbols".into());
        }
        let judged = judge(&baseline, candidate, &rules());
        assert_eq!(of(&judged, Rule::Exposure, "herd").standing, Standing::Fail);
    }
}
