//! Why the kernel refused, in a few words, and what is known to be behind it.

use aya::programs::ProgramError;

use crate::{
    facts::{Capability, Facts},
    plan::{Target, Via},
};

/// What is known to refuse programs here, to be put behind the kernel's own words.
pub fn hint(facts: &Facts) -> String {
    match facts.lockdown.as_deref() {
        Some(mode) if mode != "none" => format!(" (kernel lockdown is '{mode}')"),
        _ => String::new(),
    }
}

/// Debian and others added a level 3 to `kernel.perf_event_paranoid`, at which perf events, and with
/// them kprobes, are left to CAP_SYS_ADMIN whatever CAP_PERFMON says.
pub fn kprobe_hint<'a>(facts: &Facts, mut tried: impl Iterator<Item = &'a Target>) -> String {
    let is_tried = tried.any(|target| target.via == Via::Kprobe);
    let may = facts.capabilities.contains(&Capability::CapSysAdmin);
    match facts.perf_event_paranoid {
        Some(level) if level >= 3 && is_tried && !may => {
            format!(" (kernel.perf_event_paranoid is {level}: kprobes need CAP_SYS_ADMIN)")
        }
        _ => String::new(),
    }
}

/// The kernel's reason in a few words; the verifier's full log goes to the debug log.
pub fn reason(error: &ProgramError) -> String {
    log::debug!("{}", chain(error));
    if let ProgramError::LoadError {
        io_error,
        verifier_log,
    } = error
    {
        let log = verifier_log.to_string();
        let last = log
            .lines()
            .map(str::trim)
            .rfind(|line| !line.is_empty() && !is_statistics(line));
        return match last {
            Some(line) => format!("{}: {line}", errno_text(io_error)),
            None => errno_text(io_error),
        };
    }
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(found) = source {
        if let Some(io_error) = found.downcast_ref::<std::io::Error>() {
            return errno_text(io_error);
        }
        source = found.source();
    }
    chain(error)
}

/// Lines that the verifier puts behind its complaint.
fn is_statistics(line: &str) -> bool {
    ["processed ", "verification time ", "stack depth "]
        .iter()
        .any(|start| line.starts_with(start))
}

fn errno_text(error: &std::io::Error) -> String {
    use nix::errno::Errno;
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EPERM | Errno::EACCES) => "permission denied".to_owned(),
        Some(errno) => errno.desc().to_lowercase(),
        None => error.to_string(),
    }
}

/// An error with all its causes, on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}
