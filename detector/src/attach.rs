//! Acts on a plan: loads the programs and attaches them. The only file that talks to aya's loader.

use std::{
    os::fd::{AsFd as _, AsRawFd as _},
    path::Path,
};

use aya::{
    Btf, Ebpf, EbpfLoader, Endianness,
    maps::{HashMap, MapData, PerCpuArray, RingBuf},
    programs::{FEntry, FExit, KProbe, Program, ProgramError},
};
use fslockup_ebpf::{Offsets, WalkRecord, slot};
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};

use crate::{
    facts::{self, Capability, Facts},
    plan::{Plan, ProbePlan, Target, Via},
    report::{AttachReport, AttachedProbe, Refused},
};

/// The compiled programs.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/fslockup"));

/// Bytes of an element in the map of running walks.
pub const WALK_BYTES: usize = size_of::<WalkRecord>();

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
    #[error("attach {probe}: {}{hint}", refused.iter().map(|r| format!("{}: {}", r.target, r.reason)).collect::<Vec<_>>().join("; "))]
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
    /// Counters per CPU.
    pub counters: PerCpuArray<MapData, u64>,
    programs: Ebpf,
}

impl Attached {
    /// How often the kernel left a program out because the same one was already running on that
    /// CPU, in a task that was preempted there (`recursion_misses` in bpf_prog_show_fdinfo, 5.12;
    /// before that no run was left out).
    ///
    /// # Errors
    /// When the kernel's account can't be read.
    pub fn skipped_count(&self) -> std::io::Result<u64> {
        let mut count = 0;
        for (_, program) in self.programs.programs() {
            // Not loaded: it is not the one that was chosen.
            let Ok(fd) = program.fd() else { continue };
            let fdinfo = format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd());
            count += parse_skipped(&std::fs::read_to_string(fdinfo)?);
        }
        Ok(count)
    }
}

fn parse_skipped(fdinfo: &str) -> u64 {
    fdinfo
        .lines()
        .find_map(|line| line.strip_prefix("recursion_misses:")?.trim().parse().ok())
        .unwrap_or(0)
}

