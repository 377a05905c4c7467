//! How one scenario on one kernel ended, decided from what came out of its guest.

use fslockup::escape::escape_rest;

use crate::{
    kernel_log::{Report, ReportKind},
    protocol::{Check, Ended, Findings, NOT_APPLICABLE_CODE},
    report::{Outcome, UNEXPECTED_REPORT},
    vm::End,
};

/// An outcome, and why it isn't `passed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The outcome.
    pub outcome: Outcome,
    /// Why, one line; empty when passed.
    pub detail: String,
    /// Whether no repetition excuses it.
    pub is_final: bool,
}

impl Judgement {
    /// One that a repetition may excuse.
    pub fn new(outcome: Outcome, detail: impl Into<String>) -> Self {
        Self {
            outcome,
            detail: detail.into(),
            is_final: false,
        }
    }

    /// The same where no repetition excuses it.
    #[must_use]
    pub fn final_if(self, is_final: bool) -> Self {
        Self {
            is_final: self.is_final || is_final,
            ..self
        }
    }
}

/// What came of the kernel's log besides what a scenario expects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suspicions {
    /// Reports.
    pub reports: Vec<Report>,
    /// Records that were overwritten before they could be read: each may have been a report.
    pub lost_count: u64,
}

impl Suspicions {
    /// Why they are a fault, in one line, where they are.
    #[must_use]
    pub fn fault(&self, expects: &[ReportKind]) -> Option<String> {
        let unexpected = self
            .reports
            .iter()
            .find(|report| !expects.contains(&report.kind));
        if let Some(report) = unexpected {
            return Some(format!(
                "{UNEXPECTED_REPORT} ({}): {}",
                report.kind, report.line
            ));
        }
        (self.lost_count > 0).then(|| {
            format!(
                "{} records of the kernel's log were overwritten before they could be read",
                self.lost_count
            )
        })
    }

    /// The judgement with this fault: the outcome stays unless it was passed, and no repetition excuses it.
    #[must_use]
    pub fn added_to(&self, judgement: Judgement, when: &str, expects: &[ReportKind]) -> Judgement {
        let Some(fault) = self.fault(expects) else {
            return judgement;
        };
        let fault = format!("{when}{fault}");
        let (outcome, detail) = match judgement.outcome {
            Outcome::Passed | Outcome::NotApplicable => (Outcome::Failed, fault),
            // The one that is first named is the one that counts most.
            Outcome::Failed => (Outcome::Failed, format!("{fault}; {}", judgement.detail)),
            other => (other, format!("{}; {fault}", judgement.detail)),
        };
        Judgement::new(outcome, detail).final_if(true)
    }
}

/// Judges a scenario that ran to its end.
#[must_use]
pub fn judge(
    ended: &Ended,
    findings: &Result<Findings, String>,
    suspicions: &Suspicions,
    expects: &[ReportKind],
) -> Judgement {
    suspicions.added_to(judge_command(ended, findings), "", expects)
}

fn judge_command(ended: &Ended, findings: &Result<Findings, String>) -> Judgement {
    if ended.is_timed_out {
        return Judgement::new(
            Outcome::TimedOut,
            format!("killed after {} ms of guest time", ended.duration_ms),
        );
    }
    if ended.code == Some(NOT_APPLICABLE_CODE)
        && let Ok(Findings {
            not_applicable: Some(reason),
            checks,
            ..
        }) = findings
        && checks.is_empty()
    {
        let reason = escape_rest(reason.as_bytes());
        return Judgement::new(Outcome::NotApplicable, reason);
    }
    let broken_check = match findings {
        Ok(findings) => findings
            .checks
            .iter()
            .find(|check| !check.passed)
            .map(describe),
        Err(why) => Some(format!("result.json: {why}")),
    };
    let broken_check = broken_check.or_else(|| {
        let reason = findings.as_ref().ok()?.not_applicable.as_ref()?;
        let text = format!("not applicable, but not without a claim or by its exit code: {reason}");
        Some(escape_rest(text.as_bytes()))
    });
    match (ended.code, broken_check) {
        (Some(0), None) => Judgement::new(Outcome::Passed, ""),
        (_, Some(what)) => Judgement::new(Outcome::Failed, what),
        (Some(code), None) => Judgement::new(Outcome::Failed, format!("exit code {code}")),
        (None, None) => Judgement::new(
            Outcome::Failed,
            format!("killed by signal {}", ended.signal.unwrap_or(0)),
        ),
    }
}

