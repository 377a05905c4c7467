//! Kernel log lines: the format of `/dev/kmsg`, and which lines are reports of the kernel that
//! something is wrong.
//!
//! The bytes are hostile: names chosen by unprivileged programs get into the log.

use std::fmt;

use fslockup::escape::escape_rest;
use serde::{Deserialize, Serialize};

/// The level of a warning; lower is worse (`include/linux/kern_levels.h`).
pub const LEVEL_WARNING: u32 = 4;

/// One record as `/dev/kmsg` gives it: `PRIORITY,SEQUENCE,MICROSECONDS,FLAGS;TEXT\n KEY=VALUE…`
/// (the kernel's `Documentation/ABI/testing/dev-kmsg`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    priority: u32,
    sequence: u64,
    time_us: u64,
    text: &'a [u8],
}

impl<'a> Record<'a> {
    /// The record in these bytes, or `None` when they are not one.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let split = bytes.iter().position(|byte| *byte == b';')?;
        let mut head = std::str::from_utf8(&bytes[..split]).ok()?.split(',');
        let priority = head.next()?.parse().ok()?;
        let sequence = head.next()?.parse().ok()?;
        let time_us = head.next()?.parse().ok()?;
        let body = &bytes[split + 1..];
        let end = body
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(body.len());
        Some(Self {
            priority,
            sequence,
            time_us,
            text: &body[..end],
        })
    }

    /// Its number: the first record of a boot is 0, and each has the next one.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// 0 (emergency) to 7 (debug).
    #[must_use]
    pub fn level(&self) -> u32 {
        self.priority & 7
    }

    /// Programs may write to the log too, but not under the kernel's facility.
    #[must_use]
    pub fn is_from_kernel(&self) -> bool {
        self.priority >> 3 == 0
    }

    /// The message, with control characters still escaped by the kernel.
    #[must_use]
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// The record as a line of `dmesg`.
    #[must_use]
    pub fn render(&self) -> Vec<u8> {
        let mut line = format!(
            "[{:5}.{:06}] ",
            self.time_us / 1_000_000,
            self.time_us % 1_000_000
        )
        .into_bytes();
        line.extend_from_slice(self.text);
        line.push(b'\n');
        line
    }
}

/// What the kernel reports about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReportKind {
    /// A CPU ran kernel code for more than 20 s without scheduling.
    SoftLockup,
    /// A CPU did not take interrupts.
    HardLockup,
    /// RCU waits for a CPU or task.
    RcuStall,
    /// A task was in uninterruptible sleep for two minutes.
    HungTask,
    /// `WARN_ON` and its like.
    Warning,
    /// `BUG`, sanitizers, bad memory accesses.
    Bug,
    /// The kernel gave up on the task that ran.
    Oops,
    /// The kernel gave up.
    Panic,
}

impl fmt::Display for ReportKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::SoftLockup => "soft-lockup",
            Self::HardLockup => "hard-lockup",
            Self::RcuStall => "rcu-stall",
            Self::HungTask => "hung-task",
            Self::Warning => "warning",
            Self::Bug => "bug",
            Self::Oops => "oops",
            Self::Panic => "panic",
        })
    }
}

/// One report: what it is, and the line that says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What the kernel reports.
    pub kind: ReportKind,
    /// Its line, printable.
    pub line: String,
}

