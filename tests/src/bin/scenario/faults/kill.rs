//! Whatever ends the detector, nothing of it stays in the kernel.

use nix::sys::signal::Signal;

use crate::stage::{
    checks::Checks,
    detector::{self, Detector, nothing_left, nothing_lost},
    kernel, precondition,
};

const KINDS: [&str; 2] = ["fentry", "kprobe"];

/// SIGINT, SIGTERM and `--duration` end it with a summary and exit code 0.
pub fn clean_stop(checks: &mut Checks) -> anyhow::Result<()> {
    precondition::kprobes()?;
    // One handler for both signals, one way to let go of links for both kinds: each of them once.
    for (kind, signal) in KINDS.into_iter().zip([Signal::SIGINT, Signal::SIGTERM]) {
        let detector = started(checks, kind)?;
        let ended = detector.end(signal)?;
        nothing_lost(checks, &ended);
        nothing_left(checks, &format!("{kind} after {signal}"))?;
    }
    let output = detector::call(&["run", "--format", "json", "--duration", "100ms"])?;
    checks.equal("exit code after --duration", output.status.code(), Some(0));
    let text = String::from_utf8_lossy(&output.stdout);
    checks.that(
        "the last line is a summary",
        text.lines()
            .last()
            .is_some_and(|line| line.contains(r#""type":"summary""#)),
        text.lines().last().unwrap_or_default(),
    );
    nothing_left(checks, "after --duration")
}

/// Nobody can catch SIGKILL: that its file descriptors close must be enough.
pub fn kill_9(checks: &mut Checks) -> anyhow::Result<()> {
    precondition::kprobes()?;
    for kind in KINDS {
        let detector = started(checks, kind)?;
        let ended = detector.end(Signal::SIGKILL)?;
        checks.equal(format!("{kind}: exit code"), ended.code, None);
        nothing_left(checks, kind)?;
        let replay = detector::call(&["replay", &ended.recording.to_string_lossy()])?;
        let said = String::from_utf8_lossy(&replay.stderr);
        checks.equal(
            format!("{kind}: exit code of replaying what it left"),
            replay.status.code(),
            Some(2),
        );
        checks.that(
            format!("{kind}: replay says that it is cut"),
            said.contains("is cut"),
            said.trim(),
        );
    }
    Ok(())
}

fn started(checks: &mut Checks, kind: &str) -> anyhow::Result<Detector> {
    let detector = Detector::start(&["--force-target", kind])?;
    let programs = kernel::programs()?;
    checks.that(
        format!("{kind}: programs are in the kernel while it runs"),
        programs.len() >= 2,
        programs.join(" "),
    );
    Ok(detector)
}
