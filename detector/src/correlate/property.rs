//! What holds for any sequence of records. Each round has a seed of its own, which a failure names.

use std::collections::BTreeSet;

use fslockup_ebpf::{StallRecord, SyscallRecord, WaitRecord, WalkRecord, wait_how};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

use crate::{
    event::{self, Event, Release, Stall, Syscall, Wait, Walk, tests::bytes},
    incident::{HoldEnd, Incident, Span},
    pipeline::{Counts, Finding, Input, Pipeline, RecordCounts, Session, WaitingNow},
    recording::{Reader, Writer},
    testing::{self, MS, OTHER_LOCK, S, directory, mounts, session, symbols},
};

const ROUNDS: u64 = 300;
/// Records of different CPUs come out of order by as much as this.
const JITTER_NS: u64 = 100_000;
const TICK_NS: u64 = 20 * MS;

/// Everything that happened, in the order in which it is told.
struct Story {
    session: Session,
    inputs: Vec<Input>,
}

struct Teller {
    random: SmallRng,
    /// When each input is told.
    told: Vec<(u64, Input)>,
}

impl Teller {
    fn between(&mut self, from_ns: u64, to_ns: u64) -> u64 {
        self.random.random_range(from_ns..to_ns)
    }

    fn small(&mut self, below: u32) -> u32 {
        self.random.random_range(0..below)
    }

    fn is(&mut self, percent: u32) -> bool {
        self.small(100) < percent
    }

    /// One in twenty is lost.
    fn tell(&mut self, made_ns: u64, record: Vec<u8>) {
        if !self.is(5) {
            let jitter_ns = self.between(0, JITTER_NS);
            self.told.push((made_ns + jitter_ns, Input::Record(record)));
        }
    }

    fn any_lock(&mut self) -> u64 {
        let directory = directory(u64::from(self.small(3)));
        match self.small(3) {
            0 => directory.i_lock,
            1 => directory.d_lock,
            _ => OTHER_LOCK,
        }
    }

    /// A walk with whatever comes of it. Its locks, its time and its task come up elsewhere too.
    fn walk(&mut self, tid: u32) {
        let directory = directory(u64::from(self.small(3)));
        let start_ns = self.between(S, 3 * S);
        let longest_ns = if self.is(50) { 40 * MS } else { 600 * MS };
        let end_ns = start_ns + self.between(10 * MS, longest_ns);
        let cpu = self.small(8);
        let record = WalkRecord {
            start_ns,
            end_ns,
            ..testing::walk(directory, tid, cpu, 0, 0)
        };
        if self.is(50) {
            // As in the kernel, read before the walk: who waits, and how long the walk runs.
            let now_ns = self.between(start_ns, end_ns);
            let waiting = WaitingNow {
                cpu: self.small(8),
                lock_addr: self.any_lock(),
                start_ns: self.between(start_ns - 10 * MS, now_ns),
                pid: 1,
                tid: self.small(20),
                comm: None,
            };
            let waiters = if self.is(80) {
                vec![waiting]
            } else {
                Vec::new()
            };
            self.told.push((now_ns, Input::Waiting { now_ns, waiters }));
            let running = WalkRecord {
                end_ns: 0,
                ..record
            };
            let record = bytes(&running);
            self.told
                .push((now_ns + 1, Input::Running { now_ns, record }));
        }
        self.tell(end_ns, bytes(&record));
        for _ in 0..self.small(3) {
            self.own_wait(&record);
        }
        for _ in 0..self.small(6) {
            let lock_addr = match self.small(3) {
                0 => directory.i_lock,
                1 => directory.d_lock,
                _ => self.any_lock(),
            };
            let from_ns = self.between(start_ns - 50 * MS, end_ns);
            let to_ns = end_ns + self.between(0, 2 * MS);
            self.wait(lock_addr, (from_ns, to_ns));
        }
        for _ in 0..self.small(4) {
            self.stall(&record);
        }
        if self.is(70) {
            let before_ns = self.between(0, MS);
            let after_ns = if self.is(80) { MS } else { 200 * MS };
            let after_ns = self.between(0, after_ns);
            self.syscall(tid, (start_ns - before_ns, end_ns + after_ns));
        }
        if self.is(30) {
            let lock_addr = self.any_lock();
            let at_ns = self.between(start_ns, end_ns);
            let release = fslockup_ebpf::ReleaseRecord {
                at_ns,
                ..testing::release(tid, lock_addr, 0)
            };
            self.tell(at_ns, bytes(&release));
        }
    }

    fn own_wait(&mut self, walk: &WalkRecord) {
        let lock_addr = match self.small(3) {
            0 => walk.i_lock_addr,
            1 => walk.d_lock_addr,
            _ => OTHER_LOCK,
        };
        let start_ns = self.between(walk.start_ns, walk.end_ns - MS);
        let end_ns = self.between(start_ns, walk.end_ns);
        let wait = WaitRecord {
            start_ns,
            end_ns,
            ..testing::wait(lock_addr, walk.tid, walk.start_cpu, 0, 0)
        };
        self.tell(end_ns, bytes(&wait));
    }

