//! What holds for any sequence of records. Each round has a seed of its own, which a failure names.

use std::collections::BTreeSet;

use super::story::{ROUNDS, Told, each_story, story};
use crate::{
    event::{Stall, Wait, Walk},
    model::{Finding, HoldEnd, Incident, Input, RecordCounts, Span},
    pipeline::Pipeline,
    recording::{Reader, Writer},
    testing::MS,
};

fn walk_span(walk: &Walk) -> Span {
    Span::new(walk.start_ns, walk.end_ns.expect("it ended"))
}

fn locks(walk: &Walk) -> [u64; 2] {
    let address = |address: Option<u64>| address.expect("an address");
    [address(walk.i_lock_addr), address(walk.d_lock_addr)]
}

fn own_waits<'a>(walk: &'a Walk, told: &'a Told) -> impl Iterator<Item = &'a Wait> {
    told.waits.iter().filter(|wait| {
        wait.tid == walk.tid
            && locks(walk).contains(&wait.lock_addr)
            && walk_span(walk).contains(&Span::new(wait.start_ns, wait.end_ns))
    })
}

#[test]
fn no_wait_is_joined_to_a_walk_that_it_does_not_overlap() {
    each_story(true, |story, seed| {
        for incident in story.incidents() {
            let walk = &incident.walk.walk;
            for waiter in &incident.waiters {
                let wait = &waiter.wait;
                assert!(locks(walk).contains(&wait.lock_addr), "{seed}");
                assert_ne!(wait.tid, walk.tid, "{seed}");
                assert!(waiter.overlap.length_ns() > 0, "{seed}");
                assert!(walk_span(walk).contains(&waiter.overlap), "{seed}");
                let whole = Span::new(wait.start_ns, wait.end_ns);
                assert!(whole.contains(&waiter.overlap), "{seed}");
            }
            for hold in incident.holds.iter().filter(|hold| hold.tid == walk.tid) {
                if locks(walk).contains(&hold.lock_addr) && hold.span.start_ns < hold.span.end_ns {
                    assert!(hold.span.start_ns >= walk.start_ns, "{seed}");
                }
            }
            if story.session.spinlocks_sleep() {
                assert!(incident.stalls.is_empty(), "{seed}");
            }
        }
    });
}

#[test]
fn totals_are_the_sums_of_their_parts() {
    each_story(true, |story, seed| {
        for incident in story.incidents() {
            let impact = &incident.impact;
            let waits = || incident.waiters.iter();
            let stalls = || incident.stalls.iter().map(|stalled| &stalled.stall);
            assert_eq!(impact.waits_count, incident.waiters.len(), "{seed}");
            assert_eq!(impact.stalls_count, incident.stalls.len(), "{seed}");
            let waits_ns: Vec<_> = waits().map(|waiter| waiter.wait.wait_ns()).collect();
            assert_eq!(impact.wait_ns_total, waits_ns.iter().sum::<u64>(), "{seed}");
            assert!(
                waits_ns.is_sorted_by(|a, b| a >= b),
                "{seed}: longest first"
            );
            assert_eq!(
                impact.wait_ns_max,
                waits_ns.first().copied().unwrap_or(0),
                "{seed}"
            );
            let overlap_ns: u64 = waits().map(|waiter| waiter.overlap.length_ns()).sum();
            assert_eq!(impact.overlap_ns_total, overlap_ns, "{seed}");
            assert!(impact.overlap_ns_total <= impact.wait_ns_total, "{seed}");
            let delays_ns: Vec<_> = stalls().map(Stall::runq_delay_ns).collect();
            assert_eq!(
                impact.stall_ns_total,
                delays_ns.iter().sum::<u64>(),
                "{seed}"
            );
            assert!(delays_ns.is_sorted_by(|a, b| a >= b), "{seed}");
            assert!(impact.waiters_count <= impact.waits_count, "{seed}");
            assert!(impact.tasks_stalled_count <= impact.stalls_count, "{seed}");
            assert!(
                impact.cpus_blocked_max <= 8,
                "{seed}: there are no more CPUs"
            );
            let has_spinner = waits().any(|waiter| !waiter.wait.is_sleeping);
            if has_spinner || !story.session.spinlocks_sleep() {
                assert!(impact.cpus_blocked_max >= 1, "{seed}");
            }
        }
    });
}

#[test]
fn replay_is_deterministic_without_the_ticks_that_led_to_nothing() {
    let mut silent_count = 0;
    for seed in 0..ROUNDS {
        let story = story(seed, true);
        let (live, recorded) = story.live();
        silent_count += story.inputs.len() - recorded.len();
        let mut file = Vec::new();
        let mut writer = Writer::start(&mut file, &story.session).expect("written");
        for input in &recorded {
            writer.write(input).expect("written");
        }
        let (mut reader, session) = Reader::open(file.as_slice()).expect("a recording");
        assert_eq!(session, story.session);
        let mut pipeline = Pipeline::new(session);
        let mut replayed = Vec::new();
        while let Some(input) = reader.read().expect("whole") {
            replayed.extend(pipeline.feed(&input));
        }
        assert_eq!(live, replayed, "seed {seed}");
    }
    assert!(silent_count > 0, "the test compares something");
}

