//! The kernel's own reports of freezes, out of the records of `/dev/kmsg`.

use std::collections::VecDeque;

use crate::{
    event::{Wait, Walk},
    model::Span,
};

/// Most reports kept.
const KEPT_MAX: usize = 256;
/// A watchdog looks only once in a while, and a line may be read late.
const SLACK_NS: u64 = 1_000_000_000;
/// CLOCK_MONOTONIC may be slewed by a tenth against the scheduler's clock at most: adjtimex(2), `ADJ_TICK`.
const SLEW_DIVISOR: i128 = 10;
/// Longest headline kept, in bytes. Real ones have about 80.
const TEXT_MAX: usize = 512;

/// The headline of one report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelReport {
    /// Its stamp, on the scheduler's clock.
    pub stamp_ns: u64,
    /// The line.
    pub text: Vec<u8>,
    /// The CPU that it names.
    cpu: Option<u32>,
    /// The task that it names.
    tid: Option<u32>,
    /// An incident has it whose walker or waiter it names: it is nobody else's.
    pub is_claimed: bool,
}

impl KernelReport {
    /// Reads a record of `/dev/kmsg`; none where it is no headline of a report on a freeze.
    pub fn parse(record: &[u8]) -> Option<Self> {
        Self::of(&Record::parse(record)?)
    }

    /// None where the record is no headline of a report on a freeze. Priorities of 8 and more are of programs that
    /// write to the log: no report.
    fn of(record: &Record) -> Option<Self> {
        if record.priority >= 8 {
            return None;
        }
        let text = record.text;
        let line = String::from_utf8_lossy(text);
        let (cpu, tid) = named(&line)?;
        Some(Self {
            stamp_ns: record.stamp_ns,
            text: text[..text.len().min(TEXT_MAX)].to_vec(),
            cpu,
            tid,
            is_claimed: false,
        })
    }

    /// It names the walker or one of the waiters.
    pub fn names<'a>(&self, walk: &Walk, mut waits: impl Iterator<Item = &'a Wait>) -> bool {
        let is_named = |cpus: [Option<u32>; 2], tid: u32| match self.tid {
            Some(named) => named == tid,
            None => self.cpu.is_some() && cpus.contains(&self.cpu),
        };
        is_named([Some(walk.start_cpu), walk.end_cpu], walk.tid)
            || waits.any(|wait| is_named([Some(wait.cpu), None], wait.tid))
    }
}

/// A record `priority,sequence,µs,flags;text` of `/dev/kmsg`.
struct Record<'a> {
    priority: u32,
    stamp_ns: u64,
    /// Its first line: what follows are the record's properties.
    text: &'a [u8],
}

impl<'a> Record<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let at = bytes.iter().position(|byte| *byte == b';')?;
        let mut fields = std::str::from_utf8(&bytes[..at]).ok()?.split(',');
        let priority = fields.next()?.parse().ok()?;
        let stamp_us: u64 = fields.nth(1)?.parse().ok()?;
        Some(Self {
            priority,
            stamp_ns: stamp_us.saturating_mul(1_000),
            text: bytes[at + 1..].split(|byte| *byte == b'\n').next()?,
        })
    }
}

/// CPU and task that a headline names; none where the line is no headline.
fn named(line: &str) -> Option<(Option<u32>, Option<u32>)> {
    if line.starts_with(' ') {
        return None;
    }
    let number_behind = |mark: &str| -> Option<u32> {
        let rest = &line[line.find(mark)? + mark.len()..];
        let digits = rest.find(|c: char| !c.is_ascii_digit());
        rest[..digits.unwrap_or(rest.len())].parse().ok()
    };
    if line.contains("BUG: soft lockup - CPU#") {
        // `[comm:pid]` ends the line, and comm may hold anything.
        let tid = line
            .trim_end()
            .strip_suffix(']')
            .and_then(|line| line.rsplit(':').next()?.parse().ok());
        return Some((number_behind("CPU#"), tid));
    }
    if line.contains("Watchdog detected hard LOCKUP on cpu ")
        || line.contains("CPU: Watchdog detected hard LOCKUP")
    {
        return Some((number_behind("on cpu "), None));
    }
    let is_rcu_stall = line.contains("INFO: rcu")
        && (line.contains("self-detected stall on CPU")
            || line.contains("detected stalls on CPUs/tasks")
            || line.contains("detected expedited stalls on CPUs/tasks"));
    let is_workqueue_lockup = line.contains("BUG: workqueue lockup - pool");
    if is_rcu_stall || is_workqueue_lockup {
        return Some((None, None));
    }
    if line.contains("INFO: task ") && line.contains(" blocked for more than ") {
        let task = line.split(" blocked for more than ").next()?;
        let tid = task.rsplit(':').next()?.parse().ok();
        return Some((None, tid));
    }
    None
}