    fn wait(&mut self, lock_addr: u64, (start_ns, end_ns): (u64, u64)) {
        let wait = WaitRecord {
            how: if self.is(90) {
                wait_how::SPIN
            } else {
                wait_how::SLEEP
            },
            start_ns,
            end_ns,
            ..testing::wait(lock_addr, self.small(20), self.small(8), 0, 0)
        };
        self.tell(end_ns, bytes(&wait));
    }

    fn stall(&mut self, walk: &WalkRecord) {
        let behind_tid = if self.is(70) {
            walk.tid
        } else {
            self.small(20)
        };
        let section_end_ns = self.between(walk.start_ns + 1, walk.end_ns + 100 * MS);
        let running_ns = section_end_ns + self.between(0, 5 * MS);
        let stall = StallRecord {
            queued_ns: self.between(walk.start_ns - MS, section_end_ns),
            running_ns,
            behind_ns: self.between(0, 700 * MS),
            section_start_ns: self.between(walk.start_ns - 100 * MS, section_end_ns),
            section_end_ns,
            ..testing::stall(self.small(20), self.small(8), behind_tid, (0, 1), (0, 1))
        };
        let stall = if self.is(50) {
            let lock_addr = self.any_lock();
            testing::stall_behind_wait(lock_addr, stall)
        } else {
            stall
        };
        self.tell(running_ns, bytes(&stall));
    }

    fn syscall(&mut self, tid: u32, (start_ns, end_ns): (u64, u64)) {
        let syscall = SyscallRecord {
            start_ns,
            end_ns,
            ..testing::syscall(tid, 0, 0)
        };
        self.tell(end_ns, bytes(&syscall));
    }
}

fn story(seed: u64, has_ticks: bool) -> Story {
    let mut teller = Teller {
        random: SmallRng::seed_from_u64(seed),
        told: Vec::new(),
    };
    for _ in 0..=teller.small(6) {
        // Few tasks, so that they come up in several parts; each walk has its own start.
        let tid = teller.small(20);
        teller.walk(tid);
    }
    for _ in 0..teller.small(30) {
        let lock_addr = teller.any_lock();
        let start_ns = teller.between(S, 4 * S);
        let end_ns = start_ns + teller.between(MS, 300 * MS);
        teller.wait(lock_addr, (start_ns, end_ns));
    }
    for _ in 0..teller.small(3) {
        let tid = teller.small(20);
        let start_ns = teller.between(S, 4 * S);
        teller.syscall(tid, (start_ns, start_ns + 30 * MS));
    }
    for _ in 0..teller.small(3) {
        let at_ns = teller.between(S, 4 * S);
        let report = format!("BUG: soft lockup - CPU#{} stuck for 2s! [x:3]", at_ns % 8);
        teller.told.push((at_ns, testing::log(at_ns / MS, &report)));
    }
    if has_ticks {
        let mut lost_count = 0;
        let mut now_ns = S;
        while now_ns < 6 * S {
            lost_count += u64::from(teller.small(10) / 9);
            teller
                .told
                .push((now_ns, Input::Tick { now_ns, lost_count }));
            now_ns += TICK_NS;
        }
    }
    teller.told.sort_by_key(|(told_ns, _)| *told_ns);
    let mut inputs = vec![mounts(), symbols()];
    inputs.extend(teller.told.into_iter().map(|(_, input)| input));
    inputs.push(Input::End(Counts {
        end_ns: 6 * S,
        ring_full_count: 100,
        ..Counts::default()
    }));
    let mut session = session();
    if seed.is_multiple_of(7) {
        session = testing::sleeping_session();
    }
    Story { session, inputs }
}

/// The records told, decoded.
#[derive(Default)]
struct Told {
    walks: Vec<Walk>,
    waits: Vec<Wait>,
    stalls: Vec<Stall>,
    syscalls: Vec<Syscall>,
    releases: Vec<Release>,
}

impl Story {
    fn told(&self) -> Told {
        let mut told = Told::default();
        for input in &self.inputs {
            let Input::Record(record) = input else {
                continue;
            };
            match event::decode(record).expect("a record") {
                Event::Walk(walk) => told.walks.push(*walk),
                Event::Wait(wait) => told.waits.push(*wait),
                Event::Stall(stall) => told.stalls.push(*stall),
                Event::Syscall(syscall) => told.syscalls.push(*syscall),
                Event::Release(release) => told.releases.push(release),
            }
        }
        told
    }

    /// The findings, each with the place of the input that led to it, and the inputs that a
    /// recording would have.
    fn live(&self) -> (Vec<Finding>, Vec<Input>) {
        let mut pipeline = Pipeline::new(self.session.clone());
        let (mut findings, mut recorded) = (Vec::new(), Vec::new());
        for input in &self.inputs {
            let more = pipeline.feed(input);
            let is_silent = matches!(input, Input::Running { .. } | Input::Tick { .. });
            if !more.is_empty() || !is_silent {
                recorded.push(input.clone());
            }
            findings.extend(more);
        }
        (findings, recorded)
    }

    fn incidents(&self) -> Vec<Incident> {
        let (findings, _) = self.live();
        findings
            .into_iter()
            .filter_map(|finding| match finding {
                Finding::Incident(incident) => Some(*incident),
                _ => None,
            })
            .collect()
    }
}

fn each_story(has_ticks: bool, check: impl Fn(&Story, &str)) {
    for seed in 0..ROUNDS {
        check(&story(seed, has_ticks), &format!("seed {seed}"));
    }
}

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
