//! Acts on a plan: loads the programs and attaches them. The only file that talks to aya's loader.

mod budget;
pub mod census;
mod producers;
mod reasons;
pub mod runs;
mod settings;
mod trace;
mod types;
mod version;

use std::{os::fd::BorrowedFd, thread::JoinHandle};

use aya::{
    Btf, Ebpf,
    maps::{Array, HashMap, Map, MapData, PerCpuArray, RingBuf},
    programs::{KProbe, Program, ProgramError},
};
use fslockup_ebpf::{
    CpuState, THRESHOLDS_COUNT, TraceFilter, Waiting, WalkRecord, slot, threshold,
};
pub use producers::{PRODUCERS_MAX, ProducerMaps};
pub use trace::{TraceCounts, Tracing, attach_trace};

use budget::{Detached, Link, Links, attach_loaded};
use census::{Censor, CensusError};
use reasons::{chain, hint, kprobe_hint, reason};
use settings::Settings;

use crate::{
    facts::{Capability, Facts, TypeIds},
    model::{AttachReport, AttachedProbe, Refused},
    plan::{Choice, Missing, Plan, ProbePlan, Target, Via},
    probes::{self, Kind},
};

/// Bytes of an element in the map of running walks.
pub const WALK_BYTES: usize = size_of::<WalkRecord>();

/// Bytes of an element in the map of CPUs.
pub const CPU_BYTES: usize = size_of::<CpuState>();

/// Bytes of an element in the map of sleeping waiters.
pub const WAITING_BYTES: usize = size_of::<Waiting>();

/// What the programs are told when they are loaded.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    /// Walks and system calls.
    pub walk_ns: u64,
    /// Waits.
    pub wait_ns: u64,
    /// Stalls.
    pub stall_ns: u64,
    /// Changes in a directory with fewer references than this are not counted: it has fewer cached
    /// children, and each of them holds one reference.
    pub producer_children_min: u32,
}

impl Thresholds {
    /// Nothing is that long: for a look at what can be attached.
    pub const NEVER: Self = Self {
        walk_ns: u64::MAX,
        wait_ns: u64::MAX,
        stall_ns: u64::MAX,
        producer_children_min: u32::MAX,
    };

    /// As the programs read them; all but the last one, which is frozen.
    #[must_use]
    pub fn words(&self) -> [u64; THRESHOLDS_COUNT] {
        let mut words = [0; THRESHOLDS_COUNT];
        words[threshold::WALK] = self.walk_ns;
        words[threshold::WAIT] = self.wait_ns;
        words[threshold::STALL] = self.stall_ns;
        words
    }
}

/// Why nothing could be attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The process may not load programs.
    #[error("missing {}: run as root, or with CAP_BPF and CAP_PERFMON", names(.0))]
    Capabilities(Vec<Capability>),
    /// The object as a whole was refused.
    #[error("load: {reason}{hint}")]
    Load {
        /// What the kernel said.
        reason: String,
        /// What is known to be behind it.
        hint: String,
    },
    /// A required probe's targets were all refused.
    #[error("attach {probe}: {}{hint}", refused.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Refused {
        /// The probe's name.
        probe: String,
        /// Each target with the kernel's reason.
        refused: Vec<Refused>,
        /// What is known to be behind it.
        hint: String,
    },
}

fn names(capabilities: &[Capability]) -> String {
    let names: Vec<_> = capabilities
        .iter()
        .map(|capability| capability.name())
        .collect();
    names.join(" and ")
}

/// Programs that are attached, and their maps. Dropping it detaches everything; so does the end
/// of the process, whatever its kind: every link is a file descriptor.
pub struct Attached {
    /// What sits where.
    pub report: AttachReport,
    /// Running walks.
    pub walks: HashMap<MapData, u64, [u8; WALK_BYTES]>,
    /// What each CPU is inside of.
    pub cpus: Array<MapData, [u8; CPU_BYTES]>,
    /// Waiters that sleep.
    pub sleepers: HashMap<MapData, u32, [u8; WAITING_BYTES]>,
    /// How many comparisons of the scheduler's clock are wanted.
    pub compare_clocks: Array<MapData, u64>,
    /// Walks that ended unseen, so far.
    pub reaped_count: Array<MapData, u64>,
    /// Waits that began before this count for nothing, CLOCK_MONOTONIC.
    pub waits_since_ns: Array<MapData, u64>,
    /// What the programs compare with: [`Thresholds::words`].
    pub thresholds: Array<MapData, [u64; THRESHOLDS_COUNT]>,
    /// What each process did in each directory.
    pub producers: ProducerMaps,
    /// Counters per CPU.
    pub counters: PerCpuArray<MapData, u64>,
    programs: Ebpf,
    links: Links,
    detached: Detached,
    /// Threads in which links are being dropped.
    going: Vec<JoinHandle<()>>,
    type_ids: TypeIds,
    /// Kept open: a program that is loaded again refers to it by its descriptor.
    _slots: MapData,
}

