//! Random sequences of records, as several CPUs would make them.

use fslockup_ebpf::{StallRecord, SyscallRecord, WaitRecord, WalkRecord, wait_how};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

use crate::{
    event::{self, Event, Release, Stall, Syscall, Wait, Walk, tests::bytes},
    model::{Counts, Finding, Incident, Input, Session, WaitingNow},
    pipeline::Pipeline,
    testing::{self, MS, OTHER_LOCK, S, directory, mounts, session, symbols},
};

/// How many sequences are tried.
pub const ROUNDS: u64 = 300;
/// Records of different CPUs come out of order by as much as this.
const JITTER_NS: u64 = 100_000;
const TICK_NS: u64 = 20 * MS;

/// Everything that happened, in the order in which it is told.
pub struct Story {
    pub session: Session,
    pub inputs: Vec<Input>,
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
                cpu: Some(self.small(8)),
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

/// The sequence of a seed.
pub fn story(seed: u64, has_ticks: bool) -> Story {
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
pub struct Told {
    pub walks: Vec<Walk>,
    pub waits: Vec<Wait>,
    pub stalls: Vec<Stall>,
    pub syscalls: Vec<Syscall>,
    pub releases: Vec<Release>,
}

impl Story {
    pub fn told(&self) -> Told {
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
                Event::Producer(_) | Event::Name(_) | Event::Dentry(_) => {}
            }
        }
        told
    }

    /// The findings, each with the place of the input that led to it, and the inputs that a
    /// recording would have.
    pub fn live(&self) -> (Vec<Finding>, Vec<Input>) {
        let mut pipeline = Pipeline::new(self.session.clone());
        let (mut findings, mut recorded) = (Vec::new(), Vec::new());
        for input in &self.inputs {
            let more = pipeline.feed(input);
            if pipeline.has_changed() {
                recorded.push(input.clone());
            }
            findings.extend(more);
        }
        (findings, recorded)
    }

    pub fn incidents(&self) -> Vec<Incident> {
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

/// Checks every sequence, with the name of its seed.
pub fn each_story(has_ticks: bool, check: impl Fn(&Story, &str)) {
    for seed in 0..ROUNDS {
        check(&story(seed, has_ticks), &format!("seed {seed}"));
    }
}
