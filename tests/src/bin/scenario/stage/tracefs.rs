//! The kernel's own tracers, as somebody without `fslockup` would use them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use fslockup_tests::Span;

const ROOT: &str = "/sys/kernel/debug/tracing";

const FAULTS: &str = "events/exceptions/page_fault_kernel";

/// The directory of tracefs; everything set through it is taken back when it is dropped.
pub struct Tracefs;

impl Tracefs {
    /// Starts from a quiet state.
    pub fn new() -> anyhow::Result<Self> {
        let tracefs = Self;
        tracefs.reset()?;
        Ok(tracefs)
    }

    /// The function-graph tracer on one function, which it then times.
    pub fn time_function(&self, function: &str) -> anyhow::Result<()> {
        set("set_ftrace_filter", function)?;
        set("current_tracer", "function_graph")
    }

    /// How long each call of that function took, in nanoseconds.
    pub fn function_times_ns(&self, function: &str) -> anyhow::Result<Vec<u64>> {
        let trace = read("trace")?;
        let call = format!("{function}()");
        trace
            .lines()
            .filter(|line| line.contains(&call))
            .map(|line| graph_time_ns(line).with_context(|| line.to_owned()))
            .collect()
    }

    /// Probes at the entry and exit of a function whose first argument is a lock.
    pub fn time_waits(&self, function: &str) -> anyhow::Result<()> {
        set("trace_clock", "mono")?;
        set(
            "kprobe_events",
            &format!("p:waits/begin {function} lock=%di:x64\nr:waits/end {function}"),
        )?;
        set("events/waits/enable", "1")
    }

    /// Every wait: the task, the lock's address, from when to when.
    pub fn waits(&self) -> anyhow::Result<Vec<(u32, String, Span)>> {
        set("events/waits/enable", "0")?;
        let trace = read("trace")?;
        let mut begun: Vec<(u32, u64, String)> = Vec::new();
        let mut waits = Vec::new();
        for line in trace.lines().filter(|line| !line.starts_with('#')) {
            let (tid, at_ns) = task_and_time(line).with_context(|| line.to_owned())?;
            if let Some((_, lock)) = line.split_once("lock=") {
                begun.push((tid, at_ns, lock.trim().to_owned()));
            // The latest first: an interrupt can wait inside a wait of the task it interrupted.
            } else if let Some(index) = begun.iter().rposition(|(of, _, _)| *of == tid) {
                let (_, start_ns, lock) = begun.remove(index);
                let span = Span {
                    start_ns,
                    end_ns: at_ns,
                };
                waits.push((tid, lock, span));
            }
        }
        Ok(waits)
    }

    /// A probe on what a function returns.
    pub fn watch_results(&self, function: &str) -> anyhow::Result<()> {
        set(
            "kprobe_events",
            &format!("r:results/result {function} value=$retval:x64"),
        )?;
        set("events/results/enable", "1")
    }

    /// What it returned to this task, in order.
    pub fn results(&self, tid: u32) -> anyhow::Result<Vec<u64>> {
        set("events/results/enable", "0")?;
        let trace = read("trace")?;
        let of_task = trace
            .lines()
            .filter(|line| task_and_time(line).is_some_and(|(of, _)| of == tid));
        let values = of_task.filter_map(|line| line.split_once("value=0x"));
        values
            .map(|(_, value)| Ok(u64::from_str_radix(value.trim(), 16)?))
            .collect()
    }

    /// Page faults that the kernel takes itself.
    pub fn watch_faults(&self) -> anyhow::Result<()> {
        set(&format!("{FAULTS}/enable"), "1")
    }

    /// Where they were taken, a line each.
    pub fn faults(&self) -> anyhow::Result<Vec<String>> {
        set(&format!("{FAULTS}/enable"), "0")?;
        let trace = read("trace")?;
        let faults = trace
            .lines()
            .filter(|line| line.contains("page_fault_kernel:"));
        Ok(faults.map(str::to_owned).collect())
    }

    fn reset(&self) -> anyhow::Result<()> {
        set("current_tracer", "nop")?;
        set("set_ftrace_filter", "")?;
        set(&format!("{FAULTS}/enable"), "0")?;
        for events in ["events/waits/enable", "events/results/enable"] {
            if path(events).exists() {
                set(events, "0")?;
            }
        }
        set("kprobe_events", "")?;
        set("trace", "")
    }
}

impl Drop for Tracefs {
    fn drop(&mut self) {
        let _ = self.reset();
    }
}

fn path(file: &str) -> PathBuf {
    Path::new(ROOT).join(file)
}

fn set(file: &str, value: &str) -> anyhow::Result<()> {
    fs::write(path(file), value).with_context(|| format!("write {value:?} to {file}"))
}

fn read(file: &str) -> anyhow::Result<String> {
    fs::read_to_string(path(file)).with_context(|| format!("read {file}"))
}

/// ` 0) # 1392.113 us |  function();`: microseconds, behind a mark for long ones.
fn graph_time_ns(line: &str) -> Option<u64> {
    let (before, _) = line.split_once(" us ")?;
    let (us, fraction) = before.rsplit(' ').next()?.split_once('.')?;
    let fraction = format!("{fraction:0<3}");
    Some(us.parse::<u64>().ok()? * 1_000 + fraction.get(..3)?.parse::<u64>().ok()?)
}

/// ` workload-174  [002] d..1.  12.345678: begin: (…)`: the time is in seconds, to the microsecond.
fn task_and_time(line: &str) -> Option<(u32, u64)> {
    let (task, rest) = line.split_once('[')?;
    let tid = task.trim().rsplit('-').next()?.parse().ok()?;
    let time = rest.split_whitespace().find_map(|word| {
        let (seconds, us) = word.strip_suffix(':')?.split_once('.')?;
        let seconds: u64 = seconds.parse().ok()?;
        Some(seconds * 1_000_000_000 + us.parse::<u64>().ok()? * 1_000)
    })?;
    Some((tid, time))
}
