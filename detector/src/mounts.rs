//! Where file systems are mounted: turns a path inside one into the path people know.

/// One line of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    dev: u32,
    root: Vec<u8>,
    mount_point: Vec<u8>,
}

/// The mount table of the detector's own namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounts {
    mounts: Vec<Mount>,
}

impl Mounts {
    /// Parses the file's text; lines that are not as documented are left out.
    #[must_use]
    pub fn parse(mountinfo: &[u8]) -> Self {
        Self {
            mounts: mountinfo
                .split(|byte| *byte == b'\n')
                .filter_map(parse_line)
                .collect(),
        }
    }

    /// Where something is mounted, each once.
    #[cfg_attr(
        not(feature = "probes"),
        expect(dead_code, reason = "only commands that talk to the kernel ask")
    )]
    pub fn points(&self) -> impl Iterator<Item = Vec<u8>> {
        let points: std::collections::BTreeSet<_> =
            self.mounts.iter().map(|mount| &mount.mount_point).collect();
        points.into_iter().cloned()
    }

    /// The path of a directory as the host sees it, from its names inside its file system. Where
    /// a file system is mounted more than once, the mount of its root counts, then the one that
    /// shows the most of the path. None where no mount shows it.
    #[must_use]
    pub fn resolve(&self, dev: u32, names: &[Vec<u8>]) -> Option<Vec<u8>> {
        let inside = join(b"", names);
        let (mount, rest) = self
            .mounts
            .iter()
            .filter(|mount| mount.dev == dev)
            .filter_map(|mount| Some((mount, strip_root(&mount.root, &inside)?)))
            .min_by_key(|(mount, rest)| (mount.root != b"/", rest.len()))?;
        let point: &[u8] = if mount.mount_point == b"/" {
            b""
        } else {
            &mount.mount_point
        };
        let path = [point, rest].concat();
        Some(if path.is_empty() { b"/".to_vec() } else { path })
    }
}

/// The device of one mount, by its id in the text of `/proc/self/mountinfo`.
#[must_use]
#[cfg_attr(
    not(feature = "probes"),
    expect(dead_code, reason = "only commands that talk to the kernel ask")
)]
pub fn device_of_mount(mountinfo: &[u8], id: u64) -> Option<u32> {
    let id = format!("{id} ");
    mountinfo
        .split(|byte| *byte == b'\n')
        .find(|line| line.starts_with(id.as_bytes()))
        .and_then(parse_line)
        .map(|mount| mount.dev)
}

/// `prefix/a/b`, with `/` alone for the root.
#[must_use]
pub fn join(prefix: &[u8], names: &[Vec<u8>]) -> Vec<u8> {
    let mut path = prefix.to_vec();
    for name in names {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    if path.is_empty() { b"/".to_vec() } else { path }
}

/// What is left of a path below a mount's root, with its leading slash, or empty.
fn strip_root<'a>(root: &[u8], path: &'a [u8]) -> Option<&'a [u8]> {
    if root == b"/" {
        return Some(if path == b"/" { b"" } else { path });
    }
    let rest = path.strip_prefix(root)?;
    (rest.is_empty() || rest.starts_with(b"/")).then_some(rest)
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ').skip(2);
    let dev = std::str::from_utf8(fields.next()?).ok()?;
    let (major, minor) = dev.split_once(':')?;
    let (major, minor): (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
    Some(Mount {
        dev: major.checked_shl(20)? | minor,
        root: unescape(fields.next()?),
        mount_point: unescape(fields.next()?),
    })
}

/// Space, tab, newline and backslash are given as `\` and three octal digits.
pub fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        let octal = tail
            .first_chunk::<3>()
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match octal {
            Some(escaped) if byte == b'\\' => {
                bytes.push(escaped);
                rest = &tail[3..];
            }
            _ => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n\
        30 22 259:0 / /mnt/disk rw - ext4 /dev/nvme0n1 rw\n\
        31 22 259:0 /deep/er /srv rw - ext4 /dev/nvme0n1 rw\n\
        32 22 0:40 /only/bound /home/with\\040space rw - btrfs x rw\n\
        nonsense\n\n";

    fn resolve(dev: u32, names: &[&str]) -> Option<String> {
        let names: Vec<_> = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        Mounts::parse(TABLE)
            .resolve(dev, &names)
            .map(|path| String::from_utf8(path).expect("text"))
    }

    #[test]
    fn paths_get_the_mount_point_in_front() {
        assert_eq!(resolve(8 << 20 | 1, &[]).as_deref(), Some("/"));
        assert_eq!(
            resolve(8 << 20 | 1, &["var", "spool"]).as_deref(),
            Some("/var/spool")
        );
        assert_eq!(resolve(259 << 20, &[]).as_deref(), Some("/mnt/disk"));
        assert_eq!(
            resolve(259 << 20, &["flood"]).as_deref(),
            Some("/mnt/disk/flood")
        );
    }

    #[test]
    fn a_mount_of_the_root_wins_over_a_bind_mount() {
        assert_eq!(
            resolve(259 << 20, &["deep", "er", "x"]).as_deref(),
            Some("/mnt/disk/deep/er/x")
        );
    }

    #[test]
    fn a_bind_mount_shows_only_what_is_below_its_root() {
        assert_eq!(
            resolve(40, &["only", "bound", "x"]).as_deref(),
            Some("/home/with space/x")
        );
        assert_eq!(resolve(40, &["only", "boundary"]), None);
        assert_eq!(resolve(40, &["elsewhere"]), None);
    }

    #[test]
    fn an_unknown_device_has_no_path() {
        assert_eq!(resolve(7, &["x"]), None);
    }

    #[test]
    fn a_mount_is_found_by_its_id() {
        assert_eq!(device_of_mount(TABLE, 30), Some(259 << 20));
        assert_eq!(device_of_mount(TABLE, 3), None);
        assert_eq!(device_of_mount(b"5 1 x / / rw", 5), None);
    }
}