/// How a line of each kind begins, and what else must be in it. Prefixes, not mere contents: a
/// file name in another line must not pass for a report. More specific ones first.
///
/// The kernel's own words: `lib/ubsan.c`, `kernel/locking/lockdep.c`, `kernel/rcu/`, `lib/refcount.c`,
/// `lib/list_debug.c`, `mm/kmemleak.c`, `mm/slub.c`; KASAN, KFENCE, KCSAN, KMSAN, "scheduling while atomic",
/// "sleeping function called from invalid context" and "unable to handle" all begin with `BUG: `.
const SIGNS: [(&str, &str, ReportKind); 43] = [
    ("watchdog: BUG: soft lockup", "", ReportKind::SoftLockup),
    ("NMI watchdog: BUG: soft lockup", "", ReportKind::SoftLockup),
    ("BUG: soft lockup", "", ReportKind::SoftLockup),
    ("watchdog: CPU", "hard LOCKUP", ReportKind::HardLockup),
    (
        "NMI watchdog: Watchdog detected hard LOCKUP",
        "",
        ReportKind::HardLockup,
    ),
    (
        "watchdog: Watchdog detected hard LOCKUP",
        "",
        ReportKind::HardLockup,
    ),
    ("rcu: INFO: ", "stall", ReportKind::RcuStall),
    ("INFO: rcu", "stall", ReportKind::RcuStall),
    ("INFO: task ", "blocked", ReportKind::HungTask),
    ("Kernel panic - not syncing", "", ReportKind::Panic),
    ("WARNING: ", " at ", ReportKind::Warning),
    // Lockdep: "possible circular locking dependency detected", "possible recursive locking detected",
    // "SOFTIRQ-safe -> SOFTIRQ-unsafe lock order detected", "bad unlock balance detected!" and more.
    ("WARNING: ", " detected", ReportKind::Warning),
    ("WARNING: inconsistent lock state", "", ReportKind::Warning),
    ("WARNING: suspicious RCU usage", "", ReportKind::Warning),
    ("WARNING: held lock freed!", "", ReportKind::Warning),
    (
        "WARNING: lock held when returning to user space!",
        "",
        ReportKind::Warning,
    ),
    (
        "WARNING: Nested lock was not taken",
        "",
        ReportKind::Warning,
    ),
    ("INFO: possible ", " detected", ReportKind::Warning),
    ("INFO: suspicious RCU usage", "", ReportKind::Warning),
    ("INFO: inconsistent lock state", "", ReportKind::Warning),
    (
        "INFO: trying to register non-static key",
        "",
        ReportKind::Warning,
    ),
    ("[ INFO: possible ", " detected", ReportKind::Warning),
    ("[ INFO: suspicious RCU usage", "", ReportKind::Warning),
    ("[ BUG: ", "", ReportKind::Bug),
    ("BUG: ", "", ReportKind::Bug),
    // SLUB: "BUG kmalloc-64 (Not tainted): Poison overwritten".
    ("BUG ", "ainted", ReportKind::Bug),
    ("kernel BUG at ", "", ReportKind::Bug),
    ("UBSAN: ", "", ReportKind::Bug),
    ("refcount_t: ", "", ReportKind::Warning),
    ("list_add corruption", "", ReportKind::Bug),
    ("list_del corruption", "", ReportKind::Bug),
    // Without the part, it is what kmemleak says when it starts.
    ("kmemleak: ", "suspected memory leak", ReportKind::Warning),
    ("Unable to handle kernel ", "", ReportKind::Bug),
    (
        "unregister_netdevice: waiting for ",
        "to become free",
        ReportKind::Warning,
    ),
    ("Fixing recursive fault", "", ReportKind::Oops),
    ("PANIC: double fault", "", ReportKind::Oops),
    ("traps: PANIC: double fault", "", ReportKind::Oops),
    ("Oops: ", "", ReportKind::Oops),
    ("general protection fault", "", ReportKind::Oops),
    ("invalid opcode: ", "", ReportKind::Oops),
    ("divide error: ", "", ReportKind::Oops),
    ("stack segment: ", "", ReportKind::Oops),
    ("int3: ", "", ReportKind::Oops),
];

/// Whether this message is a report of the kernel.
#[must_use]
pub fn classify(text: &[u8]) -> Option<Report> {
    let text = strip_time(text);
    // Most lines are none, and a guest looks at each line of its log.
    let could_be = |(start, _, _): &(&str, &str, ReportKind)| text.starts_with(start.as_bytes());
    if !SIGNS.iter().any(could_be) {
        return None;
    }
    let line = escape_rest(text);
    let sign = SIGNS
        .iter()
        .find(|(start, part, _)| line.starts_with(start) && line.contains(part));
    sign.map(|(_, _, kind)| Report {
        kind: *kind,
        line: line.clone(),
    })
}

/// Every report in a console log or the like, line by line.
#[must_use]
pub fn scan(log: &[u8]) -> Vec<Report> {
    log.split(|byte| *byte == b'\n')
        .filter_map(classify)
        .collect()
}