fn describe(check: &Check) -> String {
    let text = if check.detail.is_empty() {
        check.claim.clone()
    } else {
        format!("{}: {}", check.claim, check.detail)
    };
    escape_rest(text.as_bytes())
}

/// Judges a scenario whose guest ended under it; `None` when that says nothing about it.
#[must_use]
pub fn judge_death(end: &End) -> Option<Judgement> {
    let detail = end.to_string();
    Some(match end {
        End::Finished | End::Interrupted => return None,
        End::Panicked(line) => Judgement::new(Outcome::Panicked, line.clone()).final_if(true),
        End::Hung(host) => Judgement::new(Outcome::Hung, detail).final_if(host.is_none()),
        End::TimedOut => Judgement::new(Outcome::TimedOut, detail),
        End::Flooded(_) => Judgement::new(Outcome::Failed, detail),
        End::Reset => Judgement::new(Outcome::Lost, detail).final_if(true),
        End::Lost(how) => Judgement::new(Outcome::Lost, how.clone()),
        End::NotBooted(why) => Judgement::new(Outcome::NotBooted, why.clone()),
        End::PanickedAtBoot(line) => {
            Judgement::new(Outcome::NotBooted, line.clone()).final_if(true)
        }
        End::Misexecuted { why, has_booted } => {
            let outcome = if *has_booted {
                Outcome::Lost
            } else {
                Outcome::NotBooted
            };
            Judgement::new(outcome, why.clone())
        }
        End::Broken(why) => Judgement::new(Outcome::NotReady, why.clone()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exited(code: i32) -> Ended {
        Ended {
            index: 0,
            code: Some(code),
            signal: None,
            is_timed_out: false,
            duration_ms: 5,
        }
    }

    fn lockup() -> Report {
        Report {
            kind: ReportKind::SoftLockup,
            line: "watchdog: BUG: soft lockup".into(),
        }
    }

    fn outcome(
        ended: &Ended,
        findings: Findings,
        reports: &[Report],
        expects: &[ReportKind],
    ) -> Outcome {
        judge(ended, &Ok(findings), &seen(reports, 0), expects).outcome
    }

    fn seen(reports: &[Report], lost_count: u64) -> Suspicions {
        Suspicions {
            reports: reports.to_vec(),
            lost_count,
        }
    }

    #[test]
    fn exit_0_alone_is_not_enough() {
        let broken = Findings {
            checks: vec![Check {
                claim: "c".into(),
                passed: false,
                detail: "d\x1b".into(),
            }],
            ..Findings::default()
        };
        assert_eq!(
            outcome(&exited(0), Findings::default(), &[], &[]),
            Outcome::Passed
        );
        assert_eq!(
            outcome(&exited(0), broken.clone(), &[], &[]),
            Outcome::Failed
        );
        assert_eq!(
            judge(&exited(1), &Ok(broken), &seen(&[], 0), &[]).detail,
            "c: d\\x1b"
        );
        assert_eq!(
            judge(&exited(0), &Err("no JSON".into()), &seen(&[], 0), &[]).outcome,
            Outcome::Failed
        );
    }

    #[test]
    fn a_report_is_a_fault_unless_expected() {
        let expects = [ReportKind::SoftLockup];
        assert_eq!(
            outcome(&exited(0), Findings::default(), &[lockup()], &[]),
            Outcome::Failed
        );
        assert_eq!(
            outcome(&exited(0), Findings::default(), &[lockup()], &expects),
            Outcome::Passed
        );
        let warning = Report {
            kind: ReportKind::Warning,
            line: "WARNING".into(),
        };
        assert_eq!(
            outcome(
                &exited(0),
                Findings::default(),
                &[lockup(), warning],
                &expects
            ),
            Outcome::Failed
        );
    }

    #[test]
    fn nothing_excuses_a_report_or_the_loss_of_one() {
        let judged = |ended: &Ended, suspicions: &Suspicions| {
            judge(ended, &Ok(Findings::default()), suspicions, &[])
        };
        let reported = judged(&exited(0), &seen(&[lockup()], 0));
        assert!(reported.is_final && reported.detail.contains("soft lockup"));
        let lost = judged(&exited(0), &seen(&[], 3));
        assert_eq!((lost.outcome, lost.is_final), (Outcome::Failed, true));
        assert!(lost.detail.starts_with("3 records "), "{}", lost.detail);
        assert!(!judged(&exited(1), &seen(&[], 0)).is_final);
        // What else went wrong does not hide it.
        let timed_out = Ended {
            is_timed_out: true,
            ..exited(0)
        };
        let both = judged(&timed_out, &seen(&[lockup()], 0));
        assert_eq!((both.outcome, both.is_final), (Outcome::TimedOut, true));
        assert!(
            both.detail.starts_with("killed after 5 ms") && both.detail.contains("soft lockup")
        );
        let both = judged(&exited(7), &seen(&[lockup()], 0));
        assert!(both.detail.ends_with("; exit code 7"), "{}", both.detail);
    }

    #[test]
    fn what_does_not_apply_says_so_twice_and_claims_nothing() {
        let lacks = Findings {
            not_applicable: Some("no kprobes\x1b".into()),
            ..Findings::default()
        };
        let code = NOT_APPLICABLE_CODE;
        let judgement = judge(
            &exited(code),
            &Ok(lacks.clone()),
            &Suspicions::default(),
            &[],
        );
        assert_eq!(judgement.outcome, Outcome::NotApplicable);
        assert_eq!(judgement.detail, "no kprobes\\x1b");
        for (code, findings, reports) in [
            (code, Findings::default(), vec![]),
            (1, lacks.clone(), vec![]),
            (code, lacks.clone(), vec![lockup()]),
            (
                code,
                Findings {
                    checks: vec![Check {
                        claim: "c".into(),
                        passed: true,
                        detail: String::new(),
                    }],
                    ..lacks.clone()
                },
                vec![],
            ),
        ] {
            assert_eq!(
                outcome(&exited(code), findings.clone(), &reports, &[]),
                Outcome::Failed,
                "{code} {findings:?}"
            );
        }
        assert_eq!(
            outcome(&exited(0), lacks, &[], &[]),
            Outcome::Failed,
            "exit 0 claims a pass"
        );
    }

    #[test]
    fn a_time_out_is_not_a_failure() {
        let ended = Ended {
            is_timed_out: true,
            code: None,
            signal: Some(9),
            ..exited(0)
        };
        assert_eq!(
            outcome(&ended, Findings::default(), &[], &[]),
            Outcome::TimedOut
        );
    }

    fn misexecuted(has_booted: bool) -> End {
        End::Misexecuted {
            why: "x".into(),
            has_booted,
        }
    }

    #[test]
    fn each_death_has_its_outcome_and_only_the_hosts_own_are_excused() {
        let cases = [
            (End::Panicked("x".into()), Some((Outcome::Panicked, true))),
            (End::Hung(None), Some((Outcome::Hung, true))),
            (
                End::Hung(Some("it got no CPU".into())),
                Some((Outcome::Hung, false)),
            ),
            (End::TimedOut, Some((Outcome::TimedOut, false))),
            (End::Flooded("x".into()), Some((Outcome::Failed, false))),
            (End::Reset, Some((Outcome::Lost, true))),
            (End::Lost("x".into()), Some((Outcome::Lost, false))),
            (
                End::NotBooted("x".into()),
                Some((Outcome::NotBooted, false)),
            ),
            (
                End::PanickedAtBoot("x".into()),
                Some((Outcome::NotBooted, true)),
            ),
            (misexecuted(true), Some((Outcome::Lost, false))),
            (misexecuted(false), Some((Outcome::NotBooted, false))),
            (End::Broken("x".into()), Some((Outcome::NotReady, false))),
            (End::Finished, None),
            (End::Interrupted, None),
        ];
        for (end, expected) in cases {
            assert_eq!(
                judge_death(&end).map(|judgement| (judgement.outcome, judgement.is_final)),
                expected,
                "{end}"
            );
        }
    }
}