/// Runs of programs that the kernel left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Skipped {
    /// Of the programs for waits.
    pub waits_count: u64,
    /// Of the programs for producers: each is a change of a dentry that was not counted.
    pub changes_count: u64,
    /// Of all others.
    pub others_count: u64,
}

impl Attached {
    /// How often the kernel left a program out because the same one was already running on that
    /// CPU, in a task that was preempted there (`recursion_misses` in bpf_prog_show_fdinfo, 5.12;
    /// before that no run was left out). `proc` is `/proc`.
    ///
    /// # Errors
    /// When the kernel's account can't be read.
    pub fn skipped(&self, proc: BorrowedFd<'_>) -> std::io::Result<Skipped> {
        let mut skipped = Skipped::default();
        for (name, program) in self.programs.programs() {
            let count = skipped_count(proc, program)?;
            if name.starts_with("wait_") {
                skipped.waits_count += count;
            } else if name.starts_with("produce_") {
                skipped.changes_count += count;
            } else {
                skipped.others_count += count;
            }
        }
        Ok(skipped)
    }
}

/// None of a program that is not loaded: it is not the one that was chosen.
fn skipped_count(proc: BorrowedFd<'_>, program: &Program) -> std::io::Result<u64> {
    let fdinfo = runs::fdinfo(proc, program)?;
    Ok(fdinfo.map_or(0, |fdinfo| parse_skipped(&fdinfo)))
}

fn parse_skipped(fdinfo: &str) -> u64 {
    fdinfo
        .lines()
        .find_map(|line| line.strip_prefix("recursion_misses:")?.trim().parse().ok())
        .unwrap_or(0)
}

/// What a plan comes to.
pub struct Started {
    /// The programs.
    pub attached: Attached,
    /// The records of finished walks.
    pub records: RingBuf<MapData>,
    /// The program that counts children, or why there is none.
    pub censor: Result<Censor, CensusError>,
}

/// Loads and attaches what the plan says, and loads the census.
///
/// # Errors
/// When a required probe can't be attached.
pub fn attach(
    plan: &Plan,
    facts: &Facts,
    type_ids: &TypeIds,
    thresholds: &Thresholds,
    ring_bytes: Option<u32>,
) -> Result<Started, AttachError> {
    let settings = Settings::new(facts, thresholds, TraceFilter::default())?;
    let mut loader = settings.loader();
    let censor = Censor::load_with(facts, &mut loader);
    let mut ebpf = settings.load(facts, &mut loader, ring_bytes)?;
    let (report, links) = attach_probes(&mut ebpf, plan, facts, type_ids)?;
    let load_error = |reason: String| load_error(facts, reason);
    let mut take = |name: &str| {
        ebpf.take_map(name)
            .ok_or_else(|| load_error(format!("map {name} is not in the object")))
    };
    let bad_map = |error: aya::maps::MapError| load_error(chain(&error));
    let records = RingBuf::try_from(take("RECORDS")?).map_err(bad_map)?;
    let Map::Array(slots) = take("SLOTS")? else {
        return Err(load_error("map SLOTS is no array".to_owned()));
    };
    let producers = ProducerMaps::new(
        HashMap::try_from(take("PRODUCERS")?).map_err(bad_map)?,
        &slots,
        PerCpuArray::try_from(take("UNCOUNTED")?).map_err(bad_map)?,
    )
    .map_err(|error| load_error(format!("map SLOTS: {error}")))?;
    let attached = Attached {
        report,
        walks: HashMap::try_from(take("WALKS")?).map_err(bad_map)?,
        compare_clocks: Array::try_from(take(".data.compare")?).map_err(bad_map)?,
        reaped_count: Array::try_from(take(".data.reaped")?).map_err(bad_map)?,
        waits_since_ns: Array::try_from(take(".data.waits_since")?).map_err(bad_map)?,
        thresholds: Array::try_from(take(".data.thresholds")?).map_err(bad_map)?,
        cpus: Array::try_from(take("CPUS")?).map_err(bad_map)?,
        sleepers: HashMap::try_from(take("SLEEPERS")?).map_err(bad_map)?,
        producers,
        counters: PerCpuArray::try_from(take("COUNTERS")?).map_err(bad_map)?,
        programs: ebpf,
        links,
        detached: Detached::new(),
        going: Vec::new(),
        type_ids: type_ids.clone(),
        _slots: slots,
    };
    Ok(Started {
        attached,
        records,
        censor,
    })
}