/// The worst thing a console log tells of a guest that died: a panic if there is one, else the
/// first oops or bug.
#[must_use]
pub fn cause_of_death(console: &[u8]) -> Option<Report> {
    let reports = scan(console);
    let fatal = |report: &&Report| {
        matches!(
            report.kind,
            ReportKind::Bug | ReportKind::Oops | ReportKind::Panic
        )
    };
    // The panic's own line only says "Fatal exception"; the oops before it names the fault.
    let first = reports.iter().find(fatal)?;
    let is_panic = reports
        .iter()
        .any(|report| report.kind == ReportKind::Panic);
    is_panic.then(|| first.clone())
}

/// The line without the console's time stamp: `[    1.234567] `, with the caller's id between the
/// brackets on kernels that print it (`[    1.234567][    T1] `).
fn strip_time(text: &[u8]) -> &[u8] {
    let mut rest = text.trim_ascii();
    while rest.starts_with(b"[") {
        let Some(end) = rest.iter().position(|byte| *byte == b']') else {
            break;
        };
        let inner = &rest[1..end];
        let is_stamp = inner
            .iter()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b' ' | b'.' | b'T' | b'C'));
        if !is_stamp {
            break;
        }
        rest = rest[end + 1..].trim_ascii_start();
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(line: &[u8]) -> Option<ReportKind> {
        classify(line).map(|report| report.kind)
    }

    #[test]
    fn a_record_of_dev_kmsg_is_taken_apart() {
        let record = Record::parse(b"4,512,1234567,-;x;y\n SUBSYSTEM=pci\n").expect("a record");
        assert_eq!((record.level(), record.is_from_kernel()), (4, true));
        assert_eq!(record.sequence(), 512);
        assert_eq!(record.text(), b"x;y");
        assert_eq!(record.render(), b"[    1.234567] x;y\n");
        let by_a_program = Record::parse(b"12,1,0,-;BUG: not really").expect("a record");
        assert!(!by_a_program.is_from_kernel());
    }

    #[test]
    fn broken_records_are_none() {
        for bytes in [
            &b""[..],
            b";",
            b"x,1,2,-;y",
            b"4,1;y",
            b"\xff\xff;",
            b"4,1,99999999999999999999,-;y",
        ] {
            assert_eq!(Record::parse(bytes), None, "{}", escape_rest(bytes));
        }
    }

    #[test]
    fn reports_are_told_apart() {
        let cases: [(&[u8], Option<ReportKind>); 13] = [
            (
                b"watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [flood:99]",
                Some(ReportKind::SoftLockup),
            ),
            (
                b"[   31.000001] watchdog: BUG: soft lockup - CPU#1 stuck for 22s!",
                Some(ReportKind::SoftLockup),
            ),
            (
                b"rcu: INFO: rcu_preempt self-detected stall on CPU",
                Some(ReportKind::RcuStall),
            ),
            (
                b"INFO: task flood:99 blocked for more than 120 seconds.",
                Some(ReportKind::HungTask),
            ),
            (
                b"WARNING: CPU: 0 PID: 1 at fs/dcache.c:1 d_x+0x1/0x2",
                Some(ReportKind::Warning),
            ),
            (
                b"WARNING: fs/dcache.c:1 at d_x+0x1/0x2, CPU#0: x/1",
                Some(ReportKind::Warning),
            ),
            (
                b"BUG: unable to handle page fault for address: 0",
                Some(ReportKind::Bug),
            ),
            (
                b"[    2.1][    T1] Oops: Oops: 0000 [#1] SMP",
                Some(ReportKind::Oops),
            ),
            (
                b"Kernel panic - not syncing: sysrq triggered crash\r",
                Some(ReportKind::Panic),
            ),
            (
                b"WARNING: Spectre v2 mitigation leaves CPU vulnerable",
                None,
            ),
            (b"rcu: INFO: hello", None),
            (b"audit: name=\"BUG: soft lockup\"", None),
            (b"\xff\xfe[[[[BUG", None),
        ];
        for (line, expected) in cases {
            assert_eq!(kind_of(line), expected, "{}", escape_rest(line));
        }
    }

    /// Lines as the kernel prints them, each with a name of what it belongs to.
    #[test]
    fn what_debug_kernels_find_is_a_report() {
        for (line, expected) in [
            (
                "UBSAN: array-index-out-of-bounds in fs/dcache.c:3:5",
                ReportKind::Bug,
            ),
            (
                "UBSAN: Undefined behaviour in fs/dcache.c:3:5",
                ReportKind::Bug,
            ),
            (
                "BUG: KASAN: slab-use-after-free in d_x+0x1/0x2",
                ReportKind::Bug,
            ),
            (
                "BUG: KFENCE: use-after-free read in d_x+0x1/0x2",
                ReportKind::Bug,
            ),
            ("BUG: KCSAN: data-race in a / b", ReportKind::Bug),
            ("BUG: KMSAN: uninit-value in d_x+0x1/0x2", ReportKind::Bug),
            (
                "BUG: scheduling while atomic: cat/99/0x00000002",
                ReportKind::Bug,
            ),
            (
                "BUG: sleeping function called from invalid context at fs/dcache.c:1",
                ReportKind::Bug,
            ),
            (
                "BUG: unable to handle page fault for address: 0",
                ReportKind::Bug,
            ),
            (
                "BUG dentry (Not tainted): Poison overwritten",
                ReportKind::Bug,
            ),
            ("[ BUG: Invalid wait context ]", ReportKind::Bug),
            (
                "list_del corruption. prev->next should be x, but was y.",
                ReportKind::Bug,
            ),
            ("list_add corruption. prev is NULL.", ReportKind::Bug),
            (
                "WARNING: possible circular locking dependency detected",
                ReportKind::Warning,
            ),
            (
                "WARNING: possible recursive locking detected",
                ReportKind::Warning,
            ),
            (
                "WARNING: possible irq lock inversion dependency detected",
                ReportKind::Warning,
            ),
            (
                "WARNING: SOFTIRQ-safe -> SOFTIRQ-unsafe lock order detected",
                ReportKind::Warning,
            ),
            ("WARNING: bad unlock balance detected!", ReportKind::Warning),
            ("WARNING: inconsistent lock state", ReportKind::Warning),
            ("WARNING: suspicious RCU usage", ReportKind::Warning),
            (
                "INFO: trying to register non-static key.",
                ReportKind::Warning,
            ),
            (
                "refcount_t: underflow; use-after-free.",
                ReportKind::Warning,
            ),
            (
                "kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
                ReportKind::Warning,
            ),
            ("divide error: 0000 [#1] SMP", ReportKind::Oops),
            (
                "traps: PANIC: double fault, error_code: 0x0",
                ReportKind::Oops,
            ),
        ] {
            assert_eq!(kind_of(line.as_bytes()), Some(expected), "{line}");
        }
        for line in [
            "kmemleak: Kernel memory leak detector initialized (mem pool available: 15716)",
            "BUGFIX applied",
            "traps: cat[99] general protection fault ip:0 sp:0 error:0",
            "INFO: lockdep is turned off.",
            "clocksource: UBSAN: no",
        ] {
            assert_eq!(kind_of(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn a_death_is_named_by_its_first_fault() {
        let console = b"[1.0] BUG: kernel NULL pointer dereference\r\n[1.1] Kernel panic - not syncing: Fatal exception\r\n";
        let cause = cause_of_death(console).expect("a cause");
        assert_eq!(
            (cause.kind, cause.line.as_str()),
            (ReportKind::Bug, "BUG: kernel NULL pointer dereference")
        );
        assert_eq!(cause_of_death(b"[1.0] WARNING: CPU: 0 at x\n"), None);
    }

    #[test]
    fn hostile_bytes_come_out_printable() {
        assert_eq!(
            escape_rest(b"a\x1b[2Jb\r\xff\xc3\xa4"),
            "a\\x1b[2Jb\\x0d\\xff\u{e4}"
        );
        // The same rule as the detector's, so what one shows neither can hide.
        assert_eq!(
            escape_rest("\u{202e}x\u{200b}\u{feff}"),
            "\\u{202e}x\\u{200b}\\u{feff}"
        );
    }
}
