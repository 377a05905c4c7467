//! Loads objects with what their programs are told when they are loaded.

use aya::{Ebpf, EbpfLoader};
use fslockup_ebpf::{Offsets, THRESHOLDS_COUNT, TraceFilter};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

use super::{AttachError, Thresholds, load_error, may_load, reasons::chain, version};
use crate::facts::{self, Answer, Facts};

/// The compiled programs, but for the census.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/fslockup"));

/// What the programs find in their frozen maps.
pub(super) struct Settings {
    offsets: Offsets,
    filter: TraceFilter,
    thresholds_ns: [u64; THRESHOLDS_COUNT],
    producer_children_min: u64,
    spinlocks_sleep: u64,
    cpus_count: u32,
}

impl Settings {
    /// # Errors
    /// When the process may not load programs.
    pub(super) fn new(
        facts: &Facts,
        thresholds: &Thresholds,
        filter: TraceFilter,
    ) -> Result<Self, AttachError> {
        may_load(facts)?;
        version::settle();
        // Maps count against this limit before 5.11; where it can't be raised the load fails and says so.
        let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
        Ok(Self {
            offsets: facts::to_offsets(facts),
            filter,
            thresholds_ns: thresholds.words(),
            producer_children_min: u64::from(thresholds.producer_children_min),
            spinlocks_sleep: u64::from(facts.spinlocks_sleep == Answer::Yes),
            cpus_count: possible_cpus().map_err(|reason| load_error(facts, reason))?,
        })
    }

    /// A loader with what every object has.
    pub(super) fn loader(&self) -> EbpfLoader<'_> {
        let mut loader = without_types();
        loader.override_global("OFFSETS", words(&self.offsets), true);
        loader
    }

    /// Loads the object of the probes. Programs are loaded when they are attached.
    pub(super) fn load<'a>(
        &'a self,
        facts: &Facts,
        loader: &mut EbpfLoader<'a>,
        ring_bytes: Option<u32>,
    ) -> Result<Ebpf, AttachError> {
        loader
            .map_max_entries("CPUS", self.cpus_count)
            .override_global("THRESHOLDS_NS", &self.thresholds_ns, true)
            .override_global("PRODUCER_CHILDREN_MIN", &self.producer_children_min, true)
            .override_global("TRACE_FILTER", words(&self.filter), true)
            .override_global("SPINLOCKS_SLEEP", &self.spinlocks_sleep, true);
        if let Some(bytes) = ring_bytes {
            loader.map_max_entries("RECORDS", bytes);
        }
        loader
            .load(OBJECT)
            .map_err(|error| load_error(facts, chain(&error)))
    }
}

/// A loader that has not parsed the kernel's types: nothing is relocated by them, and they take 15 MiB and a tenth
/// of the time from start to attached. aya 0.14 reads them in `EbpfLoader::new` whatever is set later (its issue 1172,
/// mended by its pull requests 1639 and 1644), and goes on without where they can't be opened. So for that moment
/// nothing can be opened.
///
/// Call it while this process has one thread.
fn without_types() -> EbpfLoader<'static> {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return EbpfLoader::new();
    };
    let is_closed = setrlimit(Resource::RLIMIT_NOFILE, 0, hard).is_ok();
    let mut loader = EbpfLoader::new();
    if is_closed {
        // Back to what it was, which every process may (setrlimit(2)).
        let _ = setrlimit(Resource::RLIMIT_NOFILE, soft, hard);
    }
    loader.btf(None);
    loader
}

/// What a setting can be that is made of several numbers.
///
/// # Safety
/// The type is `repr(C)` and made of integers of one size only, so it has no padding.
unsafe trait Words {}
// SAFETY: `u32` only.
unsafe impl Words for Offsets {}
// SAFETY: `u64` only.
unsafe impl Words for TraceFilter {}

fn words<T: Words>(setting: &T) -> &[u8] {
    // SAFETY: no padding.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(setting).cast(), size_of::<T>()) }
}

/// CPU numbers that this machine can ever have, online or not.
fn possible_cpus() -> Result<u32, String> {
    let count = aya::util::nr_cpus().map_err(|(file, error)| format!("{file}: {error}"))?;
    u32::try_from(count).map_err(|error| error.to_string())
}
