//! Where the version 2 cgroup hierarchy is, and whether one cgroup of it can be reclaimed alone.

use std::fs;

use super::Answer;
use crate::mounts::unescape;

/// Most cgroups looked at: on a host where the first thousand say nothing, none will.
const LOOKED_AT_MAX: usize = 1_000;

/// Mount point of the hierarchy's root; none where it isn't mounted.
pub(super) fn root() -> Option<String> {
    parse_root(&fs::read("/proc/self/mountinfo").ok()?)
}

/// The first mount of type cgroup2 that shows the root of the hierarchy (proc_pid_mountinfo(5)).
fn parse_root(mountinfo: &[u8]) -> Option<String> {
    mountinfo.split(|byte| *byte == b'\n').find_map(|line| {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let separator = fields.iter().position(|field| *field == b"-")?;
        let is_whole = *fields.get(3)? == b"/" && *fields.get(separator + 1)? == b"cgroup2";
        let point = unescape(fields.get(4)?);
        is_whole.then(|| String::from_utf8(point).ok()).flatten()
    })
}

/// Cgroups have a file `memory.reclaim` (94968384dde1, 5.19). The root has none, so those below it
/// are asked; they have files of the memory controller only where it is switched on.
pub(super) fn has_memory_reclaim(root: Option<&str>) -> Answer {
    let Some(root) = root else {
        return Answer::No;
    };
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) => return Answer::Unknown(format!("{root}: {error}")),
    };
    let mut has_controller = false;
    for entry in entries.take(LOOKED_AT_MAX).flatten() {
        if entry.path().join("memory.reclaim").exists() {
            return Answer::Yes;
        }
        has_controller |= entry.path().join("memory.current").exists();
    }
    if has_controller {
        Answer::No
    } else {
        Answer::Unknown("no cgroup with the memory controller".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_where_the_whole_hierarchy_is_mounted() {
        let mountinfo = b"27 22 0:24 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n\
            29 27 0:26 /x /mnt/part rw - cgroup2 cgroup2 rw\n\
            nonsense\n\
            28 27 0:25 / /sys/fs/cgroup/uni\\040fied rw shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(
            parse_root(mountinfo),
            Some("/sys/fs/cgroup/uni fied".to_owned())
        );
        assert_eq!(parse_root(b"\n1 2 3\n - cgroup2\n"), None);
    }

    #[test]
    fn a_cgroup_with_the_controller_decides() {
        let root = tempfile::tempdir().expect("a folder");
        let path = root.path();
        let root = path.to_str();
        assert_eq!(has_memory_reclaim(None), Answer::No);
        fs::create_dir(path.join("init.scope")).expect("made");
        assert!(matches!(has_memory_reclaim(root), Answer::Unknown(_)));
        fs::write(path.join("init.scope/memory.current"), "1").expect("written");
        assert_eq!(has_memory_reclaim(root), Answer::No);
        fs::create_dir(path.join("system.slice")).expect("made");
        fs::write(path.join("system.slice/memory.reclaim"), "").expect("written");
        assert_eq!(has_memory_reclaim(root), Answer::Yes);
        assert!(matches!(
            has_memory_reclaim(Some("/nowhere")),
            Answer::Unknown(_)
        ));
    }
}
