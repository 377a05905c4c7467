//! A kernel locked down at boot refuses programs that read its memory; the user is told why.

use std::fs;

use crate::{checks::Checks, detector, errors::one_line, precondition};

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    precondition::lockdown()?;
    let mode = fs::read_to_string("/sys/kernel/security/lockdown")?;
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
