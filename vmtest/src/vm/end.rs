//! How a guest ended, decided from what was seen of it.

use std::fmt;

use super::limits::Overrun;
use crate::kernel_log;

/// How a guest ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It did its job and said goodbye.
    Finished,
    /// Its kernel gave up; the line that says why.
    Panicked(String),
    /// QEMU runs, but the guest sends nothing any more.
    Hung,
    /// The guest goes on, but its command did not end in time.
    TimedOut,
    /// QEMU is gone, and neither a goodbye nor a panic was seen.
    Lost(String),
    /// It never sent anything.
    NotBooted(String),
    /// It could not get ready for its job.
    Broken(String),
    /// The user stopped the run.
    Interrupted,
}

impl fmt::Display for End {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => write!(formatter, "finished"),
            Self::Panicked(line) => write!(formatter, "panicked: {line}"),
            Self::Hung => write!(formatter, "hung: no sign of life, and QEMU still runs"),
            Self::TimedOut => write!(
                formatter,
                "timed out: the guest lives, but its command does not end"
            ),
            Self::Lost(how) => write!(formatter, "lost: {how}"),
            Self::NotBooted(why) => write!(formatter, "not booted: {why}"),
            Self::Broken(why) => write!(formatter, "not ready: {why}"),
            Self::Interrupted => write!(formatter, "interrupted"),
        }
    }
}

/// What was seen of a guest that did not finish.
#[derive(Clone, Debug, Default)]
pub struct Evidence<'a> {
    /// It sent its first message.
    pub has_hello: bool,
    /// What it said it could not do.
    pub broken: Option<String>,
    /// Which limit it was over.
    pub overrun: Option<Overrun>,
    /// How QEMU ended by itself, if it did.
    pub qemu_end: Option<String>,
    /// What QEMU wrote.
    pub qemu_messages: &'a [u8],
    /// The console's log.
    pub console: &'a [u8],
}

/// Decides. The kernel's own last words count most: a guest that panicked may also have fallen
/// silent.
#[must_use]
pub fn decide(evidence: &Evidence) -> End {
    let death = kernel_log::cause_of_death(evidence.console).map(|report| report.line);
    if let Some(why) = &evidence.broken {
        return End::Broken(why.clone());
    }
    if !evidence.has_hello {
        return End::NotBooted(death.unwrap_or_else(|| why_not_booted(evidence)));
    }
    if let Some(line) = death {
        return End::Panicked(line);
    }
    match evidence.overrun {
        Some(Overrun::TimedOut) => End::TimedOut,
        Some(_) => End::Hung,
        None => End::Lost(match &evidence.qemu_end {
            Some(how) => format!("QEMU ended ({how}) before the guest said goodbye"),
            None => "the result channel closed before the guest said goodbye".to_owned(),
        }),
    }
}

fn why_not_booted(evidence: &Evidence) -> String {
    let said = evidence
        .qemu_messages
        .split(|byte| *byte == b'\n')
        .find(|line| !line.trim_ascii().is_empty());
    let said = said
        .map(|line| format!(": {}", kernel_log::printable(line.trim_ascii())))
        .unwrap_or_default();
    match (&evidence.qemu_end, evidence.overrun) {
        (Some(how), _) => format!("QEMU ended ({how}){said}"),
        (None, Some(_)) => format!("no message in time{said}"),
        (None, None) => format!("the result channel closed{said}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PANIC: &[u8] = b"[ 1.0] Kernel panic - not syncing: sysrq triggered crash\r\n";

    fn seen() -> Evidence<'static> {
        Evidence {
            has_hello: true,
            ..Evidence::default()
        }
    }

    #[test]
    fn ends_are_told_apart() {
        let panicked = Evidence {
            console: PANIC,
            qemu_end: Some("exit status: 0".into()),
            ..seen()
        };
        assert!(matches!(decide(&panicked), End::Panicked(line) if line.contains("sysrq")));
        let hung = Evidence {
            overrun: Some(Overrun::Hung),
            ..seen()
        };
        assert_eq!(decide(&hung), End::Hung);
        let timed_out = Evidence {
            overrun: Some(Overrun::TimedOut),
            ..seen()
        };
        assert_eq!(decide(&timed_out), End::TimedOut);
        let lost = Evidence {
            qemu_end: Some("signal: 9 (SIGKILL)".into()),
            ..seen()
        };
        assert!(matches!(decide(&lost), End::Lost(how) if how.contains("SIGKILL")));
    }

    #[test]
    fn a_guest_that_never_spoke_is_not_booted_whatever_else() {
        let silent = Evidence {
            qemu_end: Some("exit status: 1".into()),
            qemu_messages: b"\nqemu: bad MSR\nx",
            ..Evidence::default()
        };
        assert_eq!(
            decide(&silent),
            End::NotBooted("QEMU ended (exit status: 1): qemu: bad MSR".into())
        );
        let panicked = Evidence {
            console: PANIC,
            ..Evidence::default()
        };
        assert!(matches!(decide(&panicked), End::NotBooted(why) if why.contains("Kernel panic")));
    }

    #[test]
    fn hostile_messages_of_qemu_are_escaped() {
        let silent = Evidence {
            qemu_end: Some("x".into()),
            qemu_messages: b"\x1b[31m",
            ..Evidence::default()
        };
        assert!(!decide(&silent).to_string().contains('\x1b'));
    }
}
