//! Settings of the running kernel that bear on the dentry cache or on watches.
//!
//! What each would help is told by `plan/settings.rs`.

use std::{collections::BTreeMap, fs, io, path::Path};

use serde::{Deserialize, Serialize};

/// Drop a dentry at its unlink instead of keeping it as a negative one (7.x).
pub const DENTRY_NEGATIVE: &str = "fs.dentry-negative";
/// How ready the kernel is to free dentries when memory is short, in percent of the denominator.
pub const VFS_CACHE_PRESSURE: &str = "vm.vfs_cache_pressure";
/// What counts as 100 % in the one above; 100 where it is absent (e7b9cea718ee, 6.16).
pub const VFS_CACHE_PRESSURE_DENOM: &str = "vm.vfs_cache_pressure_denom";
/// Watches a user may have (inotify(7)).
pub const INOTIFY_MAX_USER_WATCHES: &str = "fs.inotify.max_user_watches";
/// Marks a user may have (fanotify(7), 5.13; Debian's 5.10 has it too).
pub const FANOTIFY_MAX_USER_MARKS: &str = "fs.fanotify.max_user_marks";

const NAMES: [&str; 5] = [
    DENTRY_NEGATIVE,
    VFS_CACHE_PRESSURE,
    VFS_CACHE_PRESSURE_DENOM,
    INOTIFY_MAX_USER_WATCHES,
    FANOTIFY_MAX_USER_MARKS,
];

/// The value of one of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sysctl {
    /// It is this.
    Value(i64),
    /// This kernel doesn't have it.
    Absent,
    /// It could not be told, for this reason.
    Unknown(String),
}

pub(super) fn read(root: &Path) -> BTreeMap<String, Sysctl> {
    NAMES
        .iter()
        .map(|name| {
            let text = fs::read_to_string(root.join(name.replace('.', "/")));
            ((*name).to_owned(), judge(text))
        })
        .collect()
}

fn judge(text: io::Result<String>) -> Sysctl {
    match text {
        Ok(text) => text.trim().parse().map_or_else(
            |_| Sysctl::Unknown("not a number".to_owned()),
            Sysctl::Value,
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Sysctl::Absent,
        Err(error) => Sysctl::Unknown(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_unreadable_and_odd_are_told_apart() {
        let root = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(root.path().join("fs/inotify")).expect("made");
        fs::create_dir_all(root.path().join("vm/vfs_cache_pressure")).expect("made");
        fs::write(root.path().join("fs/inotify/max_user_watches"), "8192\n").expect("written");
        fs::write(root.path().join("fs/dentry-negative"), "x\n").expect("written");
        let found = read(root.path());
        assert_eq!(found[INOTIFY_MAX_USER_WATCHES], Sysctl::Value(8_192));
        assert_eq!(found[FANOTIFY_MAX_USER_MARKS], Sysctl::Absent);
        assert_eq!(
            found[DENTRY_NEGATIVE],
            Sysctl::Unknown("not a number".to_owned())
        );
        // A directory where a file should be.
        assert!(matches!(found[VFS_CACHE_PRESSURE], Sysctl::Unknown(_)));
        assert_eq!(found.len(), NAMES.len());
    }
}
