//! How a guest ended, decided from what was seen of it.

use std::{fmt, process::ExitStatus};

use fslockup::escape::escape_rest;

use super::limits::Overrun;
use crate::kernel_log;

/// How a guest ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It did its job and said goodbye.
    Finished,
    /// Its kernel gave up; the line that says why.
    Panicked(String),
    /// QEMU runs, but the guest sends nothing any more; why the host is to blame, where it is.
    Hung(Option<String>),
    /// The guest goes on, but its command did not end in time.
    TimedOut,
    /// It wrote more than is kept; what.
    Flooded(String),
    /// QEMU ended in order, as it does when the guest resets or powers off, without a word of it.
    Reset,
    /// QEMU is gone by itself, and neither a goodbye nor a panic was seen.
    Lost(String),
    /// It never sent anything.
    NotBooted(String),
    /// Its kernel gave up before it sent anything; the line that says why.
    PanickedAtBoot(String),
    /// The emulator, not its kernel, is to blame for its death; why.
    Misexecuted {
        /// The evidence, one line.
        why: String,
        /// It had sent its first message.
        has_booted: bool,
    },
    /// It could not be made, or not get ready for its job.
    Broken(String),
    /// The user stopped the run.
    Interrupted,
}

impl fmt::Display for End {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => write!(formatter, "finished"),
            Self::Panicked(line) => write!(formatter, "panicked: {line}"),
            Self::Hung(None) => write!(formatter, "hung: no sign of life, and QEMU still runs"),
            Self::Hung(Some(host)) => write!(
                formatter,
                "hung: no sign of life, which may be the host's fault: {host}"
            ),
            Self::TimedOut => write!(
                formatter,
                "timed out: the guest lives, but its command does not end"
            ),
            Self::Flooded(what) => write!(formatter, "ended for flooding: {what}"),
            Self::Reset => write!(
                formatter,
                "lost: QEMU ended in order before the guest said goodbye: a reset, or it was powered off"
            ),
            Self::Lost(how) => write!(formatter, "lost: {how}"),
            Self::NotBooted(why) | Self::PanickedAtBoot(why) => {
                write!(formatter, "not booted: {why}")
            }
            Self::Misexecuted { why, has_booted } => {
                let what = if *has_booted { "lost" } else { "not booted" };
                write!(formatter, "{what}: {why}")
            }
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
    /// Why the host is to blame for its silence, where it is.
    pub host_fault: Option<String>,
    /// Its instructions are translated, not executed by the host's CPU.
    pub is_emulated: bool,
    /// How QEMU ended by itself, if it did.
    pub qemu_end: Option<QemuEnd>,
    /// What QEMU wrote.
    pub qemu_messages: &'a [u8],
    /// The console's log.
    pub console: &'a [u8],
}

/// How QEMU ended by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QemuEnd {
    /// Its exit status, in words.
    pub how: String,
    /// It exited 0: the guest made it end.
    pub is_in_order: bool,
}

impl From<ExitStatus> for QemuEnd {
    fn from(status: ExitStatus) -> Self {
        Self {
            how: status.to_string(),
            is_in_order: status.success(),
        }
    }
}

/// Decides. The kernel's own last words count most: a guest that panicked may also have fallen
/// silent.
#[must_use]
pub fn decide(evidence: &Evidence) -> End {
    let said = last_words_of_pid_1(evidence.console)
        .map(|words| format!("; last, PID 1 said: {words}"))
        .unwrap_or_default();
    let death =
        kernel_log::cause_of_death(evidence.console).map(|report| format!("{}{said}", report.line));
    if let Some(why) = &evidence.broken {
        return End::Broken(why.clone());
    }
    let stale = (death.is_some() && evidence.is_emulated)
        .then(|| kernel_log::stale_breakpoint(evidence.console))
        .flatten();
    if let Some(place) = stale {
        return End::Misexecuted {
            why: format!("the emulator ran a breakpoint that memory did not hold, at {place}"),
            has_booted: evidence.has_hello,
        };
    }
    if !evidence.has_hello {
        return match death {
            Some(line) => End::PanickedAtBoot(line),
            None => End::NotBooted(format!("{}{said}", why_not_booted(evidence))),
        };
    }
    if let Some(line) = death {
        return End::Panicked(line);
    }
    match (evidence.overrun, &evidence.qemu_end) {
        (Some(Overrun::TimedOut), _) => End::TimedOut,
        (Some(_), _) => End::Hung(evidence.host_fault.clone()),
        (None, Some(end)) if end.is_in_order => End::Reset,
        (None, Some(end)) => End::Lost(format!(
            "QEMU ended ({}) before the guest said goodbye{said}",
            end.how
        )),
        (None, None) => End::Lost(format!(
            "the result channel closed before the guest said goodbye{said}"
        )),
    }
}

