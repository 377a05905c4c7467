//! Figures and names in the cells of the danger list, each a few columns wide.

use super::{
    duration,
    layout::{columns, shorten},
};
use crate::{directories::danger::Watcher, escape::escape};

/// Beyond this nobody asks for how long.
const ENDLESS_NS: u64 = 7_200_000_000_000;

/// The first of those who make another walk unlikely, and how many there are besides.
pub fn watched(watchers: &[Watcher], columns_max: usize) -> String {
    let first = watchers
        .iter()
        .find(|watcher| watcher.is_on_children())
        .or(watchers.first());
    let Some(first) = first else {
        return "-".to_owned();
    };
    let what = if first.is_on_children() {
        ""
    } else {
        " (entries)"
    };
    let more = match watchers.len() {
        1 => String::new(),
        count => format!(" +{}", count - 1),
    };
    let rest = format!(" {}{what}{more}", first.pid);
    let room = columns_max.saturating_sub(columns(&rest));
    format!("{}{rest}", shorten(&escape(&first.comm), room))
}

/// What nobody has told.
pub fn unknown() -> String {
    "?".to_owned()
}

/// Length of a predicted walk.
pub fn freeze(ns: u64) -> String {
    if ns > ENDLESS_NS {
        ">2 h".to_owned()
    } else {
        duration::text(ns)
    }
}

/// Exact up to seven digits, then three and a unit.
pub fn count(count: u64) -> String {
    if count < 10_000_000 {
        return count.to_string();
    }
    let mut value = u128::from(count) * 100;
    let mut units = ["", "k", "M", "G", "T", "P", "E"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    // Hundredths, so that nothing is rounded up into the next unit.
    while value >= 100_000 {
        value /= 1_000;
        unit = units.next().unwrap_or_default();
    }
    match value {
        0..1_000 => format!("{}.{:02} {unit}", value / 100, value % 100),
        1_000..10_000 => format!("{}.{} {unit}", value / 100, value % 100 / 10),
        _ => format!("{} {unit}", value / 100),
    }
}

/// Rounded so that only all is 100 % and only none is 0 %.
pub fn share(part: u64, whole: u64) -> String {
    if whole == 0 || part == 0 {
        return "0 %".to_owned();
    }
    match u128::from(part) * 100 / u128::from(whole) {
        0 => "<1 %".to_owned(),
        percent => format!("{} %", percent.min(100)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_counts_keep_three_digits() {
        let cases = [
            (0, "0"),
            (9_999_999, "9999999"),
            (10_000_000, "10.0 M"),
            (28_765_432, "28.7 M"),
            (999_999_999, "999 M"),
            (1_200_000_000, "1.20 G"),
            (u64::MAX, "18.4 E"),
        ];
        for (value, expected) in cases {
            assert_eq!(count(value), expected);
        }
    }

    #[test]
    fn only_all_is_100_percent_and_only_none_0() {
        let cases = [
            (0, 0, "0 %"),
            (0, 9, "0 %"),
            (1, 1_000, "<1 %"),
            (999, 1_000, "99 %"),
            (1_000, 1_000, "100 %"),
            (u64::MAX, u64::MAX, "100 %"),
        ];
        for (part, whole, expected) in cases {
            assert_eq!(share(part, whole), expected);
        }
    }
}
