//! Which programs go where: a pure function of the table of probes and the facts.

use fslockup_ebpf::slot;
use serde::{Deserialize, Serialize};

use crate::{
    facts::{Answer, Facts},
    probes::{Kind, PROBES, Point, Probe, Takes, WALK, WALKER_FIXED, WALKER_UNFIXED, Way, When},
};

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// Through the function's own entry (fentry and fexit): needs BTF and an ftrace site.
    Fentry,
    /// Through a breakpoint (kprobe and kretprobe): costs several times as much.
    Kprobe,
    /// A tracepoint with BTF.
    #[value(skip)]
    Tracepoint,
}

impl Via {
    /// The word in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::Kprobe => "kprobe",
            Self::Tracepoint => "tracepoint",
        }
    }
}

/// One place for one program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// How.
    pub via: Via,
    /// The symbol.
    pub function: String,
    /// The whole function or a part of it: see [`fslockup_ebpf::slot`].
    pub slot: u32,
}

impl Target {
    fn whole(via: Via, function: &str) -> Self {
        Self {
            via,
            function: function.to_owned(),
            slot: slot::WHOLE,
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.via.name(), self.function)
    }
}

/// Places that answer a probe's question together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// All of these are attached, or none.
    pub targets: Vec<Target>,
    /// What is not seen this way.
    pub lost: Vec<String>,
}

/// What is planned for one probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbePlan {
    /// The probe's name.
    pub probe: String,
    /// Nothing can be done without it.
    pub is_required: bool,
    /// What is not seen if the kernel takes none of the choices.
    pub lost_without: String,
    /// The first that the kernel takes is attached.
    pub choices: Vec<Choice>,
    /// All of these are attached as well: parts of the function that some callers enter directly.
    pub parts: Vec<Target>,
    /// Symbols that look like parts of the function but can't be used.
    pub unusable: Vec<String>,
}

/// The plan for all probes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// One entry for each probe of the table that this kernel has a place for.
    pub probes: Vec<ProbePlan>,
    /// Probes that this kernel has no place for, with what is lost.
    pub missing: Vec<Missing>,
}

/// A probe without a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The probe's name.
    pub probe: String,
    /// What is not seen.
    pub lost: String,
    /// Why, where a kernel that has the place refused it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
}

/// What the user asks for beyond what the kernel decides.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wishes {
    /// Only this kind of target on functions, to test the others on a kernel that could do better.
    pub force: Option<Via>,
    /// The exact end of contended holds, whatever it costs.
    pub exact_release: bool,
}

/// No plan is possible.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The kernel has none of the functions of a required probe.
    #[error("{probe}: this kernel has none of the functions it can be seen through (looked for {})", looked_for.join(", "))]
    NoFunction {
        /// The probe's name.
        probe: &'static str,
        /// The functions, by name.
        looked_for: Vec<&'static str>,
    },
}

/// Makes the plan.
///
/// # Errors
/// When a required probe has no place on this kernel.
pub fn plan(facts: &Facts, wishes: &Wishes) -> Result<Plan, PlanError> {
    let mut plan = Plan {
        probes: Vec::new(),
        missing: Vec::new(),
    };
    for probe in PROBES.iter().filter(|probe| applies(probe, facts, wishes)) {
        let planned = plan_probe(probe, facts, wishes);
        if !planned.choices.is_empty() {
            plan.probes.push(planned);
        } else if probe.is_required {
            let points = probe.ways.iter().flat_map(|way| way.points);
            return Err(PlanError::NoFunction {
                probe: probe.name,
                looked_for: points.map(|point| point.name).collect(),
            });
        } else {
            plan.missing.push(Missing {
                probe: probe.name.to_owned(),
                lost: probe.lost_without.to_owned(),
                refused: Vec::new(),
            });
        }
    }
    Ok(plan)
}

fn applies(probe: &Probe, facts: &Facts, wishes: &Wishes) -> bool {
    // Where it can't be told they spin: that is the rule, and a slowpath that never runs costs nothing.
    let sleep = facts.spinlocks_sleep == Answer::Yes;
    match probe.when {
        When::Always => true,
        When::SpinlocksSpin => !sleep,
        When::SpinlocksSleep => sleep,
        When::ExactRelease => wishes.exact_release,
    }
}

