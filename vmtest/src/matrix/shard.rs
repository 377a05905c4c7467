//! Which guests of a plan one shard of a run has.

use super::{
    durations::Durations,
    plan::{PlannedGuest, PlannedKernel, duration_ms},
};
use crate::report::Shard;

/// The guests of a shard. Each guest is in one part; the longest ones are dealt out first, each to the part that has
/// least, so that all take about equally long. The same plan is dealt out alike everywhere.
#[must_use]
pub fn part(
    shard: Shard,
    kernels: &[PlannedKernel],
    guests: Vec<PlannedGuest>,
    durations: &Durations,
) -> Vec<PlannedGuest> {
    let mut loads = vec![0; shard.count];
    let mut part = Vec::new();
    // They come with the longest first.
    for guest in guests {
        let Some(least) = (0..shard.count).min_by_key(|index| loads[*index]) else {
            break;
        };
        loads[least] += duration_ms(kernels, &guest, durations);
        if least + 1 == shard.index {
            part.push(guest);
        }
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        manifest::{kernels::Kernels, scenarios::Scenarios},
        matrix::plan::plan,
    };

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
                .map(|index| part(Shard { index, count }, &kernels, whole.clone(), &durations))
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