/// The last line on the console that is vmtest's own, which PID 1 writes when it has no channel.
fn last_words_of_pid_1(console: &[u8]) -> Option<String> {
    console
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.trim_ascii().strip_prefix(b"vmtest: "))
        .next_back()
        .map(escape_rest)
}

fn why_not_booted(evidence: &Evidence) -> String {
    let said = evidence
        .qemu_messages
        .split(|byte| *byte == b'\n')
        .find(|line| !line.trim_ascii().is_empty());
    let said = said
        .map(|line| format!(": {}", escape_rest(line.trim_ascii())))
        .unwrap_or_default();
    match (&evidence.qemu_end, evidence.overrun) {
        (Some(end), _) => format!("QEMU ended ({}){said}", end.how),
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

    fn qemu_end(how: &str, is_in_order: bool) -> Option<QemuEnd> {
        Some(QemuEnd {
            how: how.into(),
            is_in_order,
        })
    }

    #[test]
    fn ends_are_distinguished() {
        let panicked = Evidence {
            console: PANIC,
            qemu_end: qemu_end("exit status: 0", true),
            ..seen()
        };
        assert!(matches!(decide(&panicked), End::Panicked(line) if line.contains("sysrq")));
        let hung = Evidence {
            overrun: Some(Overrun::Hung),
            ..seen()
        };
        assert_eq!(decide(&hung), End::Hung(None));
        let starved = Evidence {
            host_fault: Some("no CPU".into()),
            ..hung
        };
        assert_eq!(decide(&starved), End::Hung(Some("no CPU".into())));
        let timed_out = Evidence {
            overrun: Some(Overrun::TimedOut),
            ..seen()
        };
        assert_eq!(decide(&timed_out), End::TimedOut);
        let lost = Evidence {
            qemu_end: qemu_end("signal: 9 (SIGKILL)", false),
            ..seen()
        };
        assert!(matches!(decide(&lost), End::Lost(how) if how.contains("SIGKILL")));
        let reset = Evidence {
            qemu_end: qemu_end("exit status: 0", true),
            ..seen()
        };
        assert_eq!(decide(&reset), End::Reset);
    }

    #[test]
    fn what_pid_1_said_last_is_there() {
        let console =
            b"[1.0] x\r\nvmtest: first\r\nvmtest: /dev/ttyS1: No such device\x1b\r\n[2.0] y\r\n";
        let silent = Evidence {
            overrun: Some(Overrun::NotBooted),
            console,
            ..Evidence::default()
        };
        assert_eq!(
            decide(&silent),
            End::NotBooted(
                "no message in time; last, PID 1 said: /dev/ttyS1: No such device\\x1b".into()
            )
        );
        let console = [&console[..], PANIC].concat();
        let panicked = Evidence {
            console: &console,
            ..seen()
        };
        assert!(matches!(decide(&panicked), End::Panicked(line) if line.contains("/dev/ttyS1")));
    }

    #[test]
    fn a_breakpoint_that_memory_does_not_hold_is_no_panic_under_emulation() {
        let console = b"[3.0] Oops: int3: 0000 [#1] SMP NOPTI\n[3.0] RIP: 0010:f+0x9/0x1f0\n[3.0] Code: 53 66 <90> e8\n[3.1] Kernel panic - not syncing: Fatal exception\n";
        let emulated = Evidence {
            console,
            is_emulated: true,
            ..seen()
        };
        for has_hello in [true, false] {
            let end = decide(&Evidence {
                has_hello,
                ..emulated.clone()
            });
            let why = "the emulator ran a breakpoint that memory did not hold, at 0010:f+0x9/0x1f0";
            let expected = End::Misexecuted {
                why: why.into(),
                has_booted: has_hello,
            };
            assert_eq!(end, expected);
        }
        // A host's CPU has no translations that could be stale.
        let by_kvm = Evidence {
            is_emulated: false,
            ..emulated
        };
        assert!(matches!(decide(&by_kvm), End::Panicked(line) if line.starts_with("Oops: int3")));
    }

    #[test]
    fn a_guest_that_never_spoke_is_not_booted_whatever_else() {
        let silent = Evidence {
            qemu_end: qemu_end("exit status: 1", false),
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
        assert!(
            matches!(decide(&panicked), End::PanickedAtBoot(why) if why.contains("Kernel panic"))
        );
    }

    #[test]
    fn hostile_messages_of_qemu_are_escaped() {
        let silent = Evidence {
            qemu_end: qemu_end("x", false),
            qemu_messages: b"\x1b[31m",
            ..Evidence::default()
        };
        assert!(!decide(&silent).to_string().contains('\x1b'));
    }
}