/// Loads and attaches what the plan says; the ring buffer carries the records of finished walks.
///
/// # Errors
/// When a required probe can't be attached.
pub fn attach(
    plan: &Plan,
    facts: &Facts,
    walk_threshold_ns: u64,
) -> Result<(Attached, RingBuf<MapData>), AttachError> {
    may_load(facts)?;
    // Maps count against this limit before 5.11; where it can't be raised the load fails and says so.
    let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
    let load_error = |reason: String| AttachError::Load {
        reason,
        hint: hint(facts),
    };
    let offsets = facts::to_offsets(facts);
    let mut ebpf = EbpfLoader::new()
        .btf(None)
        .override_global("OFFSETS", words(&offsets), true)
        .override_global("WALK_THRESHOLD_NS", &walk_threshold_ns, true)
        .load(OBJECT)
        .map_err(|error| load_error(chain(&error)))?;
    let kernel_btf = Btf::parse_file(Path::new(&facts.btf.source), Endianness::default())
        .map_err(|error| load_error(chain(&error)))?;

    let mut report = AttachReport {
        probes: Vec::new(),
        missing: plan.missing.clone(),
    };
    for planned in &plan.probes {
        report
            .probes
            .push(attach_probe(&mut ebpf, &kernel_btf, planned, facts)?);
    }
    let mut take = |name: &str| {
        ebpf.take_map(name)
            .ok_or_else(|| load_error(format!("map {name} is not in the object")))
    };
    let bad_map = |error: aya::maps::MapError| load_error(chain(&error));
    let records = RingBuf::try_from(take("RECORDS")?).map_err(bad_map)?;
    let attached = Attached {
        report,
        walks: HashMap::try_from(take("WALKS")?).map_err(bad_map)?,
        counters: PerCpuArray::try_from(take("COUNTERS")?).map_err(bad_map)?,
        programs: ebpf,
    };
    Ok((attached, records))
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

fn words(offsets: &Offsets) -> &[u8] {
    // SAFETY: `Offsets` is `repr(C)` and made of `u32` only, so it has no padding.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(offsets).cast(), size_of::<Offsets>()) }
}

fn attach_probe(
    ebpf: &mut Ebpf,
    kernel_btf: &Btf,
    planned: &ProbePlan,
    facts: &Facts,
) -> Result<AttachedProbe, AttachError> {
    let mut refused = Vec::new();
    let mut targets = Vec::new();
    for target in &planned.choices {
        match attach_pair(ebpf, kernel_btf, target) {
            Ok(()) => {
                targets.push(target.clone());
                break;
            }
            Err(error) => refused.push(Refused {
                target: target.clone(),
                reason: reason(&error),
            }),
        }
    }
    if targets.is_empty() {
        return Err(AttachError::Refused {
            probe: planned.probe.clone(),
            refused,
            hint: hint(facts) + &kprobe_hint(facts, &planned.choices),
        });
    }
    let mut lost: Vec<_> = planned
        .unusable
        .iter()
        .map(|symbol| format!("walks that enter {symbol} directly: its arguments can't be known"))
        .collect();
    // One pair of programs is there for parts; no kernel was seen with more than one part.
    for (index, part) in planned.parts.iter().enumerate() {
        let outcome = if index == 0 {
            attach_pair(ebpf, kernel_btf, part).map_err(|error| reason(&error))
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

/// Attaches exit and entry, the exit first: an exit without an entry is counted, while an entry
/// without an exit would look like a walk that never ends.
fn attach_pair(ebpf: &mut Ebpf, kernel_btf: &Btf, target: &Target) -> Result<(), ProgramError> {
    let function = target.function.as_str();
    let (entry, exit) = match (target.via, target.slot) {
        (Via::Fentry, _) => ("walk_fentry", "walk_fexit"),
        (Via::Kprobe, slot::PART) => ("walk_part_kprobe", "walk_part_kretprobe"),
        (Via::Kprobe, _) => ("walk_kprobe", "walk_kretprobe"),
    };
    let outcome = attach_one(ebpf, kernel_btf, exit, function)
        .and_then(|()| attach_one(ebpf, kernel_btf, entry, function));
    if outcome.is_err() {
        for name in [entry, exit] {
            // Not loaded is no error here: it may be the one that was refused.
            let _ = match ebpf.program_mut(name) {
                Some(Program::FEntry(program)) => program.unload(),
                Some(Program::FExit(program)) => program.unload(),
                Some(Program::KProbe(program)) => program.unload(),
                _ => Ok(()),
            };
        }
    }
    outcome
}

fn attach_one(
    ebpf: &mut Ebpf,
    kernel_btf: &Btf,
    name: &str,
    function: &str,
) -> Result<(), ProgramError> {
    let program = ebpf
        .program_mut(name)
        .ok_or_else(|| ProgramError::InvalidName {
            name: name.to_owned(),
        })?;
    match program {
        Program::FEntry(_) => {
            let program: &mut FEntry = program.try_into()?;
            program.load(function, kernel_btf)?;
            program.attach()?;
        }
        Program::FExit(_) => {
            let program: &mut FExit = program.try_into()?;
            program.load(function, kernel_btf)?;
            program.attach()?;
        }
        _ => {
            let program: &mut KProbe = program.try_into()?;
            program.load()?;
            program.attach(function, 0)?;
        }
    }
    Ok(())
}

/// What is known to refuse programs here, to be put behind the kernel's own words.
fn hint(facts: &Facts) -> String {
    match facts.lockdown.as_deref() {
        Some(mode) if mode != "none" => format!(" (kernel lockdown is '{mode}')"),
        _ => String::new(),
    }
}

/// Debian and others added a level 3 to `kernel.perf_event_paranoid`, at which perf events, and with
/// them kprobes, are left to CAP_SYS_ADMIN whatever CAP_PERFMON says.
fn kprobe_hint(facts: &Facts, tried: &[Target]) -> String {
    let is_tried = tried.iter().any(|target| target.via == Via::Kprobe);
    let may = facts.capabilities.contains(&Capability::CapSysAdmin);
    match facts.perf_event_paranoid {
        Some(level) if level >= 3 && is_tried && !may => {
            format!(" (kernel.perf_event_paranoid is {level}: kprobes need CAP_SYS_ADMIN)")
        }
        _ => String::new(),
    }
}

/// The kernel's reason in a few words; the verifier's full log goes to the debug log.
fn reason(error: &ProgramError) -> String {
    log::debug!("{}", chain(error));
    if let ProgramError::LoadError {
        io_error,
        verifier_log,
    } = error
    {
        let log = verifier_log.to_string();
        let last = log
            .lines()
            .map(str::trim)
            .rfind(|line| !line.is_empty() && !is_statistics(line));
        return match last {
            Some(line) => format!("{}: {line}", errno_text(io_error)),
            None => errno_text(io_error),
        };
    }
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(found) = source {
        if let Some(io_error) = found.downcast_ref::<std::io::Error>() {
            return errno_text(io_error);
        }
        source = found.source();
    }
    chain(error)
}

/// Lines that the verifier puts behind its complaint.
fn is_statistics(line: &str) -> bool {
    ["processed ", "verification time ", "stack depth "]
        .iter()
        .any(|start| line.starts_with(start))
}

fn errno_text(error: &std::io::Error) -> String {
    use nix::errno::Errno;
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EPERM | Errno::EACCES) => "permission denied".to_owned(),
        Some(errno) => errno.desc().to_lowercase(),
        None => error.to_string(),
    }
}

/// An error with all its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
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
