//! The kernel's own reports of freezes, out of the records of `/dev/kmsg`.

use std::collections::VecDeque;

use crate::{
    event::{Wait, Walk},
    model::Span,
};

/// Most reports kept.
const KEPT_MAX: usize = 256;
/// The log's stamps are on the scheduler's clock: tens of milliseconds off, and a watchdog looks
/// only once in a while.
const SLACK_NS: u64 = 1_000_000_000;
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
    /// Reads a record `priority,sequence,µs,flags;text`; none where it is no headline of a report
    /// on a freeze. Priorities from 8 on are of programs that write to the log: no report.
    pub fn parse(record: &[u8]) -> Option<Self> {
        let at = record.iter().position(|byte| *byte == b';')?;
        let mut fields = std::str::from_utf8(&record[..at]).ok()?.split(',');
        let priority: u32 = fields.next()?.parse().ok()?;
        let stamp_us: u64 = fields.nth(1)?.parse().ok()?;
        if priority >= 8 {
            return None;
        }
        // What follows the first line are the record's properties.
        let text = record[at + 1..].split(|byte| *byte == b'\n').next()?;
        let line = String::from_utf8_lossy(text);
        let (cpu, tid) = named(&line)?;
        Some(Self {
            stamp_ns: stamp_us.saturating_mul(1_000),
            text: text[..text.len().min(TEXT_MAX)].to_vec(),
            cpu,
            tid,
            is_claimed: false,
        })
    }

    /// It was made during the walk, as far as the clocks tell.
    pub fn is_near(&self, walk: Span) -> bool {
        let from_ns = walk.start_ns.saturating_sub(SLACK_NS);
        let to_ns = walk.end_ns.saturating_add(SLACK_NS);
        (from_ns..=to_ns).contains(&self.stamp_ns)
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

/// The latest reports.
#[derive(Default)]
pub struct KernelLog {
    /// In the order in which they came.
    pub reports: VecDeque<KernelReport>,
}

impl KernelLog {
    /// Keeps a record if it is a report.
    pub fn add(&mut self, record: &[u8]) {
        if let Some(report) = KernelReport::parse(record) {
            if self.reports.len() == KEPT_MAX {
                self.reports.pop_front();
            }
            self.reports.push_back(report);
        }
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

    #[test]
    fn the_clocks_may_differ_by_a_second() {
        let report = KernelReport::parse(SOFT).expect("a report");
        let second = 1_000_000_000;
        let at = report.stamp_ns;
        assert!(report.is_near(Span::new(at + second, at + 2 * second)));
        assert!(report.is_near(Span::new(at - 2 * second, at - second)));
        assert!(!report.is_near(Span::new(at + second + 1, at + 2 * second)));
        assert!(!report.is_near(Span::new(0, at - second - 1)));
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
