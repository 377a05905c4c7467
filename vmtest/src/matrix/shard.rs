//! A part of a run, for a CI system with several machines.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::matrix::{
    durations::Durations,
    plan::{PlannedGuest, PlannedKernel, duration_ms},
};

/// The i-th of n parts, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shard {
    /// Which one.
    pub index: usize,
    /// Of how many.
    pub count: usize,
}

impl Shard {
    /// Its guests. Each guest is in one part; the longest ones are dealt out first, each to the part that has
    /// least, so that all take about equally long. The same plan is dealt out alike everywhere.
    #[must_use]
    pub fn part(
        self,
        kernels: &[PlannedKernel],
        guests: Vec<PlannedGuest>,
        durations: &Durations,
    ) -> Vec<PlannedGuest> {
        let mut loads = vec![0; self.count];
        let mut part = Vec::new();
        // They come with the longest first.
        for guest in guests {
            let Some(least) = (0..self.count).min_by_key(|index| loads[*index]) else {
                break;
            };
            loads[least] += duration_ms(kernels, &guest, durations);
            if least + 1 == self.index {
                part.push(guest);
            }
        }
        part
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const COUNT_MAX: usize = 1_000;
        let numbers = text
            .split_once('/')
            .and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        match numbers {
            Some((index, count)) if (1..=count).contains(&index) && count <= COUNT_MAX => {
                Ok(Self { index, count })
            }
            _ => Err(format!(
                "write i/n, with i from 1 to n and n at most {COUNT_MAX}"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        manifest::{kernels::Kernels, scenarios::Scenarios},
        matrix::plan::plan,
    };

    fn shard(index: usize, count: usize) -> Shard {
        Shard { index, count }
    }

    #[test]
    fn what_is_no_shard_is_refused() {
        assert_eq!("2/3".parse(), Ok(shard(2, 3)));
        for text in [
            "", "2", "0/3", "4/3", "1/0", "1/2/3", "a/b", "-1/2", "1/100000",
        ] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }

    #[test]
    fn all_parts_together_are_the_whole_and_none_is_much_longer() {
        let manifest = Kernels::load(None).expect("the built-in manifest");
        let kernels = crate::matrix::choose::kernels(&[], &[], &manifest).expect("all");
        let scenarios = Scenarios::load(None).expect("the built-in ones");
        let durations = Durations::load();
        let whole = plan(&kernels, &scenarios.choose(&[]).expect("all"), &durations);
        let weight = |guest: &PlannedGuest| duration_ms(&kernels, guest, &durations);
        let name = |guest: &PlannedGuest| (guest.kernel, guest.name.clone());
        for count in [1, 2, 3, 7] {
            let parts: Vec<_> = (1..=count)
                .map(|index| shard(index, count).part(&kernels, whole.clone(), &durations))
                .collect();
            let mut names: Vec<_> = parts.iter().flatten().map(name).collect();
            names.sort();
            let mut expected: Vec<_> = whole.iter().map(name).collect();
            expected.sort();
            assert_eq!(names, expected);
            let loads = || {
                parts
                    .iter()
                    .map(|part| part.iter().map(&weight).sum::<u64>())
            };
            let longest_guest = whole.iter().map(&weight).max().expect("one");
            let (most, least) = (loads().max(), loads().min());
            assert!(most.expect("one") - least.expect("one") <= longest_guest);
        }
    }
}
