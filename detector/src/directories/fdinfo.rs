//! The inodes that a listener watches, out of `/proc/PID/fdinfo/FD` (proc_pid_fdinfo(5)).

use super::danger::WatchKind;

/// A mark on an inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Device of the superblock, as the kernel packs it (major << 20 | minor): `show_mark_fhandle()` and its callers in
    /// fs/notify/fdinfo.c print `s_dev` itself, in hexadecimal. On btrfs stat(2) tells another one.
    pub dev: u32,
    /// Inode number.
    pub ino: u64,
    /// Through which interface.
    pub through: WatchKind,
    /// The mask, with the names of that interface.
    pub mask: u64,
}

/// A line of the file. None for other lines, and for fanotify's marks on mounts, file systems and mount
/// namespaces: these say nothing of one directory.
#[must_use]
pub fn parse_line(line: &[u8]) -> Option<Mark> {
    let text = std::str::from_utf8(line).ok()?;
    let mut words = text.split_ascii_whitespace();
    let through = match words.next()? {
        "inotify" => WatchKind::Inotify,
        "fanotify" => WatchKind::Fanotify,
        _ => return None,
    };
    let (mut dev, mut ino, mut mask) = (None, None, None);
    for word in words {
        let Some((name, value)) = word.split_once(':') else {
            continue;
        };
        match name {
            "sdev" => dev = Some(u32::from_str_radix(value, 16).ok()?),
            "ino" => ino = Some(u64::from_str_radix(value, 16).ok()?),
            "mask" => mask = Some(u64::from_str_radix(value, 16).ok()?),
            _ => {}
        }
    }
    Some(Mark {
        dev: dev?,
        ino: ino?,
        through,
        mask: mask?,
    })
}

/// The interface of a listener, from what its file descriptor's link says (proc_pid_fd(5)). A path would
/// begin with a slash.
#[must_use]
pub fn listener(link: &[u8]) -> Option<WatchKind> {
    match link {
        b"anon_inode:inotify" => Some(WatchKind::Inotify),
        b"anon_inode:[fanotify]" => Some(WatchKind::Fanotify),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

    use super::*;

    fn marks(fdinfo: &str) -> Vec<Mark> {
        fdinfo
            .lines()
            .filter_map(|line| parse_line(line.as_bytes()))
            .collect()
    }

    #[test]
    fn inotify_marks() {
        let fdinfo = "pos:\t0\nflags:\t02004000\nmnt_id:\t15\nino:\t1057\n\
            inotify wd:2 ino:7ef82a sdev:800001 mask:800afff ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:2af87e00220ffd73\n\
            inotify wd:1 ino:192627 sdev:10300005 mask:2 ignored_mask:0 \n";
        let mark = |dev, ino, mask| Mark {
            dev,
            ino,
            through: WatchKind::Inotify,
            mask,
        };
        assert_eq!(
            marks(fdinfo),
            [
                mark(8 << 20 | 1, 0x7e_f82a, 0x800_afff),
                mark(259 << 20 | 5, 0x19_2627, 2)
            ]
        );
    }

    #[test]
    fn fanotify_marks_on_inodes_only() {
        let fdinfo = "fanotify flags:10 event-flags:0\n\
            fanotify mnt_id:12 mflags:40 mask:38 ignored_mask:40000003\n\
            fanotify sdev:800001 mflags:0 mask:3b ignored_mask:0\n\
            fanotify mnt_ns:1 mflags:0 mask:3 ignored_mask:0\n\
            fanotify ino:4f969 sdev:800013 mflags:0 mask:3b ignored_mask:40000000 fhandle-bytes:8 fhandle-type:1 f_handle:69f90400c275b5b4\n";
        let mark = Mark {
            dev: 8 << 20 | 19,
            ino: 0x4_f969,
            through: WatchKind::Fanotify,
            mask: 0x3b,
        };
        assert_eq!(marks(fdinfo), [mark]);
    }

    #[test]
    fn other_lines_and_broken_ones_are_no_marks() {
        for line in [
            "",
            "tfd:        5 events:       1d data: ffffffffffffffff pos:0 ino:61af sdev:7",
            "inotify",
            "inotify wd:1 ino:zz sdev:1 mask:1",
            "inotify wd:1 ino:11112222333344445 sdev:1 mask:1",
            "inotify wd:1 ino:1 sdev:111112222 mask:1",
            "inotify wd:1 ino:1 sdev:1",
            "fanotify ino: sdev:1 mask:1",
        ] {
            assert_eq!(parse_line(line.as_bytes()), None, "{line:?}");
        }
        assert_eq!(parse_line(b"inotify \xff ino:1 sdev:1 mask:1"), None);
    }

    #[test]
    fn random_bytes_are_survived() {
        const ALPHABET: &[u8] = b"fainotify :mask:sdev:0123456789abcdef-+\xff";
        for round in 0..5_000 {
            let mut seed = SmallRng::seed_from_u64(round);
            let length = seed.random_range(0..80);
            let mut byte = || ALPHABET[seed.random_range(0..ALPHABET.len())];
            let line: Vec<_> = b"inotify "
                .iter()
                .copied()
                .chain((0..length).map(|_| byte()))
                .collect();
            let _ = parse_line(&line);
        }
    }

    #[test]
    fn listeners_are_told_by_their_link() {
        assert_eq!(listener(b"anon_inode:inotify"), Some(WatchKind::Inotify));
        assert_eq!(
            listener(b"anon_inode:[fanotify]"),
            Some(WatchKind::Fanotify)
        );
        assert_eq!(listener(b"/tmp/anon_inode:inotify"), None);
        assert_eq!(listener(b"anon_inode:[eventpoll]"), None);
    }
}
