//! What a walk does with each child, and what it would take.

use super::{
    Finding, Measured, MeasuredCurve, Rule, Rules, Standing,
    costs::Number,
    finding::{NOTHING_LEFT, words, worse},
    layout::Layout,
    measured::{Sourced, evidence, kinds},
};

/// Fewer instructions for each child than this are no walk: looking at one takes five at least.
const WALKED_INSTRUCTIONS_MIN: f64 = 1.0;

/// From here a child is taken as locked, where nothing shows which words are written. On nine kernels a child
/// that is only read takes 6.0 to 7.2 instructions and one that is locked 19 to 92 (docs/gate.md).
const LOCKED_INSTRUCTIONS_MIN: f64 = 13.0;

/// Cache lines of a child where they were not measured on both: the list's pointer and the inode's.
const ASSUMED_LINES: f64 = 2.0;

/// What a walk does with each child, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// Nothing: there is no walk.
    NotWalked,
    /// It is read.
    Read,
    /// It is locked or written: its cache line goes from one CPU to the other.
    Locked,
}

impl Class {
    fn word(self) -> &'static str {
        match self {
            Self::NotWalked => "not walked",
            Self::Read => "read",
            Self::Locked => "locked or written",
        }
    }

    /// As far as the number of instructions shows it.
    pub(super) fn by_instructions(per_child: f64) -> Self {
        if per_child < WALKED_INSTRUCTIONS_MIN {
            Self::NotWalked
        } else if per_child < LOCKED_INSTRUCTIONS_MIN {
            Self::Read
        } else {
            Self::Locked
        }
    }

    fn of(curve: &MeasuredCurve, layout: Option<&Layout>) -> Self {
        let by_instructions = Self::by_instructions(curve.line.instructions_per_child);
        let written = layout.and_then(|layout| layout.written_lines(&curve.curve.children));
        match written {
            // Seen of watches only; a removal goes the same way.
            Some(lines) if by_instructions != Self::NotWalked => {
                if lines > 0.0 {
                    Self::Locked
                } else {
                    Self::Read
                }
            }
            _ => by_instructions,
        }
    }
}

/// Class, time and instructions of each curve.
pub(super) fn walk(baseline: &Measured, candidate: &Measured, rules: &Rules) -> Vec<Finding> {
    let kinds = kinds(&[baseline, candidate]);
    let found = kinds.into_iter().flat_map(|kind| {
        let subject = kind.subject();
        [
            class(baseline, candidate, rules, &subject),
            time(baseline, candidate, rules, kind),
            cost(baseline, candidate, rules, &subject),
        ]
    });
    found.flatten().collect()
}

fn layout(kernel: &Measured) -> Option<&Layout> {
    kernel.layout.as_ref().map(|one| &one.value)
}

fn class(
    baseline: &Measured,
    candidate: &Measured,
    rules: &Rules,
    subject: &str,
) -> Option<Finding> {
    let of = |kernel: &Measured| Some(Class::of(kernel.curve(subject)?, layout(kernel)));
    let (old, new) = (of(baseline), of(candidate));
    let (standing, detail) = match (old, new) {
        (None, None) => return None,
        (None, Some(_)) => (Standing::NotCompared, ""),
        (Some(_), None) => (worse(rules.walk_class.level), NOTHING_LEFT),
        (Some(old), Some(new)) if new > old => (worse(rules.walk_class.level), ""),
        (Some(old), Some(new)) if new < old => (Standing::Better, ""),
        (Some(_), Some(_)) => (Standing::Same, ""),
    };
    Some(Finding {
        standing,
        baseline: old.map(|class| class.word().to_owned()),
        candidate: new.map(|class| class.word().to_owned()),
        detail: detail.to_owned(),
        evidence: evidence(baseline.curves.as_ref(), candidate.curves.as_ref()),
        ..words(Rule::WalkClass, subject)
    })
}