/// How far CLOCK_MONOTONIC is ahead of the scheduler's clock, which stamps the log: an upper bound.
///
/// NTP slews the one and not the other, so they drift apart by seconds a day. Each report is read later than it was stamped
/// by the difference and by how late that was, so the smallest counts; an older one may have
/// grown since by the greatest slew.
#[derive(Clone, Copy)]
struct Offset {
    read_ns: u64,
    ns: i128,
}

impl Offset {
    fn after(before: Option<Self>, read_ns: u64, stamp_ns: u64) -> Self {
        let mut ns = i128::from(read_ns) - i128::from(stamp_ns);
        if let Some(before) = before {
            let since_ns = i128::from(read_ns.saturating_sub(before.read_ns));
            ns = ns.min(before.ns + since_ns / SLEW_DIVISOR);
        }
        Self { read_ns, ns }
    }
}

/// The latest reports.
#[derive(Default)]
pub struct KernelLog {
    /// In the order in which they came.
    pub reports: VecDeque<KernelReport>,
    offset: Option<Offset>,
}

impl KernelLog {
    /// Keeps a record if it is a report.
    pub fn add(&mut self, read_ns: u64, record: &[u8]) {
        let Some(record) = Record::parse(record) else {
            return;
        };
        self.offset = Some(Offset::after(self.offset, read_ns, record.stamp_ns));
        if let Some(report) = KernelReport::of(&record) {
            if self.reports.len() == KEPT_MAX {
                self.reports.pop_front();
            }
            self.reports.push_back(report);
        }
    }