fn load_error(facts: &Facts, reason: String) -> AttachError {
    AttachError::Load {
        reason,
        hint: hint(facts),
    }
}

fn attach_probes(
    ebpf: &mut Ebpf,
    plan: &Plan,
    facts: &Facts,
    type_ids: &TypeIds,
) -> Result<(AttachReport, Links), AttachError> {
    let kernel_btf = types::numbered(type_ids).map_err(|error| load_error(facts, chain(&error)))?;
    let mut report = AttachReport {
        probes: Vec::new(),
        missing: plan.missing.clone(),
    };
    let mut links = Links::new();
    for planned in &plan.probes {
        match attach_probe(ebpf, &mut links, &kernel_btf, planned) {
            Ok(attached) => report.probes.push(attached),
            Err(refused) if planned.is_required => {
                let tried = refused.iter().map(|refused| &refused.target);
                let hint = hint(facts) + &kprobe_hint(facts, tried);
                return Err(AttachError::Refused {
                    probe: planned.probe.clone(),
                    refused,
                    hint,
                });
            }
            Err(refused) => report.missing.push(Missing {
                probe: planned.probe.clone(),
                lost: planned.lost_without.clone(),
                refused: refused.iter().map(ToString::to_string).collect(),
            }),
        }
    }
    Ok((report, links))
}

/// CAP_SYS_ADMIN, or CAP_BPF with CAP_PERFMON (capabilities(7)): asked first, because the kernel's
/// own refusal doesn't name what is missing.
fn may_load(facts: &Facts) -> Result<(), AttachError> {
    let has = |capability| facts.capabilities.contains(&capability);
    let missing: Vec<_> = [Capability::CapBpf, Capability::CapPerfmon]
        .into_iter()
        .filter(|capability| !has(*capability))
        .collect();
    if missing.is_empty() || has(Capability::CapSysAdmin) {
        return Ok(());
    }
    Err(AttachError::Capabilities(missing))
}

fn attach_probe(
    ebpf: &mut Ebpf,
    links: &mut Links,
    kernel_btf: &Btf,
    planned: &ProbePlan,
) -> Result<AttachedProbe, Vec<Refused>> {
    let mut refused = Vec::new();
    let mut taken = None;
    for choice in &planned.choices {
        match attach_choice(ebpf, links, kernel_btf, &planned.probe, choice) {
            Ok(()) => {
                taken = Some(choice);
                break;
            }
            Err(why) => refused.push(why),
        }
    }
    let Some(taken) = taken else {
        return Err(refused);
    };
    let mut targets = taken.targets.clone();
    let mut lost: Vec<_> = planned
        .unusable
        .iter()
        .map(|symbol| format!("walks that enter {symbol} directly: its arguments can't be known"))
        .chain(taken.lost.iter().cloned())
        .collect();
    // One pair of programs is there for parts; no kernel was seen with more than one part.
    for (index, part) in planned.parts.iter().enumerate() {
        let outcome = if index == 0 {
            attach_target(ebpf, links, kernel_btf, &planned.probe, part)
                .map_err(|error| reason(&error))
        } else {
            Err("more than one part".to_owned())
        };
        match outcome {
            Ok(()) => targets.push(part.clone()),
            Err(reason) => {
                lost.push(format!("walks that enter {} directly", part.function));
                refused.push(Refused {
                    target: part.clone(),
                    reason,
                });
            }
        }
    }
    Ok(AttachedProbe {
        probe: planned.probe.clone(),
        targets,
        refused,
        lost,
    })
}

/// Attaches all targets of a choice, or none.
fn attach_choice(
    ebpf: &mut Ebpf,
    links: &mut Links,
    kernel_btf: &Btf,
    probe: &str,
    choice: &Choice,
) -> Result<(), Refused> {
    for (index, target) in choice.targets.iter().enumerate() {
        if let Err(error) = attach_target(ebpf, links, kernel_btf, probe, target) {
            for attached in &choice.targets[..index] {
                detach(ebpf, links, probe, attached);
            }
            return Err(Refused {
                target: target.clone(),
                reason: reason(&error),
            });
        }
    }
    Ok(())
}