/// Milliseconds for a million children are nanoseconds for each.
fn time(
    baseline: &Measured,
    candidate: &Measured,
    rules: &Rules,
    kind: &MeasuredCurve,
) -> Option<Finding> {
    let rule = &rules.walk_time;
    let subject = kind.subject();
    let lines = |kernel: &Measured| layout(kernel)?.touched_lines(&kind.curve.children);
    let measured = lines(baseline).zip(lines(candidate));
    let (old_lines, new_lines) = measured.unwrap_or((ASSUMED_LINES, ASSUMED_LINES));
    let predicted = |kernel: &Measured, lines: f64| {
        let per_child = kernel.curve(&subject)?.line.instructions_per_child;
        let ns = match Class::by_instructions(per_child) {
            Class::NotWalked => 0.0,
            _ => lines * rule.ns_per_line + per_child * rule.ns_per_instruction,
        };
        Some(Sourced {
            value: ns,
            evidence: kernel.curves.as_ref()?.evidence.clone(),
        })
    };
    let old = predicted(baseline, old_lines);
    let number = Number {
        warn_limit: old.as_ref().map(|old| rule.warn_limit(old.value)),
        spread: spread(baseline, candidate, &subject) * rule.ns_per_instruction,
        ..Number::new(
            Rule::WalkTime,
            rule.ratio(),
            &subject,
            "ms for a million",
            1,
        )
    };
    let mut finding = number.compare(old.as_ref(), predicted(candidate, new_lines).as_ref())?;
    let is_walked = finding.candidate_value.is_some_and(|ns| ns > 0.0);
    if is_walked {
        finding.detail = match measured {
            Some(_) => format!("{new_lines:.2} cache lines each, baseline {old_lines:.2}"),
            None => format!(
                "{ASSUMED_LINES:.0} cache lines each taken for both: they were not measured on both"
            ),
        };
    }
    Some(finding)
}

fn cost(
    baseline: &Measured,
    candidate: &Measured,
    rules: &Rules,
    subject: &str,
) -> Option<Finding> {
    let slope = |kernel: &Measured| {
        Some(Sourced {
            value: kernel.curve(subject)?.line.instructions_per_child,
            evidence: kernel.curves.as_ref()?.evidence.clone(),
        })
    };
    let spread = spread(baseline, candidate, subject);
    let number = Number {
        spread,
        ..Number::new(
            Rule::WalkCost,
            rules.walk_cost,
            subject,
            "instructions per child",
            2,
        )
    };
    let mut finding = number.compare(slope(baseline).as_ref(), slope(candidate).as_ref())?;
    if finding.detail.is_empty() {
        finding.detail = format!("spread of repetitions {spread:.2}");
    }
    Some(finding)
}

/// How far repetitions are apart, on the kernel where they are farther.
fn spread(baseline: &Measured, candidate: &Measured, subject: &str) -> f64 {
    let of = |kernel: &Measured| {
        let curve = kernel.curve(subject);
        curve.map_or(0.0, |curve| curve.line.spread_instructions_per_child)
    };
    of(baseline).max(of(candidate))
}

