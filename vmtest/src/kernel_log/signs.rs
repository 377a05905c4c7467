//! How the lines begin by which the kernel reports that something is wrong.

use super::ReportKind;

/// How a line of each kind begins, and what else must be in it. Prefixes, not mere contents: a
/// file name in another line must not pass for a report. More specific ones first.
///
/// The kernel's own words: `lib/ubsan.c`, `kernel/locking/lockdep.c`, `kernel/rcu/`, `lib/refcount.c`,
/// `lib/list_debug.c`, `mm/kmemleak.c`, `mm/slub.c`; KASAN, KFENCE, KCSAN, KMSAN, "scheduling while atomic",
/// "sleeping function called from invalid context" and "unable to handle" all begin with `BUG: `.
pub const SIGNS: [(&str, &str, ReportKind); 43] = [
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

#[cfg(test)]
mod tests {
    use fslockup::escape::escape_rest;

    use super::*;
    use crate::kernel_log::classify;

    fn kind_of(line: &[u8]) -> Option<ReportKind> {
        classify(line).map(|report| report.kind)
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
}
