//! What each setting of the kernel would help and what not: a pure function of the facts.

use serde::Serialize;

use crate::facts::{
    Facts, Sysctl,
    sysctls::{
        DENTRY_NEGATIVE, FANOTIFY_MAX_USER_MARKS, INOTIFY_MAX_USER_WATCHES, VFS_CACHE_PRESSURE,
        VFS_CACHE_PRESSURE_DENOM,
    },
};

/// A sysctl with its meaning for directories with millions of cached dentries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its sysctl(8) name.
    pub name: &'static str,
    /// Its value here.
    pub value: Sysctl,
    /// What it would help.
    pub helps: &'static str,
    /// What it would not.
    pub does_not_help: &'static str,
    /// What is wrong with the value it has.
    pub warning: Option<String>,
}

/// Name, what it helps, what it doesn't.
const TOLD: [(&str, &str, &str); 4] = [
    (
        // Tried on 7.3: with 1, 5,000 files made and removed left no dentry, 5,000 misses all of theirs.
        DENTRY_NEGATIVE,
        "1 drops a dentry when its file is removed, where 0 keeps it as a negative one",
        "lookups of names that never existed leave negative dentries with 1 as well",
    ),
    (
        // Documentation/admin-guide/sysctl/vm.rst
        VFS_CACHE_PRESSURE,
        "a larger value frees dentries sooner when memory is short",
        "while memory is free the cache grows whatever the value",
    ),
    (
        // inotify(7)
        INOTIFY_MAX_USER_WATCHES,
        "bounds how many directories a user watches",
        "a single watch walks all children of its directory",
    ),
    (
        // fanotify_init(2): CAP_SYS_ADMIN can ask for unlimited marks
        FANOTIFY_MAX_USER_MARKS,
        "bounds how many directories a user marks",
        "a single mark walks all children of its directory; root can do without bound",
    ),
];

/// All of them. Facts out of an older recording have none: then nothing is told.
#[must_use]
pub fn settings(facts: &Facts) -> Vec<Setting> {
    TOLD.iter()
        .filter_map(|(name, helps, does_not_help)| {
            let value = facts.sysctls.get(*name)?.clone();
            Some(Setting {
                name,
                warning: warning(name, &value, facts),
                value,
                helps,
                does_not_help,
            })
        })
        .collect()
}

fn warning(name: &str, value: &Sysctl, facts: &Facts) -> Option<String> {
    let (VFS_CACHE_PRESSURE, Sysctl::Value(pressure)) = (name, value) else {
        return None;
    };
    let whole = match facts.sysctls.get(VFS_CACHE_PRESSURE_DENOM) {
        Some(Sysctl::Value(whole)) => *whole,
        _ => 100,
    };
    if *pressure == 0 {
        Some("0 never frees a dentry, however short memory is".to_owned())
    } else if *pressure < whole {
        Some(format!(
            "below {whole}, its neutral value, the kernel prefers to keep dentries"
        ))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::tests::facts_with;

    fn pressure(value: i64, whole: Option<i64>) -> Option<String> {
        let mut facts = facts_with(&[]);
        let mut set = |name: &str, value| facts.sysctls.insert(name.to_owned(), value);
        set(VFS_CACHE_PRESSURE, Sysctl::Value(value));
        set(
            VFS_CACHE_PRESSURE_DENOM,
            whole.map_or(Sysctl::Absent, Sysctl::Value),
        );
        let told = settings(&facts);
        assert_eq!(told.len(), 1);
        told[0].warning.clone()
    }

    #[test]
    fn a_pressure_that_keeps_dentries_is_warned_of() {
        assert_eq!(pressure(100, None), None);
        assert_eq!(pressure(200, None), None);
        assert!(pressure(0, None).is_some_and(|told| told.contains("never")));
        assert!(pressure(50, None).is_some_and(|told| told.contains("below 100")));
        assert_eq!(pressure(100, Some(100)), None);
        assert!(pressure(100, Some(1_000)).is_some_and(|told| told.contains("below 1000")));
    }

    #[test]
    fn each_sentence_fits_a_line_of_100_columns() {
        for (name, helps, does_not_help) in TOLD {
            assert!(helps.len() + 19 <= 100, "{name}");
            assert!(does_not_help.len() + 21 <= 100, "{name}");
        }
    }

    #[test]
    fn facts_of_an_older_recording_have_no_settings() {
        assert_eq!(settings(&facts_with(&[])), Vec::new());
    }
}