    /// The report at this place was made during the walk, as far as the clocks show.
    pub fn is_near(&self, at: usize, walk: Span) -> bool {
        let offset_ns = self.offset.map_or(0, |offset| offset.ns);
        let made_ns = i128::from(self.reports[at].stamp_ns) + offset_ns;
        let from_ns = walk.start_ns.saturating_sub(SLACK_NS);
        let to_ns = walk.end_ns.saturating_add(SLACK_NS);
        (i128::from(from_ns)..=i128::from(to_ns)).contains(&made_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOFT: &[u8] =
        b"0,1208,48120233,-;watchdog: BUG: soft lockup - CPU#3 stuck for 26s! [a]:b:1:4711]\n SUBSYSTEM=x\n";

    fn parsed(text: &str) -> Option<(Option<u32>, Option<u32>)> {
        KernelReport::parse(format!("3,1,5000000,-;{text}\n").as_bytes())
            .map(|report| (report.cpu, report.tid))
    }

    #[test]
    fn headlines_name_their_cpu_and_task() {
        let report = KernelReport::parse(SOFT).expect("a report");
        assert_eq!(report.stamp_ns, 48_120_233_000);
        assert_eq!((report.cpu, report.tid), (Some(3), Some(4711)));
        assert!(report.text.ends_with(b"[a]:b:1:4711]"));
        assert_eq!(
            parsed("watchdog: BUG: soft lockup - CPU#12 stuck for 22s! [kworker/12:1:88]"),
            Some((Some(12), Some(88)))
        );
        assert_eq!(
            parsed("NMI watchdog: Watchdog detected hard LOCKUP on cpu 7"),
            Some((Some(7), None))
        );
        assert_eq!(
            parsed("rcu: INFO: rcu_preempt self-detected stall on CPU"),
            Some((None, None))
        );
        assert_eq!(
            parsed("rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:"),
            Some((None, None))
        );
        assert_eq!(
            parsed("INFO: task jbd2/sda1-8:123 blocked for more than 120 seconds."),
            Some((None, Some(123)))
        );
        assert_eq!(
            parsed("BUG: workqueue lockup - pool cpus=1 node=0 flags=0x0 nice=0 stuck for 30s!"),
            Some((None, None))
        );
    }

    #[test]
    fn everything_else_is_no_report() {
        for text in [
            "",
            "EXT4-fs (nvme0n1): mounted filesystem",
            "CPU: 3 PID: 4711 Comm: x Not tainted 6.1.0",
            " watchdog: BUG: soft lockup - CPU#3 stuck for 26s! [x:1]",
            "task x:1 blocked for more than",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
        for record in [
            &b""[..],
            b"6,1",
            b"6,1;x",
            b"x,y,z,-;INFO: task a:1 blocked for more than 1 seconds.",
            b";;;",
        ] {
            assert_eq!(KernelReport::parse(record), None, "{record:?}");
        }
    }

    #[test]
    fn a_program_that_writes_to_the_log_makes_no_report() {
        let forged = [b"12", &SOFT[1..]].concat();
        assert_eq!(KernelReport::parse(&forged), None);
    }

    const SECOND_NS: u64 = 1_000_000_000;

    #[test]
    fn a_report_may_be_a_second_off() {
        let mut log = KernelLog::default();
        let at = KernelReport::parse(SOFT).expect("a report").stamp_ns;
        log.add(at, SOFT);
        let near = |start_ns, end_ns| log.is_near(0, Span::new(start_ns, end_ns));
        assert!(near(at + SECOND_NS, at + 2 * SECOND_NS));
        assert!(near(at - 2 * SECOND_NS, at - SECOND_NS));
        assert!(!near(at + SECOND_NS + 1, at + 2 * SECOND_NS));
        assert!(!near(0, at - SECOND_NS - 1));
    }

    /// NTP slews CLOCK_MONOTONIC by 20 parts in a million: 1.7 s a day.
    #[test]
    fn clocks_that_drifted_apart_are_compared() {
        for apart in [5 * i128::from(SECOND_NS), -5 * i128::from(SECOND_NS)] {
            let mut log = KernelLog::default();
            let stamp_ns = KernelReport::parse(SOFT).expect("a report").stamp_ns;
            let made_ns = u64::try_from(i128::from(stamp_ns) + apart).expect("after the boot");
            log.add(made_ns + 1_000_000, SOFT);
            assert!(log.is_near(0, Span::new(made_ns - SECOND_NS, made_ns)));
            assert!(!log.is_near(0, Span::new(stamp_ns, stamp_ns)), "{apart}");
        }
    }

    #[test]
    fn a_report_that_is_read_late_has_the_time_of_others() {
        let mut log = KernelLog::default();
        let record = |stamp_ns: u64, text: &str| format!("0,1,{},-;{text}", stamp_ns / 1_000);
        let soft = "watchdog: BUG: soft lockup - CPU#3 stuck for 26s! [x:1]";
        let (apart_ns, made_ns) = (7 * SECOND_NS, 100 * SECOND_NS);
        log.add(
            made_ns - 2 * SECOND_NS + apart_ns,
            record(made_ns - 2 * SECOND_NS, "x").as_bytes(),
        );
        log.add(
            made_ns + 9 * SECOND_NS + apart_ns,
            record(made_ns, soft).as_bytes(),
        );
        let at_ns = made_ns + apart_ns;
        assert!(!log.is_near(0, Span::new(at_ns + 4 * SECOND_NS, at_ns + 9 * SECOND_NS)));
        assert!(log.is_near(0, Span::new(at_ns, at_ns + SECOND_NS)));
    }

    #[test]
    fn a_long_line_is_cut_and_random_bytes_do_no_harm() {
        let long = format!(
            "watchdog: BUG: soft lockup - CPU#3 stuck for 26s! [{}:1]",
            "é".repeat(1_000)
        );
        let report = KernelReport::parse(format!("0,1,1,-;{long}\n").as_bytes());
        assert_eq!(report.expect("a report").text.len(), TEXT_MAX);
        let bytes = b"0,1,1,-;INFO: rcu \xff self-detected stall on CPU";
        assert!(KernelReport::parse(bytes).is_some());
    }
}
