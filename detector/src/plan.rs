//! Which programs go where: a pure function of the table of probes and the facts.

use fslockup_ebpf::slot;
use serde::{Deserialize, Serialize};

use crate::{
    facts::{Answer, Facts},
    probes::{PROBES, Probe, WALKER_FIXED, WALKER_UNFIXED},
};

/// How a program is attached to a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// Through the function's own entry (fentry and fexit): needs BTF and an ftrace site.
    Fentry,
    /// Through a breakpoint (kprobe and kretprobe): costs several times as much.
    Kprobe,
}

impl Via {
    /// The word in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::Kprobe => "kprobe",
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

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.via.name(), self.function)
    }
}

/// What is planned for one probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbePlan {
    /// The probe's name.
    pub probe: String,
    /// One of these is attached, the first that the kernel takes.
    pub choices: Vec<Target>,
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

/// Makes the plan. `force` leaves only targets of one kind, to test the others on a kernel that
/// could do without them.
///
/// # Errors
/// When a required probe has no place on this kernel.
pub fn plan(facts: &Facts, force: Option<Via>) -> Result<Plan, PlanError> {
    let mut plan = Plan {
        probes: Vec::new(),
        missing: Vec::new(),
    };
    for probe in PROBES {
        let planned = plan_probe(probe, facts, force);
        if !planned.choices.is_empty() {
            plan.probes.push(planned);
        } else if probe.is_required {
            let looked_for = probe
                .functions
                .iter()
                .map(|function| function.name)
                .collect();
            return Err(PlanError::NoFunction {
                probe: probe.name,
                looked_for,
            });
        } else {
            plan.missing.push(Missing {
                probe: probe.name.to_owned(),
                lost: probe.lost_without.to_owned(),
            });
        }
    }
    Ok(plan)
}

fn plan_probe(probe: &Probe, facts: &Facts, force: Option<Via>) -> ProbePlan {
    let mut planned = ProbePlan {
        probe: probe.name.to_owned(),
        choices: Vec::new(),
        parts: Vec::new(),
        unusable: Vec::new(),
    };
    for function in probe.functions {
        let Some(facts) = facts.functions.get(function.name) else {
            continue;
        };
        let mut choose = |via: Via, answer: &Answer| {
            if answer.is_possible() && force.is_none_or(|forced| forced == via) {
                planned.choices.push(Target {
                    via,
                    function: function.name.to_owned(),
                    slot: slot::WHOLE,
                });
            }
        };
        choose(Via::Fentry, &facts.in_btf);
        choose(Via::Kprobe, &facts.in_symbols);
        for symbol in &facts.split_symbols {
            // A `.part` keeps the arguments of its function; an `.isra` or `.constprop` may not,
            // and what a register holds there would have to be guessed.
            if symbol[function.name.len()..].starts_with(".part.") {
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
    planned
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
    use crate::facts::tests::facts_with;

    fn unknown() -> Answer {
        Answer::Unknown("restricted".to_owned())
    }

    fn choices(facts: &Facts, force: Option<Via>) -> Vec<String> {
        let plan = plan(facts, force).expect("a plan");
        plan.probes[0]
            .choices
            .iter()
            .map(ToString::to_string)
            .collect()
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
        let error = plan(&facts, None)
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
        let plan = plan(&facts, None).expect("a plan");
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