/// The programs of a target in the order in which they are attached. The exit comes first: an exit
/// without an entry is counted, while an entry without an exit would look like a walk that never ends.
fn programs(probe: &str, target: &Target) -> Vec<String> {
    let Some((kind, program)) = probes::program(probe, &target.function) else {
        return Vec::new();
    };
    let part = if target.slot == slot::PART {
        "_part"
    } else {
        ""
    };
    match target.via {
        Via::Fentry if kind == Kind::HotEntry => vec![program.to_owned()],
        Via::Fentry if kind == Kind::Entry => vec![format!("{program}_fentry")],
        Via::Kprobe if kind == Kind::Entry => vec![format!("{program}_kprobe")],
        Via::Fentry => vec![format!("{program}_fexit"), format!("{program}_fentry")],
        Via::Kprobe => vec![
            format!("{program}{part}_kretprobe"),
            format!("{program}{part}_kprobe"),
        ],
        Via::Tracepoint => vec![program.to_owned()],
    }
}

fn attach_target(
    ebpf: &mut Ebpf,
    links: &mut Links,
    kernel_btf: &Btf,
    probe: &str,
    target: &Target,
) -> Result<(), ProgramError> {
    let outcome = programs(probe, target)
        .iter()
        .try_for_each(|name| attach_one(ebpf, links, kernel_btf, name, &target.function));
    if outcome.is_err() {
        detach(ebpf, links, probe, target);
    }
    outcome
}

fn detach(ebpf: &mut Ebpf, links: &mut Links, probe: &str, target: &Target) {
    for name in programs(probe, target) {
        links.remove(&name);
        if let Some(program) = ebpf.program_mut(&name) {
            unload(program);
        }
    }
}

/// Not loaded is no error here: it may be the one that was refused.
fn unload(program: &mut Program) {
    let _ = match program {
        Program::FEntry(program) => program.unload(),
        Program::FExit(program) => program.unload(),
        Program::KProbe(program) => program.unload(),
        Program::BtfTracePoint(program) => program.unload(),
        _ => Ok(()),
    };
}

fn attach_one(
    ebpf: &mut Ebpf,
    links: &mut Links,
    kernel_btf: &Btf,
    name: &str,
    function: &str,
) -> Result<(), ProgramError> {
    let program = ebpf
        .program_mut(name)
        .ok_or_else(|| ProgramError::InvalidName {
            name: name.to_owned(),
        })?;
    load_program(program, function, kernel_btf)?;
    let id = match program {
        Program::KProbe(program) => {
            program.attach(function, 0)?;
            None
        }
        _ => attach_loaded(program)?,
    };
    let function = function.to_owned();
    links.extend(id.map(|id| (name.to_owned(), Link { function, id })));
    Ok(())
}

/// Has the verifier look at a program.
fn load_program(
    program: &mut Program,
    function: &str,
    kernel_btf: &Btf,
) -> Result<(), ProgramError> {
    match program {
        Program::FEntry(program) => program.load(function, kernel_btf),
        Program::FExit(program) => program.load(function, kernel_btf),
        Program::BtfTracePoint(program) => program.load(function, kernel_btf),
        _ => {
            let program: &mut KProbe = program.try_into()?;
            program.load()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::tests::facts_with;

    fn refusal(capabilities: &[Capability]) -> Option<String> {
        let facts = Facts {
            capabilities: capabilities.to_vec(),
            ..facts_with(&[])
        };
        may_load(&facts).err().map(|error| error.to_string())
    }

    #[test]
    fn skipped_runs_are_read_from_fdinfo() {
        assert_eq!(
            parse_skipped("pos:\t0\nrun_cnt:\t5\nrecursion_misses:\t3\n"),
            3
        );
        assert_eq!(parse_skipped("pos:\t0\nprog_type:\t26\n"), 0);
    }

    #[test]
    fn what_is_missing_is_named_and_nothing_else() {
        assert_eq!(refusal(&[Capability::CapSysAdmin]), None);
        assert_eq!(refusal(&[Capability::CapBpf, Capability::CapPerfmon]), None);
        let said = refusal(&[Capability::CapPerfmon]).expect("refused");
        assert!(said.starts_with("missing CAP_BPF: "), "{said}");
        let said = refusal(&[]).expect("refused");
        assert!(
            said.starts_with("missing CAP_BPF and CAP_PERFMON: "),
            "{said}"
        );
    }
}
