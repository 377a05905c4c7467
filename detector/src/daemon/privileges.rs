//! Gives up the privileges that are not needed any more when everything is attached.

use caps::{CapSet, Capability, CapsHashSet, errors::CapsError};

/// What the rest of a run needs, whatever the kernel: without the first, nothing is told of programs
/// of other users (`/proc/PID/exe`, ptrace(2)); without the second, nothing of the cgroups of processes
/// that are gone (open_by_handle_at(2)).
const KEPT: [Capability; 2] = [Capability::CAP_SYS_PTRACE, Capability::CAP_DAC_READ_SEARCH];

/// What maps and programs that are loaded may still need: before c8644cd0efe7 (5.19) a kernel with
/// `kernel.unprivileged_bpf_disabled` refuses every call of bpf(2) without one of these.
const PERHAPS_KEPT: [Capability; 2] = [Capability::CAP_BPF, Capability::CAP_SYS_ADMIN];

/// What it takes to time programs (BPF_ENABLE_STATS asks for CAP_SYS_ADMIN) and to attach them again.
const ASIDE: [Capability; 3] = [
    Capability::CAP_BPF,
    Capability::CAP_PERFMON,
    Capability::CAP_SYS_ADMIN,
];

/// Gives up all capabilities but those that are needed, and the way to get new ones from a file.
/// `works` tries what the rest of the run does; what it needs of [`PERHAPS_KEPT`] is kept. Where
/// programs are to be timed and may be, what that takes is laid aside for [`raised`].
///
/// Capabilities belong to a thread: call this before others are started.
///
/// # Errors
/// When the kernel refuses, which it never does for less than one has.
pub fn give_up(is_timed: bool, mut works: impl FnMut() -> bool) -> Result<(), CapsError> {
    let permitted = caps::read(None, CapSet::Permitted)?;
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP)? {
        for capability in caps::read(None, CapSet::Bounding)? {
            caps::drop(None, CapSet::Bounding, capability)?;
        }
    }
    caps::clear(None, CapSet::Ambient)?;
    caps::clear(None, CapSet::Inheritable)?;
    let mut kept: CapsHashSet = KEPT
        .into_iter()
        .filter(|capability| permitted.contains(capability))
        .collect();
    caps::set(None, CapSet::Effective, &kept)?;
    for capability in PERHAPS_KEPT {
        if works() {
            break;
        }
        if permitted.contains(&capability) {
            kept.insert(capability);
            caps::set(None, CapSet::Effective, &kept)?;
        }
    }
    if is_timed && permitted.contains(&Capability::CAP_SYS_ADMIN) {
        kept.extend(ASIDE.iter().filter(|one| permitted.contains(one)));
    }
    caps::set(None, CapSet::Permitted, &kept)?;
    nix::sys::prctl::set_no_new_privs().map_err(|errno| CapsError::from(errno.to_string()))
}

/// Runs something with what was laid aside, and lays it aside again.
pub fn raised<T>(run: impl FnOnce() -> T) -> T {
    let (Ok(effective), Ok(permitted)) = (
        caps::read(None, CapSet::Effective),
        caps::read(None, CapSet::Permitted),
    ) else {
        return run();
    };
    if effective == permitted {
        return run();
    }
    // What can't be raised is missing in `run`, which says so itself.
    let _ = caps::set(None, CapSet::Effective, &permitted);
    let result = run();
    if let Err(error) = caps::set(None, CapSet::Effective, &effective) {
        log::warn!("capabilities stay raised: {error}");
    }
    result
}