#[test]
fn every_record_is_accounted_for() {
    each_story(true, |story, seed| {
        let told = story.told();
        let (findings, _) = story.live();
        let Some(Finding::Summary(summary)) = findings.last() else {
            panic!("{seed}: no summary")
        };
        let RecordCounts {
            waits,
            stalls,
            syscalls,
            releases,
        } = summary.records;
        let counted = [waits, stalls, syscalls, releases].map(|fates| fates.total_count());
        let expected = [
            told.waits.len(),
            told.stalls.len(),
            told.syscalls.len(),
            told.releases.len(),
        ]
        .map(|count| count as u64);
        assert_eq!(counted, expected, "{seed}");
        assert_eq!(waits.evicted_count, 0, "{seed}");

        let incidents = story.incidents();
        assert_eq!(summary.incidents_count, incidents.len() as u64, "{seed}");
        let key = |wait: &Wait| (wait.start_ns, wait.end_ns, wait.tid, wait.lock_addr);
        let used: BTreeSet<_> = incidents
            .iter()
            .flat_map(|incident| {
                let own = own_waits(&incident.walk.walk, &told);
                let others = incident.waiters.iter().map(|waiter| &waiter.wait);
                own.chain(others).map(key).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(waits.used_count, used.len() as u64, "{seed}");
    });
}

#[test]
fn each_incident_comes_out_once_and_none_is_missing() {
    each_story(true, |story, seed| {
        let told = story.told();
        let incidents = story.incidents();
        let ids: BTreeSet<_> = incidents.iter().map(Incident::id).collect();
        assert_eq!(ids.len(), incidents.len(), "{seed}");
        for walk in &told.walks {
            let found = incidents
                .iter()
                .find(|incident| incident.walk.walk == *walk);
            let threshold_ns = story.session.incident_threshold_ns;
            let is_long = walk.walk_ns().expect("it ended") >= threshold_ns;
            let was_bad = found.is_some_and(|incident| {
                incident
                    .impact
                    .overlap_ns_max
                    .max(incident.impact.behind_ns_max)
                    >= threshold_ns
            });
            assert_eq!(found.is_some(), is_long || was_bad, "{seed}");
        }
        let lost_count: u64 = incidents
            .iter()
            .map(|incident| incident.lost_count)
            .max()
            .unwrap_or(0);
        assert!(lost_count <= 100, "{seed}");
    });
}

#[test]
fn an_incident_is_out_within_a_hundred_milliseconds() {
    each_story(true, |story, seed| {
        let mut pipeline = Pipeline::new(story.session.clone());
        for input in &story.inputs {
            let found = pipeline.feed(input);
            let Input::Tick { now_ns, .. } = input else {
                continue;
            };
            for finding in found {
                if let Finding::Incident(incident) = finding {
                    let end_ns = incident.walk.walk.end_ns.expect("it ended");
                    let since_ns = now_ns.saturating_sub(end_ns);
                    // Shorter walks wait for a record that makes incidents of them.
                    if incident.walk.walk_ns >= story.session.incident_threshold_ns {
                        assert!(
                            (50 * MS..=100 * MS).contains(&since_ns),
                            "{seed}: {since_ns}"
                        );
                    }
                }
            }
        }
    });
}

/// The same joins as the correlator's, from all records at once and in the plainest way.
#[test]
fn waiters_are_those_that_a_plain_search_finds() {
    let mut compared_count = 0;
    for seed in 0..ROUNDS {
        let story = story(seed, false);
        let told = story.told();
        for incident in story.incidents() {
            let walk = &incident.walk.walk;
            let mut expected = BTreeSet::new();
            let mut held_from_ns = walk.start_ns;
            for lock_addr in locks(walk) {
                for wait in own_waits(walk, &told).filter(|wait| wait.lock_addr == lock_addr) {
                    held_from_ns = held_from_ns.max(wait.end_ns);
                }
                let released_ns = told
                    .releases
                    .iter()
                    .filter(|release| release.tid == walk.tid && release.lock_addr == lock_addr)
                    .map(|release| release.at_ns)
                    .filter(|at_ns| (held_from_ns..=walk_span(walk).end_ns).contains(at_ns))
                    .max();
                let held_to_ns = released_ns.unwrap_or(walk_span(walk).end_ns);
                for wait in told.waits.iter().filter(|wait| {
                    wait.lock_addr == lock_addr
                        && wait.tid != walk.tid
                        && wait.start_ns.max(held_from_ns) < wait.end_ns.min(held_to_ns)
                }) {
                    expected.insert((wait.start_ns, wait.end_ns, wait.tid, wait.cpu));
                }
                let hold = incident
                    .holds
                    .iter()
                    .find(|hold| hold.lock_addr == lock_addr)
                    .expect("a hold");
                assert_eq!(
                    hold.span,
                    Span::new(held_from_ns, held_to_ns),
                    "seed {seed}"
                );
                let is_released = hold.end == HoldEnd::Released;
                assert_eq!(is_released, released_ns.is_some(), "seed {seed}");
            }
            let joined: BTreeSet<_> = incident
                .waiters
                .iter()
                .map(|waiter| &waiter.wait)
                .map(|wait| (wait.start_ns, wait.end_ns, wait.tid, wait.cpu))
                .collect();
            assert_eq!(joined, expected, "seed {seed}");
            compared_count += joined.len();
        }
    }
    assert!(compared_count > 100, "the test compares something");
}
