//! Which programs go where: a pure function of the table of probes and the facts.

mod exposure;
mod settings;
#[cfg(test)]
mod tests;

use fslockup_ebpf::slot;
use serde::{Deserialize, Serialize};

pub use exposure::{Exposure, exposure};
pub use settings::{Setting, settings};

use crate::{
    facts::{Answer, Facts},
    probes::{Kind, PROBES, Point, Probe, TRACE_PROBES, Takes, WALK, WALKER_UNFIXED, Way, When},
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

/// Makes the plan of `run`.
///
/// # Errors
/// When a required probe has no place on this kernel.
pub fn plan(facts: &Facts, wishes: &Wishes) -> Result<Plan, PlanError> {
    plan_table(PROBES, facts, wishes)
}

/// Makes the plan of `trace`.
///
/// # Errors
/// As [`plan`].
pub fn plan_trace(facts: &Facts, wishes: &Wishes) -> Result<Plan, PlanError> {
    plan_table(TRACE_PROBES, facts, wishes)
}

/// Whether a plan of `run` for these facts rests on the symbol table: where it doesn't, nobody needs to wait for it.
///
/// It has the parts of the walker that some callers enter directly. The compiler splits a function where it can put its
/// first part into a caller of the same source file: the older walker has one there (`__fsnotify_parent`), the newer
/// one has none. It also has functions that the type information lacks.
#[must_use]
pub fn needs_symbols(facts: &Facts, wishes: &Wishes) -> bool {
    let in_btf = |name: &str| {
        facts
            .functions
            .get(name)
            .is_some_and(|found| found.in_btf == Answer::Yes)
    };
    let is_hidden = |way: &Way| {
        let by_breakpoint = matches!(way.kind, Kind::Function | Kind::Entry);
        by_breakpoint && !way.points.iter().any(|point| in_btf(point.name))
            || way
                .points
                .iter()
                .any(|point| point.needs.is_some_and(|needed| !in_btf(needed)))
    };
    wishes.force == Some(Via::Kprobe)
        || in_btf(WALKER_UNFIXED)
        || PROBES
            .iter()
            .filter(|probe| applies(probe, facts, wishes))
            .any(|probe| probe.ways.iter().any(is_hidden))
}

fn plan_table(table: &'static [Probe], facts: &Facts, wishes: &Wishes) -> Result<Plan, PlanError> {
    let mut plan = Plan {
        probes: Vec::new(),
        missing: Vec::new(),
    };
    for probe in table.iter().filter(|probe| applies(probe, facts, wishes)) {
        if let Some(reason) = never(probe, facts) {
            plan.missing.push(Missing {
                probe: probe.name.to_owned(),
                lost: probe.lost_without.to_owned(),
                refused: vec![reason],
            });
            continue;
        }
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

/// Why a probe that could be attached must not be: its programs would make the host worse.
///
/// Waiters of sleeping locks are seen where `lock->wait_lock` is held with interrupts off (`rtlock_slowlock_locked` in
/// kernel/locking/rtmutex.c). A record of them takes the ring buffer's lock, and must not sleep there.
fn never(probe: &Probe, facts: &Facts) -> Option<String> {
    let is_safe = facts.ring_lock_sleeps == Answer::No;
    let is_of_sleepers = probe.when == When::SpinlocksSleep;
    (is_of_sleepers && !is_safe).then(|| {
        "a program would sleep with interrupts off: the ring buffer's lock is no raw spinlock here (8b62645b09f8)"
            .to_owned()
    })
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
                .filter(|point| !is_other_name(way, point, facts))
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
        (Kind::Function | Kind::HotFunction | Kind::HotEntry | Kind::Entry, Via::Fentry) => {
            is_wanted && function(point.name).is_some_and(|found| found.in_btf.is_possible())
        }
        (Kind::Function | Kind::Entry, Via::Kprobe) => {
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

/// Of several names of one thing, one that may only be in a symbol table which nobody has read, while the type
/// information has another.
fn is_other_name(way: &Way, point: &Point, facts: &Facts) -> bool {
    let found = |name: &str| facts.functions.get(name);
    let in_btf = |name: &str| found(name).is_some_and(|found| found.in_btf == Answer::Yes);
    way.takes == Takes::One
        && !in_btf(point.name)
        && found(point.name).is_some_and(|found| matches!(found.in_symbols, Answer::Unknown(_)))
        && way.points.iter().any(|other| in_btf(other.name))
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
