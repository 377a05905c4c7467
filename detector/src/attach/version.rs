//! Keeps aya from deciding by the kernel's version.
//!
//! aya (0.14 as well as 0.16) reads three numbers out of uname(2) before it names a map (4.15) or attaches a
//! kprobe through perf_event_open(2) (4.17). A release can have two: a candidate of Debian is `7.3-cloud-amd64`, and
//! in `uname -v` `Debian 7.3~rc7-1~exp1`. There aya warned for each map, left its name out, and made kprobes
//! through tracefs, where they outlive a process that is killed.
//!
//! Every kernel that can run our programs has all of that, so aya reads one version everywhere. It keeps what it has
//! read for each thread; the answer comes from here, because it offers no other way to say it.

use std::{cell::Cell, ffi::c_int, ptr};

use aya::util::KernelVersion;
use nix::libc;

/// The oldest kernel that is supported.
const RELEASE: &[u8] = b"5.10.0\0";

thread_local! {
    static IS_AYA_ASKING: Cell<bool> = const { Cell::new(false) };
}

/// Has aya read the version, if this thread hasn't yet: before it does anything else here.
pub(super) fn settle() {
    IS_AYA_ASKING.set(true);
    let version = KernelVersion::current();
    IS_AYA_ASKING.set(false);
    // On Ubuntu it is read from /proc/version_signature.
    if let Err(error) = version {
        log::warn!("the kernel's version: {error}");
    }
}

/// uname(2) for the whole program, in place of the C library's.
///
/// # Safety
/// `names` points to a `utsname`, as for the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn uname(names: *mut libc::utsname) -> c_int {
    if IS_AYA_ASKING.get() {
        // SAFETY: the caller's, and the name is shorter than the field.
        unsafe {
            ptr::write_bytes(names, 0, 1);
            ptr::copy_nonoverlapping(
                RELEASE.as_ptr().cast(),
                (*names).release.as_mut_ptr(),
                RELEASE.len(),
            );
        }
        return 0;
    }
    // SAFETY: the caller's.
    let status = unsafe { libc::syscall(libc::SYS_uname, names) };
    if status == 0 { 0 } else { -1 }
}

#[cfg(test)]
mod tests {
    use std::{fs, thread};

    use nix::sys::utsname;

    use super::*;

    fn version() -> String {
        KernelVersion::current().map_or_else(|error| error.to_string(), |it| it.to_string())
    }

    #[test]
    fn aya_reads_one_version_whatever_the_kernel_is_called() {
        // Each thread has its own, so this one can't have been asked before.
        let read = thread::spawn(|| {
            settle();
            version()
        });
        assert_eq!(read.join().expect("no panic"), "5.10.0");
    }

    #[test]
    fn everybody_else_reads_what_the_kernel_says() {
        settle();
        let names = utsname::uname().expect("uname");
        let file = |name: &str| {
            let path = format!("/proc/sys/kernel/{name}");
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
            text.trim_end().to_owned()
        };
        assert_eq!(names.release().to_string_lossy(), file("osrelease"));
        assert_eq!(names.version().to_string_lossy(), file("version"));
        assert_eq!(names.nodename().to_string_lossy(), file("hostname"));
    }
}
