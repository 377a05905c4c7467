//! Root is not needed: two capabilities are, and each is named when it is missing.

use std::{
    fs,
    process::{Command, Output},
};

use anyhow::Context as _;
use caps::{CapSet, Capability, CapsHashSet};

use crate::stage::{
    checks::Checks,
    detector::{self, one_line},
    precondition,
};

const PARANOID: &str = "/proc/sys/kernel/perf_event_paranoid";

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    precondition::kprobes()?;
    precondition::perf_event_paranoid(PARANOID, "3")?;
    let both = [Capability::CAP_BPF, Capability::CAP_PERFMON];
    works(checks, "fentry with both", &run_with(&both, "fentry")?);
    works(
        checks,
        "kprobe with CAP_SYS_ADMIN",
        &run_with(&[Capability::CAP_SYS_ADMIN], "kprobe")?,
    );

    // What Debian ships, then what the kernel's own documentation knows.
    let shipped = fs::read_to_string(PARANOID)?;
    checks.equal("perf_event_paranoid as shipped", shipped.trim(), "3");
    let output = run_with(&both, "kprobe")?;
    one_line(
        checks,
        "kprobe with both",
        &output,
        &["(kernel.perf_event_paranoid is 3: kprobes need CAP_SYS_ADMIN)"],
    );
    fs::write(PARANOID, "2")?;
    let output = run_with(&both, "kprobe");
    fs::write(PARANOID, shipped.trim())?;
    works(checks, "kprobe with both at level 2", &output?);

    let output = run_with(&[Capability::CAP_BPF], "fentry")?;
    one_line(
        checks,
        "without CAP_PERFMON",
        &output,
        &["fslockup: missing CAP_PERFMON: "],
    );
    let output = run_with(&[Capability::CAP_PERFMON], "fentry")?;
    one_line(
        checks,
        "without CAP_BPF",
        &output,
        &["fslockup: missing CAP_BPF: "],
    );
    Ok(())
}

fn works(checks: &mut Checks, what: &str, output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    checks.equal(format!("{what}: exit code"), output.status.code(), Some(0));
    checks.equal(format!("{what}: stderr"), said.as_ref(), "");
}

/// Runs the detector with these capabilities and no others. Capabilities belong to threads, so one
/// thread gives its own up and the process that it starts inherits what is left.
fn run_with(capabilities: &[Capability], kind: &str) -> anyhow::Result<Output> {
    let only: CapsHashSet = capabilities.iter().copied().collect();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // Being root gives capabilities back at exec unless this is said (capabilities(7)).
            // SAFETY: prctl(2) with integer arguments.
            let outcome = unsafe { nix::libc::prctl(nix::libc::PR_SET_SECUREBITS, SECBIT_NOROOT) };
            nix::Error::result(outcome).context("securebits")?;
            caps::set(None, CapSet::Inheritable, &only)?;
            caps::set(None, CapSet::Ambient, &only)?;
            let options = ["--duration", "100ms", "--force-target", kind];
            let mut command = Command::new("fslockup");
            detector::output(command.args(["run", "--format", "json"]).args(options))
        });
        thread
            .join()
            .map_err(|_| anyhow::anyhow!("the thread panicked"))?
    })
}

/// linux/securebits.h: `1 << SECURE_NOROOT`.
const SECBIT_NOROOT: nix::libc::c_ulong = 1;
