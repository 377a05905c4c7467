//! Who watches which directory now: the marks of all listeners, from `/proc/PID/fdinfo`.
//!
//! To show a mark the kernel takes its inode's `i_lock` for a moment and the lock of the listener's group
//! (fs/notify/fdinfo.c: `igrab()`, `fsnotify_group_lock()`): this must not be done while a walk runs,
//! which holds both.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
};

use super::proc::Proc;
use crate::directories::{danger::Watcher, fdinfo};

/// File descriptors looked at in one scan: about two seconds' worth.
const LINKS_MAX: usize = 1 << 20;
/// Bytes of fdinfo read in one scan: half a million marks.
const FDINFO_BYTES_MAX: u64 = 64 << 20;
/// Watchers kept.
const WATCHERS_MAX: usize = 4096;

/// What a scan found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watchers {
    /// Device, inode number and watcher, in this order; a process that has a mark twice is there once.
    pub found: Vec<(u32, u64, Watcher)>,
    /// Everything was looked at. Not so where a limit ended it.
    pub is_complete: bool,
}

/// Those who watch one of these directories, each given by device (as the kernel packs it) and inode number.
/// Processes that vanish and those that we may not look into (ptrace(2), access mode checking) are left out.
#[must_use]
pub fn watchers(proc: &Proc, wanted: &BTreeSet<(u32, u64)>) -> Watchers {
    let mut scan = Scan {
        links_left: LINKS_MAX,
        bytes_left: FDINFO_BYTES_MAX,
        watchers: Watchers {
            found: Vec::new(),
            is_complete: true,
        },
    };
    if wanted.is_empty() {
        return scan.watchers;
    }
    for pid in proc.numbers(".") {
        for fd in proc.numbers(&format!("{pid}/fd")) {
            if scan.links_left == 0 || scan.bytes_left == 0 {
                scan.watchers.is_complete = false;
                break;
            }
            scan.links_left -= 1;
            let link = proc.link(&format!("{pid}/fd/{fd}")).unwrap_or_default();
            if fdinfo::listener(&link).is_some()
                && let Some(fdinfo) = proc.open(&format!("{pid}/fdinfo/{fd}"))
            {
                scan.listener(proc, pid, fdinfo, wanted);
            }
        }
    }
    let found = &mut scan.watchers.found;
    found.sort_by_key(rank);
    found.dedup();
    scan.watchers
}

fn rank((dev, ino, watcher): &(u32, u64, Watcher)) -> impl Ord + use<> {
    (*dev, *ino, watcher.pid, watcher.through, watcher.mask)
}

struct Scan {
    links_left: usize,
    bytes_left: u64,
    watchers: Watchers,
}

impl Scan {
    fn listener(&mut self, proc: &Proc, pid: u32, fdinfo: File, wanted: &BTreeSet<(u32, u64)>) {
        let mut lines = BufReader::new(fdinfo.take(self.bytes_left));
        let (mut line, mut comm) = (Vec::new(), None);
        while let Ok(1..) = lines.read_until(b'\n', &mut line) {
            let mark = fdinfo::parse_line(line.trim_ascii_end());
            line.clear();
            let Some(mark) = mark.filter(|mark| wanted.contains(&(mark.dev, mark.ino))) else {
                continue;
            };
            if self.watchers.found.len() >= WATCHERS_MAX {
                self.watchers.is_complete = false;
                break;
            }
            let comm = comm.get_or_insert_with(|| proc.comm(&pid.to_string()).unwrap_or_default());
            let watcher = Watcher {
                pid,
                comm: comm.clone(),
                through: mark.through,
                mask: mark.mask,
            };
            self.watchers.found.push((mark.dev, mark.ino, watcher));
        }
        self.bytes_left = lines.get_ref().limit();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

    use super::*;
    use crate::directories::danger::WatchKind;

    #[test]
    fn a_watch_of_our_own_is_found() {
        let directory = tempfile::tempdir().expect("a directory");
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC).expect("a listener");
        let flags = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MODIFY;
        inotify.add_watch(directory.path(), flags).expect("a watch");
        let proc = Proc::new().expect("/proc");
        let ino = std::fs::metadata(directory.path())
            .expect("it is there")
            .ino();
        let fdinfo = proc
            .numbers("self/fd")
            .filter_map(|fd| proc.read(&format!("self/fdinfo/{fd}"), 1 << 20))
            .flat_map(|text| {
                text.split(|byte| *byte == b'\n')
                    .map(<[u8]>::to_vec)
                    .collect::<Vec<_>>()
            });
        let mark = fdinfo
            .filter_map(|line| fdinfo::parse_line(&line))
            .find(|mark| mark.ino == ino)
            .expect("the kernel shows it");

        let found = watchers(
            &proc,
            &BTreeSet::from([(mark.dev, ino), (mark.dev, ino + 1)]),
        );
        assert!(found.is_complete);
        let own = found
            .found
            .iter()
            .filter(|(.., watcher)| watcher.pid == std::process::id());
        let own: Vec<_> = own.collect();
        let [(dev, found_ino, watcher)] = own[..] else {
            panic!("one watch: {own:?}");
        };
        assert_eq!((*dev, *found_ino), (mark.dev, ino));
        assert_eq!(watcher.through, WatchKind::Inotify);
        assert_eq!(watcher.mask & 0xfff, 0x102, "IN_CREATE, IN_MODIFY");
        assert!(!watcher.comm.is_empty());
    }

    #[test]
    fn nothing_wanted_nothing_found() {
        let found = watchers(&Proc::new().expect("/proc"), &BTreeSet::new());
        assert!(found.is_complete && found.found.is_empty());
    }
}
