//! When the host loses its patience with a guest.

use std::time::Duration;

use crate::qemu::argv::Mode;

/// How long each stage of a guest may take, in the host's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From QEMU's start to the guest's first message.
    pub boot: Duration,
    /// Between two signs of life. Longer than the 22 s after which the kernel reports a soft
    /// lockup and the 21 s of an RCU stall, so that these reports come before the guest is given up.
    pub silence: Duration,
    /// Added to a command's own limit, which the guest itself enforces in its own time.
    pub grace: Duration,
}

impl Limits {
    /// The limits of a mode.
    #[must_use]
    pub fn of(mode: Mode) -> Self {
        let seconds = |count: u64| Duration::from_secs(count) * mode.slowness();
        Self {
            boot: seconds(60),
            silence: seconds(40),
            grace: seconds(15),
        }
    }
}

/// Where a guest is, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// No message yet.
    Boot,
    /// Before the first command, between two, or after the last.
    Between,
    /// A command runs that may take this long in guest time.
    Command(Duration),
}

/// What a guest did that it must not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overrun {
    /// It sent nothing in time after its start.
    NotBooted,
    /// Its heartbeats stopped.
    Hung,
    /// It goes on, but a command doesn't end.
    TimedOut,
}

/// Whether the guest is over a limit. All durations are host time up to now: since QEMU's start
/// or the last message, and since the stage began.
#[must_use]
pub fn overrun(
    limits: &Limits,
    mode: Mode,
    stage: Stage,
    silent_for: Duration,
    in_stage_for: Duration,
) -> Option<Overrun> {
    match stage {
        Stage::Boot if in_stage_for > limits.boot => Some(Overrun::NotBooted),
        Stage::Boot => None,
        _ if silent_for > limits.silence => Some(Overrun::Hung),
        Stage::Command(limit) if in_stage_for > limit * mode.slowness() + limits.grace => {
            Some(Overrun::TimedOut)
        }
        // Setting up and sending the kernel's log take seconds; heartbeats alone are no progress.
        Stage::Between if in_stage_for > limits.boot => Some(Overrun::Hung),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(stage: Stage, silent_s: u32, in_stage_s: u32) -> Option<Overrun> {
        overrun(
            &Limits::of(Mode::Multi),
            Mode::Multi,
            stage,
            SECOND * silent_s,
            SECOND * in_stage_s,
        )
    }

    #[test]
    fn hung_timed_out_and_not_booted_are_told_apart() {
        let command = Stage::Command(SECOND * 60);
        assert_eq!(at(Stage::Boot, 55, 55), None);
        assert_eq!(at(Stage::Boot, 61, 61), Some(Overrun::NotBooted));
        assert_eq!(at(command, 41, 50), Some(Overrun::Hung));
        assert_eq!(at(command, 1, 70), None);
        assert_eq!(at(command, 1, 76), Some(Overrun::TimedOut));
        assert_eq!(at(Stage::Between, 1, 91), Some(Overrun::Hung));
    }

    #[test]
    fn the_kernels_own_watchdogs_come_first() {
        assert!(Limits::of(Mode::Multi).silence > SECOND * 30);
    }

    #[test]
    fn instruction_time_gets_more_patience() {
        let (multi, icount) = (Limits::of(Mode::Multi), Limits::of(Mode::Icount));
        assert!(
            icount.boot > multi.boot
                && icount.silence > multi.silence
                && icount.grace > multi.grace
        );
    }
}
