//! Which words of a child a walk reads and which it writes, by the CPU's own breakpoints: on a host a walk costs
//! the cache lines that they lie in. For comparing kernels.
//!
//! Nothing of the detector is used, and nothing of what the kernel says of its structs.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Read as _,
    os::fd::FromRawFd as _,
    path::Path,
};

use anyhow::Context as _;
use nix::{
    errno::Errno,
    sys::inotify::{AddWatchFlags, InitFlags, Inotify},
};
use serde_json::json;

use crate::stage::{
    checks::Checks,
    kernel,
    precondition::{self, NotApplicable},
    tracefs::Tracefs,
};

/// x86 has four registers for breakpoints, of up to eight bytes each (Intel SDM, volume 3, 19.2).
const BREAKPOINTS_COUNT: usize = 4;
const WORD_BYTES: u32 = 8;

/// linux/hw_breakpoint.h: `HW_BREAKPOINT_RW`, `HW_BREAKPOINT_W`.
const TOUCHED: u32 = 3;
const WRITTEN: u32 = 2;

const CHILD: &str = "child";

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    precondition::kprobes()?;
    let bytes = dentry_bytes()?;
    let disk = kernel::new_dir("child-access")?;
    let missing = disk.join(CHILD);
    let negative = access(checks, "negative", &disk, bytes, || {
        let found = fs::metadata(&missing);
        anyhow::ensure!(found.is_err(), "{} is there", missing.display());
        Ok(())
    })?;
    let ramfs = Path::new("/mnt/child-access");
    kernel::ramfs(ramfs)?;
    let dir = ramfs.join("dir");
    fs::create_dir(&dir)?;
    let existing = dir.join(CHILD);
    let positive = access(checks, "positive", &dir, bytes, || {
        File::options().create(true).append(true).open(&existing)?;
        Ok(())
    })?;
    checks.that(
        "a walk writes to a child that exists: it sets its flag",
        !positive.written.is_empty(),
        format!("{:?}", positive.written),
    );
    let kinds = [("negative", negative), ("positive", positive)];
    let accesses = kinds.map(|(children, access)| {
        json!({
            "children": children,
            "touched_at_bytes": access.touched,
            "written_at_bytes": access.written,
        })
    });
    checks.data(json!({ "dentry_bytes": bytes, "accesses": accesses }));
    Ok(())
}

/// Offsets in the child's dentry.
struct Access {
    touched: BTreeSet<u32>,
    written: BTreeSet<u32>,
}

/// What a watch on this directory does with its one child, which `look` makes and looks up.
fn access(
    checks: &mut Checks,
    children: &str,
    dir: &Path,
    bytes: u32,
    look: impl Fn() -> anyhow::Result<()>,
) -> anyhow::Result<Access> {
    let child = made_child(&look)?;
    let words: Vec<u32> = (0..bytes / WORD_BYTES).map(|at| at * WORD_BYTES).collect();
    let looked_up = hits(child, &words, TOUCHED, || Ok(()), &look)?;
    checks.that(
        format!("{children}: a lookup of the child touches it"),
        !looked_up.is_empty(),
        format!("{looked_up:?}"),
    );
    // The other watch keeps the file system from being seen as unwatched: an access then clears the flags.
    let other = dir.with_file_name(format!("{children}-other"));
    fs::create_dir(&other)?;
    let inotify = Inotify::init(InitFlags::empty())?;
    inotify.add_watch(&other, AddWatchFlags::IN_MODIFY)?;
    let watch = || {
        inotify
            .add_watch(dir, AddWatchFlags::IN_MODIFY)
            .context("watch")
            .map(drop)
    };
    let unwatch = || -> anyhow::Result<()> {
        let descriptor = inotify.add_watch(dir, AddWatchFlags::IN_MODIFY)?;
        inotify.rm_watch(descriptor)?;
        look()
    };
    let touched = hits(child, &words, TOUCHED, unwatch, watch)?;
    let words: Vec<u32> = touched.iter().copied().collect();
    let written = hits(child, &words, WRITTEN, unwatch, watch)?;
    Ok(Access { touched, written })
}

/// The address of the dentry that a lookup makes.
fn made_child(look: &impl Fn() -> anyhow::Result<()>) -> anyhow::Result<u64> {
    let tracefs = Tracefs::new()?;
    // Exported by fs/dcache.c, and how lookup_slow and lookup_open come to a new dentry (fs/namei.c).
    tracefs.watch_results("d_alloc_parallel")?;
    look()?;
    let made = tracefs.results(std::process::id())?;
    let [child] = made[..] else {
        anyhow::bail!("one lookup made the dentries {made:x?}");
    };
    Ok(child)
}