/// What a walk touches and writes of each child, and how large a dentry is.
pub(super) fn memory(baseline: &Measured, candidate: &Measured, rules: &Rules) -> Vec<Finding> {
    type Lines = fn(&Layout, &str) -> Option<f64>;
    let compare = |subject: &str, unit, places, part: &dyn Fn(&Layout) -> Option<f64>| {
        let of = |kernel: &Measured| {
            let layout = kernel.layout.as_ref()?;
            Some(Sourced {
                value: part(&layout.value)?,
                evidence: layout.evidence.clone(),
            })
        };
        let rule = rules.child_memory;
        Number::new(Rule::ChildMemory, rule, subject, unit, places)
            .compare(of(baseline).as_ref(), of(candidate).as_ref())
    };
    let bytes = |layout: &Layout| Some(f64::from(layout.dentry_bytes));
    let mut findings: Vec<Finding> = compare("a dentry", "bytes", 0, &bytes)
        .into_iter()
        .collect();
    let parts: [(&str, Lines); 2] = [
        ("touched", Layout::touched_lines),
        ("written", Layout::written_lines),
    ];
    for children in ["negative", "positive"] {
        for (word, lines) in parts {
            let subject = format!("{word} of each, {children} children");
            let part = |layout: &Layout| lines(layout, children);
            let Some(mut finding) = compare(&subject, "cache lines", 2, &part) else {
                continue;
            };
            let access = layout(candidate).and_then(|layout| layout.access(children));
            if let Some(access) = access {
                finding.detail = access.words(&candidate.dentry_fields);
            }
            findings.push(finding);
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::{judge, layout::Access, sample};

    fn kernel(negative: u64, positive: u64, accesses: Option<[(&[u32], &[u32]); 2]>) -> Measured {
        let mut kernel = sample::with_curves([negative, positive, 0, 0]);
        kernel.layout = accesses.map(|accesses| Sourced {
            value: Layout {
                dentry_bytes: 192,
                accesses: ["negative", "positive"]
                    .iter()
                    .zip(accesses)
                    .map(|(children, (touched, written))| Access {
                        children: (*children).to_owned(),
                        touched_at_bytes: touched.to_vec(),
                        written_at_bytes: written.to_vec(),
                    })
                    .collect(),
            },
            evidence: "results.json#/scenarios/0".into(),
        });
        kernel
    }

    /// 6.1's and 6.12's as they were measured.
    const OLD: [(&[u32], &[u32]); 2] = [(&[48, 144], &[]), (&[0, 48, 88, 144], &[0, 88])];
    const NEW: [(&[u32], &[u32]); 2] = [(&[48, 152], &[]), (&[0, 48, 128, 152], &[0, 128])];

    /// How it stands by each rule of a watch over these children.
    fn standings(old: &Measured, new: &Measured, children: &str) -> Vec<(Rule, Standing)> {
        let rules = Rules::load(None).expect("the defaults");
        let judged = judge(old, new.clone(), &rules);
        let subject = format!("watch, {children} children");
        let of_memory = format!("of each, {children} children");
        let mut found: Vec<_> = judged
            .findings
            .iter()
            .filter(|one| one.subject == subject || one.subject.ends_with(&of_memory))
            .filter(|one| one.standing < Standing::Better)
            .map(|one| (one.rule, one.standing))
            .collect();
        found.sort_by_key(|(rule, _)| rule.name());
        found
    }

    #[test]
    fn an_instruction_more_in_a_child_is_nothing() {
        let (old, new) = (kernel(6, 25, Some(OLD)), kernel(7, 28, Some(NEW)));
        assert_eq!(standings(&old, &new, "negative"), []);
        assert_eq!(standings(&old, &new, "positive"), []);
    }

    #[test]
    fn a_cache_line_more_in_a_child_fails_and_is_named() {
        let lines: [(&[u32], &[u32]); 2] = [(&[48, 88, 144], &[]), OLD[1]];
        let (old, new) = (kernel(6, 25, Some(OLD)), kernel(7, 25, Some(lines)));
        let expected = [
            (Rule::ChildMemory, Standing::Warn),
            (Rule::WalkTime, Standing::Fail),
        ];
        assert_eq!(standings(&old, &new, "negative"), expected);
        assert_eq!(standings(&old, &new, "positive"), []);
    }

    #[test]
    fn a_child_that_is_locked_fails_by_its_class_however_few_instructions_it_takes() {
        let locked: [(&[u32], &[u32]); 2] = [(&[48, 56, 144], &[56]), OLD[1]];
        let (old, new) = (kernel(6, 25, Some(OLD)), kernel(11, 25, Some(locked)));
        let found = standings(&old, &new, "negative");
        assert!(
            found.contains(&(Rule::WalkClass, Standing::Fail)),
            "{found:?}"
        );
        // Where nothing shows what is written the instructions do.
        let (old, new) = (kernel(6, 25, None), kernel(25, 25, None));
        let found = standings(&old, &new, "negative");
        assert!(
            found.contains(&(Rule::WalkClass, Standing::Fail)),
            "{found:?}"
        );
        let found = standings(&new, &old, "negative");
        assert_eq!(found, [], "and the other way round it is better");
    }

    #[test]
    fn a_walk_that_was_not_there_fails() {
        let (none, walks) = (
            sample::with_curves([6, 25, 0, 0]),
            sample::with_curves([6, 25, 6, 25]),
        );
        let rules = Rules::load(None).expect("the defaults");
        let judged = judge(&none, walks, &rules);
        let failed = judged.findings.iter().filter(|one| {
            one.subject == "removal, negative children" && one.standing == Standing::Fail
        });
        let failed: Vec<Rule> = failed.map(|one| one.rule).collect();
        assert_eq!(failed, [Rule::WalkClass, Rule::WalkTime]);
    }

    #[test]
    fn many_instructions_more_are_warned_of_and_very_many_fail() {
        let old = kernel(6, 25, Some(OLD));
        let found = standings(&old, &kernel(6, 60, Some(OLD)), "positive");
        assert_eq!(found, [(Rule::WalkCost, Standing::Warn)]);
        let found = standings(&old, &kernel(6, 90, Some(OLD)), "positive");
        let both = [
            (Rule::WalkCost, Standing::Warn),
            (Rule::WalkTime, Standing::Warn),
        ];
        assert_eq!(found, both);
        let found = standings(&old, &kernel(6, 293, Some(OLD)), "positive");
        let both = [
            (Rule::WalkCost, Standing::Warn),
            (Rule::WalkTime, Standing::Fail),
        ];
        assert_eq!(found, both);
    }
}
