//! What a kernel must have for a scenario to say anything of it: Debian's have it all, others may not. Each is
//! asked before anything is claimed.

use std::{fmt, fs, path::Path};

use anyhow::Context as _;

/// What this kernel lacks.
#[derive(Debug)]
pub struct NotApplicable(pub String);

impl fmt::Display for NotApplicable {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

impl std::error::Error for NotApplicable {}

fn needed(is_there: bool, lack: impl Into<String>) -> anyhow::Result<()> {
    if is_there {
        Ok(())
    } else {
        Err(NotApplicable(lack.into()).into())
    }
}

/// CONFIG_KPROBES, and CONFIG_KPROBE_EVENTS, which shows it.
pub fn kprobes() -> anyhow::Result<()> {
    let file = "/sys/kernel/debug/tracing/kprobe_events";
    needed(Path::new(file).exists(), format!("no kprobes: no {file}"))
}

/// CONFIG_SECURITY_LOCKDOWN_LSM, and that it is switched on.
pub fn lockdown() -> anyhow::Result<()> {
    let file = "/sys/kernel/security/lockdown";
    needed(Path::new(file).exists(), format!("no lockdown: no {file}"))
}

/// The level of kernel.perf_event_paranoid that Debian ships, which its own patch knows.
pub fn perf_event_paranoid(file: &str, level: &str) -> anyhow::Result<()> {
    let shipped = fs::read_to_string(file).context(file.to_owned())?;
    let shipped = shipped.trim();
    needed(
        shipped == level,
        format!("kernel.perf_event_paranoid is {shipped}, not Debian's {level}"),
    )
}

/// CONFIG_OVERLAY_FS, built in or loaded.
pub fn overlay() -> anyhow::Result<()> {
    let known = fs::read_to_string("/proc/filesystems").context("/proc/filesystems")?;
    let is_known = known.split_whitespace().any(|word| word == "overlay");
    needed(is_known, "no overlay file system")
}
