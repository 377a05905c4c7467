//! Results of shards put together.

use std::collections::BTreeMap;

use super::{RunResult, SCHEMA};

/// One result of all shards; each comes with the name that a mistake is told by.
///
/// # Errors
/// When they are not all the parts of one plan, each once.
pub fn merge(mut parts: Vec<(String, RunResult)>) -> Result<RunResult, String> {
    for (name, part) in &parts {
        if part.schema != SCHEMA {
            return Err(format!("{name}: schema {}, this is {SCHEMA}", part.schema));
        }
    }
    let mut names = BTreeMap::new();
    for (name, part) in &parts {
        let shard = part
            .shard
            .ok_or_else(|| format!("{name}: a whole run, no shard"))?;
        if let Some(other) = names.insert(shard.index, name) {
            return Err(format!("{name}: shard {shard}, as {other}"));
        }
    }
    let Some((first_name, first)) = parts.first() else {
        return Err("no results".to_owned());
    };
    let count = first.shard.map_or(0, |shard| shard.count);
    for (name, part) in &parts {
        let is_alike = part.plan_digest == first.plan_digest
            && part.shard.is_some_and(|shard| shard.count == count);
        if !is_alike {
            return Err(format!(
                "{name}: of another run than {first_name}: other kernels, other versions of them, other scenarios or number of shards"
            ));
        }
        if part.conditions != first.conditions {
            return Err(format!(
                "{name}: {}, but {} in {first_name}",
                part.conditions, first.conditions
            ));
        }
    }
    let missing: Vec<_> = (1..=count)
        .filter(|index| !names.contains_key(index))
        .map(|index| format!("{index}/{count}"))
        .collect();
    if !missing.is_empty() {
        return Err(format!("missing: shard {}", missing.join(", ")));
    }
    parts.sort_by_key(|(_, part)| part.shard);
    let mut whole = parts.remove(0).1;
    for (name, part) in parts {
        for version in part.kernel_versions {
            let known = whole
                .kernel_versions
                .iter()
                .find(|one| one.kernel == version.kernel);
            match known {
                None => whole.kernel_versions.push(version),
                Some(known) if *known == version => {}
                Some(known) => return Err(format!("{name}: {version}, elsewhere {known}")),
            }
        }
        whole.started_at = whole.started_at.min(part.started_at);
        whole.duration_ms = whole.duration_ms.max(part.duration_ms);
        whole.jobs_count += part.jobs_count;
        whole.account = whole
            .account
            .zip(part.account)
            .map(|(one, other)| one.and(other));
        whole.is_interrupted |= part.is_interrupted;
        whole.scenarios.extend(part.scenarios);
        whole.guests.extend(part.guests);
    }
    whole.shard = None;
    whole
        .scenarios
        .sort_by_cached_key(|one| (one.kernel.clone(), one.scenario.clone()));
    whole.guests.sort_by_cached_key(|one| one.kernel.clone());
    whole.conclude();
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Shard, sample};

    /// The sample run in two parts.
    fn parts() -> Vec<(String, RunResult)> {
        let whole = sample::run();
        (1..=2)
            .map(|index| {
                let mut part = whole.clone();
                part.shard = Some(Shard { index, count: 2 });
                let mut number = 0;
                part.scenarios.retain(|_| {
                    number += 1;
                    number % 2 == index % 2
                });
                part.conclude();
                (format!("part-{index}"), part)
            })
            .collect()
    }

    #[test]
    fn all_parts_in_any_order_are_the_whole() {
        let mut parts = parts();
        parts.reverse();
        let whole = merge(parts).expect("a whole");
        let sample = sample::run();
        assert_eq!(whole.verdict_line(), sample.verdict_line());
        assert_eq!(whole.excused_kernels, sample.excused_kernels);
        assert_eq!(whole.scenarios.len(), sample.scenarios.len());
        assert_eq!((whole.shard, whole.jobs_count), (None, 4));
    }

    #[test]
    fn what_is_no_whole_is_refused_with_the_part_named() {
        let changed = |change: fn(&mut Vec<(String, RunResult)>)| {
            let mut parts = parts();
            change(&mut parts);
            merge(parts).expect_err("no whole")
        };
        for (said, expected) in [
            (changed(|parts| drop(parts.pop())), "missing: shard 2/2"),
            (
                changed(|parts| parts[1].1.shard = parts[0].1.shard),
                "part-2: shard 1/2, as part-1",
            ),
            (
                changed(|parts| parts[1].1.shard = None),
                "part-2: a whole run",
            ),
            (
                changed(|parts| parts[1].1.plan_digest.clear()),
                "part-2: of another run than part-1",
            ),
            (
                changed(|parts| parts[1].1.conditions.qemu_version = "9".into()),
                "part-2: QEMU 9, CPU max, icount shift 1, but QEMU 10.0.2, CPU max, icount shift 1 in part-1",
            ),
            (
                changed(|parts| parts[0].1.schema = "vmtest/9".into()),
                "part-1: schema vmtest/9",
            ),
            (
                changed(|parts| parts[1].1.kernel_versions[0].release = Some("6.1.1".into())),
                "part-2: 6.1: 6.1.1, linux-binary-6.1.192+deb13-cloud-amd64 6.1.192-1~bpo13+1, elsewhere 6.1: 6.1.192",
            ),
            (changed(Vec::clear), "no results"),
        ] {
            assert!(said.starts_with(expected), "{said}");
        }
    }
}
