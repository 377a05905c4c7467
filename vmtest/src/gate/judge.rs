//! A candidate against the baseline, by the rules.

use super::{
    Finding, Judged, Measured, Rule, Rules, Standing,
    boots::boots,
    compare::coverage,
    costs::{contention, times, verifier},
    endings::scenarios,
    exposure::exposure,
    measured::{COST, COVERAGE},
    rules::Level,
    walk::{memory, walk},
};

/// Compares and judges.
#[must_use]
pub fn judge(baseline: &Measured, candidate: Measured, rules: &Rules) -> Judged {
    let mut findings = Vec::new();
    findings.extend(coverage(baseline, &candidate, rules));
    findings.extend(exposure(baseline, &candidate, rules));
    findings.extend(walk(baseline, &candidate, rules));
    findings.extend(memory(baseline, &candidate, rules));
    findings.extend(contention(baseline, &candidate, rules));
    findings.extend(scenarios(baseline, &candidate, rules));
    findings.extend(boots(baseline, &candidate, rules));
    findings.extend(times(baseline, &candidate, rules));
    findings.extend(verifier(baseline, &candidate, rules));
    findings.sort_by_key(|finding| finding.standing);
    let lacking = lacking(baseline, &candidate, &findings, rules);
    Judged {
        kernel: candidate,
        standing: findings
            .first()
            .map_or(Standing::NotCompared, |worst: &Finding| worst.standing),
        findings,
        lacking,
    }
}

/// What a verdict can't do without and was not compared, each with the reason: whether the detector still
/// works, what a walk does, and where the kernel walks. What the rules ignore may lack.
fn lacking(
    baseline: &Measured,
    candidate: &Measured,
    findings: &[Finding],
    rules: &Rules,
) -> Vec<String> {
    let is_compared = |rule: Rule| {
        let is_so = |finding: &Finding| {
            finding.rule == rule
                && finding.standing != Standing::NotCompared
                && finding.baseline.is_some()
                && finding.candidate.is_some()
        };
        findings.iter().any(is_so)
    };
    let required = |kernel: &Measured| {
        let probes = kernel.coverage.iter().flat_map(|all| &all.value);
        probes.filter(|probe| probe.is_required).count()
    };
    let needed = [
        (
            Rule::LostProbe,
            required(baseline) > 0 && required(candidate) > 0,
            COVERAGE,
        ),
        (Rule::WalkClass, is_compared(Rule::WalkClass), COST),
        (Rule::Exposure, is_compared(Rule::Exposure), COVERAGE),
    ];
    let lacking = needed
        .into_iter()
        .filter(|(rule, is_compared, _)| !is_compared && rules.level(*rule) != Level::Ignore);
    lacking
        .map(|(rule, _, scenario)| {
            let said: Vec<String> = [baseline, candidate]
                .iter()
                .map(|kernel| how(kernel, scenario))
                .collect();
            format!("{rule} was not compared: {scenario} {}", said.join(", "))
        })
        .collect()
}

/// How a scenario ended on a kernel.
fn how(kernel: &Measured, scenario: &str) -> String {
    let ending = kernel.endings.iter().find(|one| one.scenario == scenario);
    let name = &kernel.kernel;
    match ending {
        None => format!("did not run on {name}"),
        Some(ending) if ending.detail.is_empty() => format!("{} on {name}", ending.outcome),
        Some(ending) => format!("{} on {name} ({})", ending.outcome, ending.detail),
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
            (Rule::LostCoverage, "stall", Standing::NotCompared),
            (Rule::LostCoverage, "fcntl", Standing::Better),
            (Rule::Scenario, "origin", Standing::Fail),
            (Rule::Scenario, "stall", Standing::Fail),
            (Rule::Scenario, "kprobe", Standing::NotCompared),
            (Rule::WalkClass, "watch, negative", Standing::Same),
            (Rule::WalkTime, "watch, negative", Standing::Fail),
            (Rule::WalkCost, "watch, negative", Standing::Same),
            (Rule::WalkCost, "watch, positive", Standing::Same),
            (Rule::WalkClass, "removal, positive", Standing::Better),
            (
                Rule::ChildMemory,
                "touched of each, negative",
                Standing::Warn,
            ),
            (Rule::ChildMemory, "a dentry", Standing::Same),
            (Rule::WrongClaim, "walk on removal", Standing::Same),
            (Rule::Boots, "guests", Standing::Warn),
            (Rule::BootReports, "warning at boot", Standing::Fail),
            (Rule::VerifiedInstructions, "walk_begin", Standing::Same),
            (Rule::StopTime, "stopping", Standing::Same),
            (Rule::WalkCost, "removal, positive", Standing::Better),
            (Rule::Exposure, "walk on removal", Standing::Better),
            (Rule::Exposure, "by its cost", Standing::Better),
            (Rule::Exposure, "herd", Standing::Fail),
            (Rule::Contention, "longest wait", Standing::Warn),
            (Rule::Contention, "waiters", Standing::Same),
            (Rule::AttachTime, "attaching", Standing::Warn),
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
        rules.walk_time.level = Level::Ignore;
        rules.scenario.level = Level::Warn;
        let judged = judge(&sample::measured("6.1"), sample::measured("7.3"), &rules);
        assert_eq!(
            of(&judged, Rule::WalkTime, "watch, negative").standing,
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
            of(&judged, Rule::WalkClass, "removal").standing,
            Standing::Fail
        );
        assert_eq!(
            of(&judged, Rule::Contention, "longest").standing,
            Standing::Warn
        );
        let judged = judge(&bare, baseline, &rules());
        assert!(!judged.is_failed(), "{judged:#?}");
        assert_eq!(judged.word(), "not judged");
        assert_eq!(judged.lacking.len(), 3, "{:?}", judged.lacking);
        let no_walk = "walk-class was not compared: walk-cost passed on 6.1, passed on 6.1";
        assert_eq!(judged.lacking[1], no_walk);
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

    #[test]
    fn what_lacks_is_named_with_how_its_scenario_ended_and_may_be_ignored() {
        let (baseline, mut candidate) = (sample::measured("6.1"), sample::measured("6.1"));
        candidate.curves = None;
        candidate.endings.retain(|one| one.scenario != "walk-cost");
        let mut rules = rules();
        rules.walk_class.level = Level::Ignore;
        rules.walk_time.level = Level::Ignore;
        let judged = judge(&baseline, candidate.clone(), &rules);
        assert_eq!(judged.word(), "passed", "{judged:#?}");
        rules.walk_class.level = Level::Warn;
        let judged = judge(&baseline, candidate, &rules);
        assert_eq!(judged.word(), "not judged");
        let expected = "walk-class was not compared: walk-cost passed on 6.1, did not run on 6.1";
        assert_eq!(judged.lacking, [expected]);
    }
}
