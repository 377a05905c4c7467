//! The guest's file systems.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use nix::mount::{MsFlags, mount};

use super::Broken;
use crate::{
    arch::GUEST,
    protocol::{DISK_PATH, OUT_PATH},
};

struct Mount {
    source: &'static str,
    target: &'static str,
    fs: &'static str,
    data: Option<&'static str>,
    /// An optional one that fails is reported to the host, and the guest goes on.
    is_required: bool,
}

const fn required(fs: &'static str, target: &'static str) -> Mount {
    Mount {
        source: fs,
        target,
        fs,
        data: None,
        is_required: true,
    }
}

const fn optional(fs: &'static str, target: &'static str) -> Mount {
    Mount {
        source: fs,
        target,
        fs,
        data: None,
        is_required: false,
    }
}

/// In order: a mount point may lie in an earlier file system.
const MOUNTS: [Mount; 11] = [
    required("proc", "/proc"),
    required("sysfs", "/sys"),
    required("devtmpfs", "/dev"),
    required("tmpfs", "/tmp"),
    required("tmpfs", "/run"),
    Mount {
        source: "devpts",
        target: "/dev/pts",
        fs: "devpts",
        data: Some("mode=620,ptmxmode=666"),
        is_required: false,
    },
    optional("cgroup2", "/sys/fs/cgroup"),
    optional("securityfs", "/sys/kernel/security"),
    optional("tracefs", "/sys/kernel/tracing"),
    optional("debugfs", "/sys/kernel/debug"),
    optional("bpf", "/sys/fs/bpf"),
];

/// The first and only disk.
const DISK_DEVICE: &str = GUEST.disk.device;
/// A controller is probed asynchronously; under emulation this takes up to a second.
const DISK_WAIT: Duration = Duration::from_secs(20);

/// What did not work when mounting.
#[derive(Default)]
pub struct Unmounted {
    /// Optional ones.
    pub troubles: Vec<String>,
    /// The first one that the guest can't be without.
    pub broken: Option<Broken>,
}

/// Mounts everything; returns what failed.
pub fn mount_all() -> Unmounted {
    let mut unmounted = Unmounted::default();
    for entry in &MOUNTS {
        let done = fs::create_dir_all(entry.target)
            .map_err(|error| error.to_string())
            .and_then(|()| {
                mount(
                    Some(entry.source),
                    entry.target,
                    Some(entry.fs),
                    MsFlags::empty(),
                    entry.data,
                )
                .map_err(|error| error.to_string())
            });
        let Err(error) = done else { continue };
        let what = format!("mount {} on {}", entry.fs, entry.target);
        if entry.is_required {
            unmounted.broken.get_or_insert(Broken::new(what, error));
        } else {
            unmounted.troubles.push(format!("{what}: {error}"));
        }
    }
    for directory in [OUT_PATH, "/root", "/dev/shm"] {
        if let Err(error) = fs::create_dir_all(directory) {
            unmounted
                .troubles
                .push(format!("make {directory}: {error}"));
        }
    }
    unmounted
}

/// Waits for the disk and mounts it.
pub fn mount_disk(fs_type: &str) -> Result<(), Broken> {
    let deadline = Instant::now() + DISK_WAIT;
    while !Path::new(DISK_DEVICE).exists() {
        if Instant::now() > deadline {
            return Err(Broken::new(
                DISK_DEVICE,
                format!(
                    "the disk did not appear (is the kernel's {} driver there?)",
                    GUEST.disk.module
                ),
            ));
        }
        thread::sleep(Duration::from_millis(10));
    }
    let what = || format!("mount {DISK_DEVICE} ({fs_type}) on {DISK_PATH}");
    fs::create_dir_all(DISK_PATH).map_err(|e| Broken::new(what(), e))?;
    mount(
        Some(DISK_DEVICE),
        DISK_PATH,
        Some(fs_type),
        MsFlags::empty(),
        None::<&str>,
    )
    .map_err(|e| Broken::new(what(), e))
}
