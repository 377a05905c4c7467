//! The process takes little memory, and keeps it: what is paged out during an incident comes back when it is over.

use nix::{
    errno::Errno,
    libc,
    sys::prctl::set_thp_disable,
    sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit},
};

/// No huge pages: where /sys/kernel/mm/transparent_hugepage/enabled is `always`, a few of those that were made for
/// parsing stay, with little in them: 18 MiB resident instead of 11 (6.1). Linux 3.15 has the call.
pub fn in_small_pages() {
    // Where it fails it is larger, and does the same.
    let _ = set_thp_disable(true);
}

/// Gives back what reading the kernel's type information leaves behind: some MiB of freed heap, which the
/// allocator would keep for the rest of a run of months.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Locks all memory, also what comes later, page by page as it is first used (MCL_ONFAULT, Linux 4.4):
/// pages that nobody ever touches take no room.
///
/// Where a limit stays (setrlimit(2)), nothing is locked: with MCL_FUTURE an allocation past the limit
/// fails, which would end the process; and CAP_IPC_LOCK alone may be dropped later.
///
/// # Errors
/// Why it is not locked, in one line with the way out.
pub fn lock() -> Result<(), String> {
    // Without CAP_SYS_RESOURCE this changes nothing, and the limit decides.
    let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
    let limit = getrlimit(Resource::RLIMIT_MEMLOCK).map_or(0, |(soft, _)| soft);
    if limit != RLIM_INFINITY {
        return Err(format!(
            "memory is not locked: RLIMIT_MEMLOCK is {limit} (try: ulimit -l unlimited, LimitMEMLOCK=infinity in a unit)"
        ));
    }
    let flags = libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT;
    // SAFETY: the call takes no pointer.
    if unsafe { libc::mlockall(flags) } == 0 {
        Ok(())
    } else {
        Err(format!("memory is not locked: {}", Errno::last().desc()))
    }
}
