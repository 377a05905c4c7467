//! Gives up the privileges that are not needed any more when everything is attached.

use caps::{CapSet, Capability, CapsHashSet, errors::CapsError};

/// What the rest of a run needs, whatever the kernel: without the first, nothing is told of programs
/// of other users (`/proc/PID/exe`, ptrace(2)); without the second, nothing of the cgroups of processes
/// that are gone (open_by_handle_at(2)).
const KEPT: [Capability; 2] = [Capability::CAP_SYS_PTRACE, Capability::CAP_DAC_READ_SEARCH];

/// What maps and programs that are loaded may still need: before c8644cd0efe7 (5.19) a kernel with
/// `kernel.unprivileged_bpf_disabled` refuses every call of bpf(2) without one of these.
const PERHAPS_KEPT: [Capability; 2] = [Capability::CAP_BPF, Capability::CAP_SYS_ADMIN];

/// Gives up all capabilities but those that are needed, and the way to get new ones from a file.
/// `works` tries what the rest of the run does; what it needs of [`PERHAPS_KEPT`] is kept.
///
/// Capabilities belong to a thread: call this before others are started.
///
/// # Errors
/// When the kernel refuses, which it never does for less than one has.
pub fn give_up(mut works: impl FnMut() -> bool) -> Result<(), CapsError> {
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
    caps::set(None, CapSet::Permitted, &kept)?;
    nix::sys::prctl::set_no_new_privs().map_err(|errno| CapsError::from(errno.to_string()))
}
