//! Names of the bits in the masks that put a watch: linux/inotify.h, linux/fanotify.h, linux/fcntl.h.

use crate::event::Call;

const INOTIFY: &[(u64, &str)] = &[
    (0x1, "IN_ACCESS"),
    (0x2, "IN_MODIFY"),
    (0x4, "IN_ATTRIB"),
    (0x8, "IN_CLOSE_WRITE"),
    (0x10, "IN_CLOSE_NOWRITE"),
    (0x20, "IN_OPEN"),
    (0x40, "IN_MOVED_FROM"),
    (0x80, "IN_MOVED_TO"),
    (0x100, "IN_CREATE"),
    (0x200, "IN_DELETE"),
    (0x400, "IN_DELETE_SELF"),
    (0x800, "IN_MOVE_SELF"),
    (0x2000, "IN_UNMOUNT"),
    (0x4000, "IN_Q_OVERFLOW"),
    (0x8000, "IN_IGNORED"),
    (0x0100_0000, "IN_ONLYDIR"),
    (0x0200_0000, "IN_DONT_FOLLOW"),
    (0x0400_0000, "IN_EXCL_UNLINK"),
    (0x1000_0000, "IN_MASK_CREATE"),
    (0x2000_0000, "IN_MASK_ADD"),
    (0x4000_0000, "IN_ISDIR"),
    (0x8000_0000, "IN_ONESHOT"),
];

const FANOTIFY: &[(u64, &str)] = &[
    (0x1, "FAN_ACCESS"),
    (0x2, "FAN_MODIFY"),
    (0x4, "FAN_ATTRIB"),
    (0x8, "FAN_CLOSE_WRITE"),
    (0x10, "FAN_CLOSE_NOWRITE"),
    (0x20, "FAN_OPEN"),
    (0x40, "FAN_MOVED_FROM"),
    (0x80, "FAN_MOVED_TO"),
    (0x100, "FAN_CREATE"),
    (0x200, "FAN_DELETE"),
    (0x400, "FAN_DELETE_SELF"),
    (0x800, "FAN_MOVE_SELF"),
    (0x1000, "FAN_OPEN_EXEC"),
    (0x4000, "FAN_Q_OVERFLOW"),
    (0x8000, "FAN_FS_ERROR"),
    (0x1_0000, "FAN_OPEN_PERM"),
    (0x2_0000, "FAN_ACCESS_PERM"),
    (0x4_0000, "FAN_OPEN_EXEC_PERM"),
    (0x10_0000, "FAN_PRE_ACCESS"),
    (0x0100_0000, "FAN_MNT_ATTACH"),
    (0x0200_0000, "FAN_MNT_DETACH"),
    (0x0800_0000, "FAN_EVENT_ON_CHILD"),
    (0x1000_0000, "FAN_RENAME"),
    (0x4000_0000, "FAN_ONDIR"),
];

const DNOTIFY: &[(u64, &str)] = &[
    (0x1, "DN_ACCESS"),
    (0x2, "DN_MODIFY"),
    (0x4, "DN_CREATE"),
    (0x8, "DN_DELETE"),
    (0x10, "DN_RENAME"),
    (0x20, "DN_ATTRIB"),
    (0x8000_0000, "DN_MULTISHOT"),
];

/// `FS_EVENTS_POSS_ON_CHILD` (linux/fsnotify_backend.h) in the numbers of inotify and fanotify,
/// permission events included.
const ON_CHILD: u64 = 0x3f | 0x1000 | 0x7_0000 | 0x10_0000;
const FAN_EVENT_ON_CHILD: u64 = 0x0800_0000;
/// Those of dnotify, which `convert_arg` (fs/notify/dnotify/dnotify.c) turns into such events.
const DNOTIFY_ON_CHILD: u64 = 0x1 | 0x2 | 0x20;

fn names(call: Call) -> &'static [(u64, &'static str)] {
    match call {
        Call::InotifyAddWatch => INOTIFY,
        Call::FanotifyMark => FANOTIFY,
        Call::FcntlNotify => DNOTIFY,
    }
}

/// `IN_ATTRIB|IN_MOVE_SELF`; bits without a name come last, in hexadecimal.
#[must_use]
pub fn mask_names(call: Call, mask: u64) -> String {
    let mut rest = mask;
    let mut told: Vec<String> = Vec::new();
    for (bit, name) in names(call) {
        if rest & bit != 0 {
            told.push((*name).to_owned());
            rest &= !bit;
        }
    }
    if rest != 0 || told.is_empty() {
        told.push(format!("{rest:#x}"));
    }
    told.join("|")
}

/// The bits of a mask that make a first watch walk: events that can happen on a child.
#[must_use]
pub fn events_on_children(call: Call, mask: u64) -> u64 {
    match call {
        // inotify sets FS_EVENT_ON_CHILD for every watch (inotify_arg_to_mask).
        Call::InotifyAddWatch => mask & 0x3f,
        Call::FanotifyMark if mask & FAN_EVENT_ON_CHILD == 0 => 0,
        Call::FanotifyMark => mask & ON_CHILD,
        Call::FcntlNotify => mask & DNOTIFY_ON_CHILD,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_read_as_a_programmer_wrote_them() {
        let cases = [
            (Call::InotifyAddWatch, 0x804, "IN_ATTRIB|IN_MOVE_SELF"),
            (
                Call::InotifyAddWatch,
                0x8000_1002,
                "IN_MODIFY|IN_ONESHOT|0x1000",
            ),
            (Call::InotifyAddWatch, 0, "0x0"),
            (
                Call::FanotifyMark,
                0x4800_0020,
                "FAN_OPEN|FAN_EVENT_ON_CHILD|FAN_ONDIR",
            ),
            (Call::FcntlNotify, 0x8000_0002, "DN_MODIFY|DN_MULTISHOT"),
            (Call::FcntlNotify, 1 << 63, "0x8000000000000000"),
        ];
        for (call, mask, expected) in cases {
            assert_eq!(mask_names(call, mask), expected);
        }
    }

    #[test]
    fn no_bit_has_two_names() {
        for table in [INOTIFY, FANOTIFY, DNOTIFY] {
            let sum: u64 = table.iter().map(|(bit, _)| bit).sum();
            let union = table.iter().fold(0, |union, (bit, _)| union | bit);
            assert_eq!(sum, union);
            assert!(table.iter().all(|(bit, _)| bit.is_power_of_two()));
        }
    }

    #[test]
    fn only_events_that_can_happen_on_a_child_walk() {
        let inotify = |mask| events_on_children(Call::InotifyAddWatch, mask);
        assert_eq!(inotify(0x100), 0);
        assert_eq!(inotify(0x102), 0x2);
        let fanotify = |mask| events_on_children(Call::FanotifyMark, mask);
        assert_eq!(fanotify(0x20), 0);
        assert_eq!(fanotify(0x0801_0120), 0x1_0020);
        assert_eq!(events_on_children(Call::FcntlNotify, 0x8000_002c), 0x20);
    }
}