fn plan_probe(probe: &Probe, facts: &Facts, wishes: &Wishes) -> ProbePlan {
    let mut planned = ProbePlan {
        probe: probe.name.to_owned(),
        is_required: probe.is_required,
        lost_without: probe.lost_without.to_owned(),
        choices: Vec::new(),
        parts: Vec::new(),
        unusable: Vec::new(),
    };
    if probe
        .fields
        .iter()
        .any(|field| !facts.offsets.contains_key(*field))
    {
        return planned;
    }
    for way in probe.ways {
        for via in [Via::Fentry, Via::Kprobe, Via::Tracepoint] {
            let there: Vec<_> = way
                .points
                .iter()
                .filter(|point| is_possible(way.kind, point, via, facts, wishes))
                .map(|point| Target::whole(via, point.name))
                .collect();
            let lost: Vec<_> = [way.lost]
                .into_iter()
                .filter(|lost| !lost.is_empty())
                .map(str::to_owned)
                .collect();
            let targets = match way.takes {
                Takes::One => {
                    planned
                        .choices
                        .extend(there.into_iter().map(|target| Choice {
                            targets: vec![target],
                            lost: lost.clone(),
                        }));
                    continue;
                }
                Takes::Some => there,
                Takes::All if there.len() == way.points.len() => there,
                Takes::All => Vec::new(),
            };
            if !targets.is_empty() {
                planned.choices.push(Choice { targets, lost });
            }
        }
        plan_parts(way, facts, &mut planned);
    }
    planned
}

fn is_possible(kind: Kind, point: &Point, via: Via, facts: &Facts, wishes: &Wishes) -> bool {
    let is_wanted = wishes.force.is_none_or(|forced| forced == via);
    let function = |name: &str| facts.functions.get(name);
    let has_needed = point.needs.is_none_or(|needed| {
        function(needed)
            .is_some_and(|found| found.in_btf.is_possible() || found.in_symbols.is_possible())
    });
    let is_there = match (kind, via) {
        (Kind::Function | Kind::HotFunction, Via::Fentry) => {
            is_wanted && function(point.name).is_some_and(|found| found.in_btf.is_possible())
        }
        (Kind::Function, Via::Kprobe) => {
            is_wanted && function(point.name).is_some_and(|found| found.in_symbols.is_possible())
        }
        (Kind::Tracepoint, Via::Tracepoint) => facts
            .tracepoints
            .get(point.name)
            .is_some_and(Answer::is_possible),
        _ => false,
    };
    is_there && has_needed
}

/// What the compiler split off a function and some callers enter directly.
fn plan_parts(way: &Way, facts: &Facts, planned: &mut ProbePlan) {
    // Only the walk has programs for parts: no other function of the table was seen split.
    if planned.probe != WALK {
        return;
    }
    for point in way.points {
        let Some(found) = facts.functions.get(point.name) else {
            continue;
        };
        for symbol in &found.split_symbols {
            // A `.part` keeps the arguments of its function; an `.isra` or `.constprop` may not,
            // and what a register holds there would have to be guessed.
            if symbol[point.name.len()..].starts_with(".part.") {
                planned.parts.push(Target {
                    via: Via::Kprobe,
                    function: symbol.clone(),
                    slot: slot::PART,
                });
            } else {
                planned.unusable.push(symbol.clone());
            }
        }
    }
}

/// Which walks this kernel does, as far as its functions tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposure {
    /// The first watch on a directory walks its children.
    pub walk_on_first_watch: Answer,
    /// So does every further watch and every change of a mask, also without events on children:
    /// before 172e422ffea2 `fsnotify_recalc_mask` walked whatever had changed.
    pub walk_on_every_watch: Answer,
    /// Taking the last watch away makes a later access to a child walk.
    pub walk_on_removal: Answer,
    /// That access can come from many CPUs at once, each walking in turn.
    pub herd: Answer,
}