/// From one dentry in a slab to the next (slabinfo(5)).
fn dentry_bytes() -> anyhow::Result<u32> {
    let table = fs::read_to_string("/proc/slabinfo")
        .map_err(|error| NotApplicable(format!("/proc/slabinfo: {error}")))?;
    let line = table.lines().find_map(|line| line.strip_prefix("dentry "));
    let mut numbers = line.context("slabs of dentries")?.split_whitespace();
    Ok(numbers.nth(2).context("object size")?.parse()?)
}

/// Those of the words that `action` touches or writes; `before` makes ready for it each time.
fn hits(
    address: u64,
    words: &[u32],
    kind: u32,
    before: impl Fn() -> anyhow::Result<()>,
    action: impl Fn() -> anyhow::Result<()>,
) -> anyhow::Result<BTreeSet<u32>> {
    let mut hits = BTreeSet::new();
    for some in words.chunks(BREAKPOINTS_COUNT) {
        before()?;
        let breakpoints = some
            .iter()
            .map(|word| Breakpoint::on(address + u64::from(*word), kind))
            .collect::<anyhow::Result<Vec<_>>>()?;
        breakpoints.iter().try_for_each(Breakpoint::enable)?;
        let done = action();
        for (word, breakpoint) in some.iter().zip(breakpoints) {
            if breakpoint.end()? > 0 {
                hits.insert(*word);
            }
        }
        done?;
    }
    Ok(hits)
}

/// A breakpoint on a word of the kernel's, for this thread: perf_event_open(2).
struct Breakpoint(File);

/// `struct perf_event_attr` as far as breakpoints need it: PERF_ATTR_SIZE_VER1, linux/perf_event.h.
#[repr(C)]
#[derive(Default)]
struct PerfEventAttr {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    bp_addr: u64,
    bp_len: u64,
}

/// linux/perf_event.h.
const PERF_TYPE_BREAKPOINT: u32 = 5;
/// `disabled`, and `pinned`: one that gets no register is an error when it is read.
const DISABLED_PINNED: u64 = 1 | 1 << 2;
const PERF_EVENT_IOC_ENABLE: nix::libc::c_ulong = 0x2400;
const PERF_EVENT_IOC_DISABLE: nix::libc::c_ulong = 0x2401;

impl Breakpoint {
    fn on(address: u64, kind: u32) -> anyhow::Result<Self> {
        let attr = PerfEventAttr {
            kind: PERF_TYPE_BREAKPOINT,
            size: u32::try_from(size_of::<PerfEventAttr>())?,
            flags: DISABLED_PINNED,
            bp_type: kind,
            bp_addr: address,
            bp_len: WORD_BYTES.into(),
            ..PerfEventAttr::default()
        };
        // SAFETY: the kernel reads `size` bytes of the attributes; this thread, any CPU, no group, no flags.
        let descriptor = unsafe {
            nix::libc::syscall(
                nix::libc::SYS_perf_event_open,
                &raw const attr,
                0,
                -1,
                -1,
                0,
            )
        };
        match Errno::result(descriptor) {
            // SAFETY: a new descriptor that nothing else owns.
            Ok(descriptor) => Ok(Self(unsafe {
                File::from_raw_fd(i32::try_from(descriptor)?)
            })),
            Err(error @ (Errno::ENOENT | Errno::ENOSYS | Errno::EOPNOTSUPP)) => {
                Err(NotApplicable(format!("no breakpoints: perf_event_open: {error}")).into())
            }
            Err(error) => Err(error).context("perf_event_open"),
        }
    }

    fn enable(&self) -> anyhow::Result<()> {
        self.control(PERF_EVENT_IOC_ENABLE)
    }

    /// How often it was hit.
    fn end(mut self) -> anyhow::Result<u64> {
        self.control(PERF_EVENT_IOC_DISABLE)?;
        let mut count = [0; 8];
        self.0.read_exact(&mut count).context("read a breakpoint")?;
        Ok(u64::from_ne_bytes(count))
    }

    fn control(&self, request: nix::libc::c_ulong) -> anyhow::Result<()> {
        use std::os::fd::AsRawFd as _;
        // SAFETY: ioctl(2) on a descriptor of ours with an integer.
        let outcome = unsafe { nix::libc::ioctl(self.0.as_raw_fd(), request, 0) };
        Errno::result(outcome).context("a breakpoint").map(drop)
    }
}
