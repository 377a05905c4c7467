//! From the id of a cgroup to its path, without a process that is in it.
//!
//! The id is the file handle of the cgroup's directory (kernfs, 33c5ac917519 "kernfs: implement custom exportfs
//! ops and fid type", 5.5), so the kernel opens the directory by it and says its path: no search. It takes
//! `CAP_DAC_READ_SEARCH`; and a cgroup that was removed can't be opened any more, hence the memory.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd},
};

use nix::{
    fcntl::{OFlag, open},
    libc,
    sys::{
        stat::Mode,
        statfs::{CGROUP2_SUPER_MAGIC, fstatfs},
    },
};

use super::proc::Proc;

/// Where systemd and others mount the version 2 hierarchy; the second on hosts that use both versions.
const MOUNT_POINTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// Paths remembered; when there are more, all are forgotten.
const PATHS_MAX: usize = 4096;

/// The version 2 hierarchy.
#[derive(Debug)]
pub struct Cgroups {
    root: OwnedFd,
    mount_point: Vec<u8>,
    paths: HashMap<u64, Vec<u8>>,
}

impl Cgroups {
    /// None where the hierarchy is not mounted at one of its usual places.
    pub fn new(proc: &Proc) -> Option<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let root = MOUNT_POINTS.iter().find_map(|path| {
            let root = open(*path, flags, Mode::empty()).ok()?;
            let kind = fstatfs(root.as_fd()).ok()?.filesystem_type();
            (kind == CGROUP2_SUPER_MAGIC).then_some(root)
        })?;
        Some(Self {
            mount_point: path_of(proc, &root)?,
            root,
            paths: HashMap::new(),
        })
    }

    /// The path of a cgroup below the root of the hierarchy, as `/proc/PID/cgroup` has it. None where it was
    /// removed before anybody asked, or where the kernel refuses.
    pub fn path(&mut self, proc: &Proc, id: u64) -> Option<Vec<u8>> {
        if let Some(path) = self.paths.get(&id) {
            return Some(path.clone());
        }
        let directory = open_by_id(&self.root, id).ok()?;
        let path = path_of(proc, &directory)?;
        let below = path.strip_prefix(self.mount_point.as_slice())?;
        let below: &[u8] = if below.is_empty() { b"/" } else { below };
        if !below.starts_with(b"/") {
            return None;
        }
        if self.paths.len() >= PATHS_MAX {
            self.paths.clear();
        }
        self.paths.insert(id, below.to_vec());
        Some(below.to_vec())
    }
}

fn path_of(proc: &Proc, fd: &OwnedFd) -> Option<Vec<u8>> {
    proc.link(&format!("self/fd/{}", fd.as_raw_fd()))
}

/// `FILEID_KERNFS` (linux/exportfs.h).
const FILEID_KERNFS: libc::c_int = 0xfe;

/// `struct file_handle` of open_by_handle_at(2) with the handle of a directory in kernfs.
#[repr(C)]
struct Handle {
    handle_bytes: libc::c_uint,
    handle_type: libc::c_int,
    id: [u8; 8],
}

fn open_by_id(root: &OwnedFd, id: u64) -> io::Result<OwnedFd> {
    let mut handle = Handle {
        handle_bytes: 8,
        handle_type: FILEID_KERNFS,
        id: id.to_ne_bytes(),
    };
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: the pointer is to a file handle with as many bytes behind its two numbers as the first of
    // them says, which lives until the call returns.
    let fd = unsafe {
        let handle = (&raw mut handle).cast::<libc::file_handle>();
        libc::open_by_handle_at(root.as_raw_fd(), handle, flags)
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