/// From the walker's name alone: the commit that renamed it (172e422ffea2) took away the walk on
/// removal with its herd, and is in stable kernels under any version number.
#[must_use]
pub fn exposure(facts: &Facts) -> Exposure {
    let has = |name: &str| {
        facts.functions.get(name).map_or_else(
            || Answer::Unknown("not looked for".to_owned()),
            |function| match (&function.in_btf, &function.in_symbols) {
                (Answer::Yes, _) | (_, Answer::Yes) => Answer::Yes,
                (Answer::No, Answer::No) => Answer::No,
                (Answer::Unknown(reason), _) | (_, Answer::Unknown(reason)) => {
                    Answer::Unknown(reason.clone())
                }
            },
        )
    };
    let (fixed, unfixed) = (has(WALKER_FIXED), has(WALKER_UNFIXED));
    let walk_on_first_watch = match (&fixed, &unfixed) {
        (Answer::Yes, _) | (_, Answer::Yes) => Answer::Yes,
        // Neither name: a walk under a third one can't be excluded.
        (Answer::No, Answer::No) => Answer::Unknown("no walker of a known name".to_owned()),
        (Answer::Unknown(reason), _) | (_, Answer::Unknown(reason)) => {
            Answer::Unknown(reason.clone())
        }
    };
    Exposure {
        walk_on_first_watch,
        walk_on_every_watch: unfixed.clone(),
        walk_on_removal: unfixed.clone(),
        herd: unfixed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{facts::tests::facts_with, probes};

    fn unknown() -> Answer {
        Answer::Unknown("restricted".to_owned())
    }

    /// Each choice with its targets, and what is lost.
    fn texts(planned: &ProbePlan) -> Vec<String> {
        let text = |choice: &Choice| {
            let targets: Vec<_> = choice.targets.iter().map(ToString::to_string).collect();
            targets.join(" + ")
        };
        planned.choices.iter().map(text).collect()
    }

    fn choices(facts: &Facts, force: Option<Via>) -> Vec<String> {
        let wishes = Wishes {
            force,
            ..Wishes::default()
        };
        let plan = plan(facts, &wishes).expect("a plan");
        texts(&plan.probes[0])
    }

    #[test]
    fn fentry_comes_before_kprobe() {
        let facts = facts_with(&[(WALKER_FIXED, Answer::Yes, Answer::Yes, &[])]);
        assert_eq!(
            choices(&facts, None),
            [
                "fentry fsnotify_set_children_dentry_flags",
                "kprobe fsnotify_set_children_dentry_flags"
            ]
        );
    }

    #[test]
    fn a_forced_kind_leaves_only_its_targets() {
        let facts = facts_with(&[(WALKER_UNFIXED, Answer::Yes, Answer::Yes, &[])]);
        assert_eq!(
            choices(&facts, Some(Via::Kprobe)),
            ["kprobe __fsnotify_update_child_dentry_flags"]
        );
    }

    #[test]
    fn what_could_not_be_told_is_tried() {
        let facts = facts_with(&[(WALKER_FIXED, Answer::No, unknown(), &[])]);
        assert_eq!(
            choices(&facts, None),
            ["kprobe fsnotify_set_children_dentry_flags"]
        );
    }

    #[test]
    fn a_kernel_without_any_walker_is_an_error_that_names_them() {
        let facts = facts_with(&[
            (WALKER_FIXED, Answer::No, Answer::No, &[]),
            (WALKER_UNFIXED, Answer::No, Answer::No, &[]),
        ]);
        let error = plan(&facts, &Wishes::default())
            .expect_err("nothing to attach to")
            .to_string();
        assert!(
            error.contains(WALKER_FIXED) && error.contains(WALKER_UNFIXED),
            "{error}"
        );
    }

    #[test]
    fn a_part_keeps_its_arguments_and_other_clones_do_not() {
        let split = [
            "__fsnotify_update_child_dentry_flags.isra.0",
            "__fsnotify_update_child_dentry_flags.part.0",
        ];
        let facts = facts_with(&[(WALKER_UNFIXED, Answer::Yes, Answer::Yes, &split)]);
        let plan = plan(&facts, &Wishes::default()).expect("a plan");
        let parts: Vec<_> = plan.probes[0]
            .parts
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            parts,
            ["kprobe __fsnotify_update_child_dentry_flags.part.0"]
        );
        assert_eq!(
            plan.probes[0].unusable,
            ["__fsnotify_update_child_dentry_flags.isra.0"]
        );
    }

    fn planned<'a>(plan: &'a Plan, probe: &str) -> Option<&'a ProbePlan> {
        plan.probes.iter().find(|planned| planned.probe == probe)
    }

    const SLOWPATHS: &[(&str, Answer, Answer, &[&str])] = &[
        (WALKER_FIXED, Answer::Yes, Answer::Yes, &[]),
        (
            "native_queued_spin_lock_slowpath",
            Answer::Yes,
            Answer::Yes,
            &[],
        ),
        (
            "__pv_queued_spin_lock_slowpath",
            Answer::Yes,
            Answer::Yes,
            &[],
        ),
        ("rtlock_slowlock_locked", Answer::Yes, Answer::Yes, &[]),
    ];

    fn with_contention(facts: Facts) -> Facts {
        let tracepoints = ["contention_begin", "contention_end"];
        Facts {
            tracepoints: tracepoints
                .map(|name| (name.to_owned(), Answer::Yes))
                .into(),
            ..facts
        }
    }

    #[test]
    fn both_slowpaths_come_before_the_tracepoints() {
        let facts = with_contention(facts_with(SLOWPATHS));
        let plan = plan(&facts, &Wishes::default()).expect("a plan");
        let wait = planned(&plan, "wait").expect("planned");
        assert_eq!(
            texts(wait),
            [
                "fentry native_queued_spin_lock_slowpath + fentry __pv_queued_spin_lock_slowpath",
                "tracepoint contention_end + tracepoint contention_begin"
            ]
        );
        assert!(wait.choices[0].lost.is_empty());
        assert!(wait.choices[1].lost[0].contains("first waiter"));
    }

    #[test]
    fn a_slowpath_never_gets_a_breakpoint() {
        let wishes = Wishes {
            force: Some(Via::Kprobe),
            ..Wishes::default()
        };
        let facts = with_contention(facts_with(SLOWPATHS));
        let with = plan(&facts, &wishes).expect("a plan");
        assert_eq!(
            texts(planned(&with, "wait").expect("planned")),
            ["tracepoint contention_end + tracepoint contention_begin"]
        );
        let without = plan(&facts_with(SLOWPATHS), &wishes).expect("a plan");
        assert!(planned(&without, "wait").is_none());
        assert!(
            without
                .missing
                .iter()
                .any(|missing| missing.probe == "wait")
        );
    }

    #[test]
    fn where_spinlocks_sleep_no_stall_is_looked_for() {
        let facts = Facts {
            spinlocks_sleep: Answer::Yes,
            ..with_contention(facts_with(SLOWPATHS))
        };
        let plan = plan(&facts, &Wishes::default()).expect("a plan");
        assert_eq!(
            texts(planned(&plan, "wait").expect("planned"))[0],
            "fentry rtlock_slowlock_locked"
        );
        assert!(planned(&plan, "stall").is_none());
        assert!(plan.missing.iter().all(|missing| missing.probe != "stall"));
    }

    #[test]
    fn the_exact_release_is_only_there_when_asked_for_and_meant_for_spinlocks() {
        let facts = |traced: Answer| Facts {
            tracepoints: [("contended_release".to_owned(), Answer::Yes)].into(),
            ..facts_with(&[
                (WALKER_FIXED, Answer::Yes, Answer::Yes, &[]),
                (
                    "native_queued_spin_unlock_traced",
                    traced.clone(),
                    traced,
                    &[],
                ),
            ])
        };
        let asked = Wishes {
            exact_release: true,
            ..Wishes::default()
        };
        let release = |answer: Answer, wishes: &Wishes| {
            planned(&plan(&facts(answer), wishes).expect("a plan"), "release").is_some()
        };
        assert!(release(Answer::Yes, &asked));
        assert!(!release(Answer::Yes, &Wishes::default()));
        assert!(!release(Answer::No, &asked));
    }

    #[test]
    fn every_point_of_the_table_has_a_program() {
        for name in probes::function_names().chain(probes::tracepoint_names()) {
            let is_needed_only = name == "native_queued_spin_unlock_traced";
            assert_eq!(probes::program(name).is_none(), is_needed_only, "{name}");
        }
    }

    #[test]
    fn exposure_tells_fixed_from_unfixed_from_unknown() {
        let fixed = facts_with(&[
            (WALKER_FIXED, Answer::Yes, Answer::Yes, &[]),
            (WALKER_UNFIXED, Answer::No, Answer::No, &[]),
        ]);
        let unfixed = facts_with(&[
            (WALKER_FIXED, Answer::No, Answer::No, &[]),
            (WALKER_UNFIXED, Answer::Yes, Answer::Yes, &[]),
        ]);
        let hidden = facts_with(&[
            (WALKER_FIXED, Answer::No, unknown(), &[]),
            (WALKER_UNFIXED, Answer::No, unknown(), &[]),
        ]);
        assert_eq!(exposure(&fixed).walk_on_first_watch, Answer::Yes);
        assert_eq!(exposure(&fixed).walk_on_removal, Answer::No);
        assert_eq!(exposure(&unfixed).walk_on_removal, Answer::Yes);
        assert_eq!(exposure(&unfixed).walk_on_every_watch, Answer::Yes);
        assert_eq!(exposure(&hidden).walk_on_removal, unknown());
    }
}
