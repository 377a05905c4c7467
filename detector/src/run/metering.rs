//! The metrics of a run: findings go in as they come, the rest is read now and then, and never while a
//! walk runs. What is read has been opened at the start, or lies below `/proc`, which has been.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    net::TcpListener,
    os::unix::fs::FileExt as _,
    time::{Duration, Instant},
};

use nix::unistd::{SysconfVar, sysconf};

use super::{
    directories::{CountingTime, Directories},
    maps::Maps,
    origins::Origins,
    timing::own_cpu_ns,
};
use crate::{
    clock,
    directories::predict::{Measured, Rates},
    facts::DentryState,
    metrics::{CHILDREN_MIN, Metrics, Readings, http, measured},
    model::{Finding, Sampled, Session, WalkFinding},
    mounts::Mounts,
};

/// Incidents remembered, for the cost of a child.
const WALKS_MAX: usize = 64;
/// Directories with producers that are looked at.
const DIRECTORIES_MAX: usize = 64;
/// How long records wait at most because directories are counted.
const COUNTING_TIME: CountingTime = CountingTime {
    whole: Duration::from_millis(20),
    each: Duration::from_millis(5),
};
/// The metrics with what they are read from.
pub struct Metering {
    metrics: Metrics,
    period: Duration,
    read_at: Option<Instant>,
    own: Own,
    mounts: Mounts,
    directories: Directories,
    walks: VecDeque<Measured>,
}

impl Metering {
    /// Opens everything, and serves it as long as the runtime lives.
    pub fn start(listener: TcpListener, session: &Session, period: Duration) -> io::Result<Self> {
        let metrics = Metrics::new(session);
        let served = http::serve(listener, metrics.clone(), http::Limits::default())?;
        tokio::spawn(served);
        Ok(Self {
            metrics,
            period,
            read_at: None,
            own: Own::open()?,
            mounts: Mounts::default(),
            directories: Directories::default(),
            walks: VecDeque::new(),
        })
    }

    /// The mount table changed.
    pub fn mounts(&mut self, mountinfo: &[u8]) {
        self.mounts = Mounts::parse(mountinfo);
    }

    /// Takes a finding.
    pub fn take(&mut self, origins: &Origins, finding: &Finding) {
        self.metrics.take(finding);
        match finding {
            Finding::Walk(found) => self.remember(origins, found),
            Finding::Incident(incident) => {
                self.remember(origins, &incident.walk);
                if let Some(measured) = measured(incident) {
                    self.walks.push_back(measured);
                    if self.walks.len() > WALKS_MAX {
                        self.walks.pop_front();
                    }
                }
            }
            _ => {}
        }
    }

    /// A directory that was walked may be walked again, whoever filled it and when.
    fn remember(&mut self, origins: &Origins, found: &WalkFinding) {
        if let (Some(directory), Some(path)) = (origins.behind_lock(&found.walk), &found.path) {
            self.directories.remember(directory, path.clone());
        }
    }

    /// Reads what is due, unless a walk runs. Called every second. A failure is no reason to end: the metrics tell when
    /// they were last read.
    pub fn tick(&mut self, maps: &mut Maps, origins: &mut Origins) {
        let is_due = self.read_at.is_none_or(|at| at.elapsed() >= self.period);
        if !is_due || maps.running().is_recent {
            return;
        }
        self.read_at = Some(Instant::now());
        if let Err(error) = self.read(maps, origins) {
            log::warn!("metrics: {error}");
        }
    }

    fn read(&mut self, maps: &mut Maps, origins: &mut Origins) -> io::Result<()> {
        let produced = origins.table().directories(DIRECTORIES_MAX);
        let references = self.directories.look(origins, &produced);
        let directories = &mut self.directories;
        directories.count(origins, &produced, &references, CHILDREN_MIN, COUNTING_TIME);
        let rates = Rates::from_walks(self.walks.make_contiguous());
        let dangers = directories.dangers(&produced, &references, &[], &self.mounts, rates);
        self.metrics.dangers(&dangers);
        let now_ns = i64::try_from(clock::monotonic_ns()).unwrap_or(i64::MAX);
        self.metrics.read(Readings {
            realtime_ns: now_ns.saturating_add(clock::realtime_offset_ns()),
            counts: maps.counts()?,
            dentry_state: self.own.dentry_state(),
            cpu_ns: own_cpu_ns(),
            resident_bytes: self.own.resident_bytes(),
        });
        Ok(())
    }

    /// Takes how often and how long the programs ran.
    pub fn sampled(&self, sampled: &Sampled) {
        self.metrics.sampled(sampled.clone());
    }
}

/// Files that stay open.
struct Own {
    statm: File,
    dentry_state: Option<File>,
    page_bytes: u64,
}

impl Own {
    fn open() -> io::Result<Self> {
        let page_bytes = sysconf(SysconfVar::PAGE_SIZE)?.unwrap_or(4096);
        Ok(Self {
            statm: File::open("/proc/self/statm")?,
            dentry_state: File::open("/proc/sys/fs/dentry-state").ok(),
            page_bytes: page_bytes.unsigned_abs(),
        })
    }

    /// The second figure, in pages (proc_pid_statm(5)).
    fn resident_bytes(&self) -> Option<u64> {
        let text = text(&self.statm)?;
        let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
        pages.checked_mul(self.page_bytes)
    }

    fn dentry_state(&self) -> Option<DentryState> {
        DentryState::parse(&text(self.dentry_state.as_ref()?)?)
    }
}

/// A small file of the kernel's, made anew by each read from its start.
fn text(file: &File) -> Option<String> {
    let mut bytes = [0; 256];
    let count = file.read_at(&mut bytes, 0).ok()?;
    Some(String::from_utf8_lossy(&bytes[..count]).into_owned())
}
