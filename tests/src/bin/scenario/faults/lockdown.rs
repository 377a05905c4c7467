//! A kernel that is locked down refuses programs that read its memory; the user learns why.

use std::fs;

use anyhow::Context as _;

use crate::stage::{
    checks::Checks,
    detector::{self, one_line},
    precondition,
};

/// What `lockdown=` on the kernel's command line sets at boot (security/lockdown/lockdown.c); it can only be raised.
const LOCKDOWN: &str = "/sys/kernel/security/lockdown";

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    precondition::lockdown()?;
    fs::write(LOCKDOWN, "confidentiality").context(LOCKDOWN)?;
    let mode = fs::read_to_string(LOCKDOWN)?;
    checks.that(
        "the kernel is locked down",
        mode.contains("[confidentiality]"),
        mode.trim(),
    );
    let run = detector::call(&["run", "--duration", "1s"])?;
    one_line(
        checks,
        "run",
        &run,
        &[
            "fslockup: attach walk: ",
            "(kernel lockdown is 'confidentiality')",
        ],
    );
    let check = detector::call(&["check"])?;
    one_line(
        checks,
        "check",
        &check,
        &["(kernel lockdown is 'confidentiality')"],
    );
    let text = String::from_utf8_lossy(&check.stdout);
    checks.that(
        "check: the verdict is on the screen",
        text.contains("verdict     cannot run"),
        text.trim(),
    );
    Ok(())
}
