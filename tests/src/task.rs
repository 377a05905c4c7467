//! What a workload needs of the scheduler and the clock.

use std::str::FromStr;

use anyhow::Context as _;
use nix::{
    libc,
    sched::{CpuSet, sched_setaffinity},
    sys::time::{TimeSpec, TimeValLike as _},
    time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep},
    unistd::Pid,
};

/// CPUs by number: `0,2,3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuList(pub Vec<usize>);

impl FromStr for CpuList {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split(',')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// CLOCK_MONOTONIC.
///
/// # Errors
/// When the kernel has no such clock.
pub fn monotonic_ns() -> anyhow::Result<u64> {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    Ok(u64::try_from(time.num_nanoseconds())?)
}

/// Sleeps until a moment of CLOCK_MONOTONIC.
///
/// # Errors
/// When the kernel refuses.
pub fn sleep_until(ns: u64) -> anyhow::Result<()> {
    let until = TimeSpec::nanoseconds(i64::try_from(ns)?);
    loop {
        match clock_nanosleep(
            ClockId::CLOCK_MONOTONIC,
            ClockNanosleepFlags::TIMER_ABSTIME,
            &until,
        ) {
            Ok(_) => return Ok(()),
            Err(nix::Error::EINTR) => {}
            Err(errno) => return Err(errno).context("clock_nanosleep"),
        }
    }
}

/// Binds this thread to a CPU.
///
/// # Errors
/// When there is no such CPU.
pub fn bind_to(cpu: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("bind to CPU {cpu}"))
}

/// Gives this thread a real-time priority: nothing ordinary runs instead of it.
///
/// # Errors
/// Without the capability.
pub fn be_realtime(priority: i32) -> anyhow::Result<()> {
    let parameters = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: sched_setscheduler(2) of this thread with parameters that live long enough.
    let outcome = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
    nix::Error::result(outcome).context("SCHED_FIFO").map(drop)
}

/// This thread's id.
///
/// # Errors
/// Never: a thread id is positive.
pub fn tid() -> anyhow::Result<u32> {
    Ok(u32::try_from(nix::unistd::gettid().as_raw())?)
}
