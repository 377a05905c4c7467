//! Exact probes on the spinlock functions, for what `fslockup` derives without them. One vCPU only.

use anyhow::Context as _;
use aya::{Btf, Ebpf, EbpfLoader, Pod, maps::Array, programs::Program};
use fslockup_tests_ebpf::{HOLDS_KEPT, Hold};
use serde_json::Value;

use super::detector::function_of;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/truth"));

#[derive(Clone, Copy)]
#[repr(transparent)]
struct PodHold(Hold);

// SAFETY: four integers, without padding.
unsafe impl Pod for PodHold {}

/// The attached programs; detached when dropped.
pub struct Truth {
    programs: Ebpf,
    kernel_btf: Btf,
}

impl Truth {
    /// Notes every hold, by a task inside a walk, of at least this length.
    pub fn of_holds(facts: &Value, threshold_ns: u64) -> anyhow::Result<Self> {
        let (lock, unlock) = if is_rt()? {
            ("rt_spin_lock", "rt_spin_unlock")
        } else {
            ("_raw_spin_lock", "_raw_spin_unlock")
        };
        let mut truth = Self::load(threshold_ns, 0)?;
        truth.attach_walk(facts)?;
        truth.attach("locked", lock)?;
        truth.attach("unlocking", unlock)?;
        Ok(truth)
    }

    /// Makes the walk stop at each child that exists, for this long.
    pub fn of_slow_walk(facts: &Value, burn_ns: u64) -> anyhow::Result<Self> {
        let mut truth = Self::load(0, burn_ns)?;
        truth.attach_walk(facts)?;
        truth.attach("burn", "_raw_spin_lock")?;
        Ok(truth)
    }

    /// An empty program on context switches.
    pub fn of_nothing() -> anyhow::Result<Self> {
        let mut truth = Self::load(0, 0)?;
        truth.attach("empty", "sched_switch")?;
        Ok(truth)
    }

    /// The holds so far, and how many there were.
    pub fn holds(&mut self) -> anyhow::Result<(Vec<Hold>, u64)> {
        let count: Array<_, u64> =
            Array::try_from(self.programs.map("HOLDS_COUNT").context("map")?)?;
        let count = count.get(&0, 0)?;
        let holds: Array<_, PodHold> = Array::try_from(self.programs.map("HOLDS").context("map")?)?;
        let kept = u32::try_from(count)?.min(HOLDS_KEPT);
        let holds = (0..kept)
            .map(|index| holds.get(&index, 0).map(|hold| hold.0))
            .collect::<Result<_, _>>()?;
        Ok((holds, count))
    }

    fn load(hold_threshold_ns: u64, burn_ns: u64) -> anyhow::Result<Self> {
        let programs = EbpfLoader::new()
            .override_global("HOLD_THRESHOLD_NS", &hold_threshold_ns, true)
            .override_global("BURN_NS", &burn_ns, true)
            .load(OBJECT)
            .context("load the truth object")?;
        Ok(Self {
            programs,
            kernel_btf: Btf::from_sys_fs()?,
        })
    }

    /// On the function that the detector sees walks through.
    fn attach_walk(&mut self, facts: &Value) -> anyhow::Result<()> {
        let walker = function_of(facts, "walk")?;
        self.attach("walk_begins", &walker)?;
        self.attach("walk_ends", &walker)
    }

    /// Attaches a program to a function or tracepoint, as its kind says.
    fn attach(&mut self, name: &str, to: &str) -> anyhow::Result<()> {
        let btf = &self.kernel_btf;
        let outcome = match self.programs.program_mut(name).context("program")? {
            Program::FEntry(program) => program
                .load(to, btf)
                .and_then(|()| program.attach().map(drop)),
            Program::FExit(program) => program
                .load(to, btf)
                .and_then(|()| program.attach().map(drop)),
            Program::BtfTracePoint(program) => program
                .load(to, btf)
                .and_then(|()| program.attach().map(drop)),
            other => anyhow::bail!("{name}: a program of kind {:?}", other.prog_type()),
        };
        outcome.with_context(|| format!("{name} at {to}"))
    }
}

/// Whether spinlocks sleep here, by a function that only such kernels have.
pub fn is_rt() -> anyhow::Result<bool> {
    let symbols = std::fs::read_to_string("/proc/kallsyms").context("/proc/kallsyms")?;
    Ok(symbols
        .lines()
        .any(|line| line.split(' ').nth(2) == Some("rt_spin_lock")))
}
