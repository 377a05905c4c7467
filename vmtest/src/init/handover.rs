//! For a guest with an init of its own: the disk becomes the root of everything and its init PID 1, while
//! this program goes on as a process beside it.

use std::{
    fs, os::unix::fs::symlink, os::unix::process::CommandExt as _, path::Path, process::Command,
};

use nix::{
    mount::{MsFlags, mount},
    unistd::{ForkResult, chdir, chroot, fork},
};

use super::Broken;
use crate::protocol::{DISK_PATH, INITRAMFS_PATH, OUT_PATH};

const INIT: &str = "/sbin/init";
/// What init finds mounted; the rest it mounts itself.
const MOVED: [&str; 3] = ["/proc", "/sys", "/dev"];

/// Makes the mounted disk the root and returns in another process than PID 1. Call it before any thread
/// is started: the new process has only this one.
pub fn to_own_init() -> Result<(), Broken> {
    enter_disk()?;
    fs::metadata(INIT).map_err(|error| Broken::new(INIT, error))?;
    // SAFETY: this process has one thread.
    match unsafe { fork() }.map_err(|error| Broken::new("fork", error))? {
        ForkResult::Child => Ok(()),
        ForkResult::Parent { .. } => {
            let error = Command::new(INIT).env_clear().env("TERM", "dumb").exec();
            // PID 1 ends: the kernel panics, which the host sees.
            panic!("{INIT}: {error}");
        }
    }
}

/// As switch_root(8) does it, but what was in memory stays, below [`INITRAMFS_PATH`].
fn enter_disk() -> Result<(), Broken> {
    let disk = Path::new(DISK_PATH);
    let below = |path: &str| disk.join(path.trim_start_matches('/'));
    for path in MOVED {
        put(path, &below(path), MsFlags::MS_MOVE)?;
    }
    let initramfs = below(INITRAMFS_PATH);
    fs::create_dir_all(&initramfs).map_err(|error| Broken::new(INITRAMFS_PATH, error))?;
    put("/", &initramfs, MsFlags::MS_BIND)?;
    symlink(format!("{INITRAMFS_PATH}{OUT_PATH}"), below(OUT_PATH))
        .map_err(|error| Broken::new(OUT_PATH, error))?;
    let failed = |error| Broken::new(format!("enter {DISK_PATH}"), error);
    chdir(disk).map_err(failed)?;
    mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>).map_err(failed)?;
    chroot(".").map_err(failed)?;
    chdir("/").map_err(failed)
}

fn put(what: &str, on: &Path, how: MsFlags) -> Result<(), Broken> {
    mount(Some(what), on, None::<&str>, how, None::<&str>)
        .map_err(|error| Broken::new(format!("mount {what} on {}", on.display()), error))
}
