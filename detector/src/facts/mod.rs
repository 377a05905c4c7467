//! What is true of this kernel. No opinions: `plan` decides, `attach` acts.

mod btf;
mod cgroup;
mod kallsyms;
mod offsets;
pub mod sysctls;
mod system;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::probes;

pub use btf::{BtfFacts, TypeIds, tracepoint_type};
pub use kallsyms::Symbols;
pub use offsets::{missing as missing_offsets, to_offsets};
pub use sysctls::Sysctl;
pub use system::{Capability, DentryState, KERNEL_LOG};

/// Where the kernel's own type information is.
pub const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// A question's three answers. The third is never taken for the second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is so.
    Yes,
    /// It is not so.
    No,
    /// It could not be told, for this reason.
    Unknown(String),
}

impl Answer {
    /// From something that was really looked at.
    #[must_use]
    pub fn of(is: bool) -> Self {
        if is { Self::Yes } else { Self::No }
    }

    /// Yes, or not known to be no: worth a try.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        *self != Self::No
    }
}

/// One kernel function that a probe may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionFacts {
    /// The kernel's BTF has it. fentry needs this; it is not enough for it.
    pub in_btf: Answer,
    /// The symbol table has it.
    pub in_symbols: Answer,
    /// Symbols that the compiler split off it: `NAME.part.0` and the like.
    pub split_symbols: Vec<String>,
}

/// All facts about one running kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Host name.
    pub host: String,
    /// `uname -r`.
    pub kernel_release: String,
    /// `uname -v`.
    pub kernel_version: String,
    /// `uname -m`.
    pub machine: String,
    /// CPUs online.
    pub cpus_count: usize,
    /// Effective capabilities of this process that matter here.
    pub capabilities: Vec<Capability>,
    /// Mode of kernel lockdown (kernel_lockdown(7)): `none`, `integrity`, `confidentiality`;
    /// null where it can't be read.
    pub lockdown: Option<String>,
    /// `kernel.perf_event_paranoid`; null where it can't be read.
    pub perf_event_paranoid: Option<i32>,
    /// The type information used, and what was found in it.
    pub btf: BtfFacts,
    /// The functions of the probe table.
    pub functions: BTreeMap<String, FunctionFacts>,
    /// Byte offsets of struct fields, by `struct.field`; one that is missing was not found.
    pub offsets: BTreeMap<String, u32>,
    /// The kernel has the helper `bpf_task_pt_regs`.
    pub has_task_pt_regs: Answer,
    /// Tracepoints of the probe table that the kernel's BTF has.
    #[serde(default)]
    pub tracepoints: BTreeMap<String, Answer>,
    /// Spinlocks sleep: PREEMPT_RT.
    #[serde(default = "unknown")]
    pub spinlocks_sleep: Answer,
    /// The lock of the kernel's ring buffers for programs sleeps.
    #[serde(default = "unknown")]
    pub ring_lock_sleeps: Answer,
    /// `kernel.dmesg_restrict` and the like let this process read `/dev/kmsg`.
    #[serde(default = "unknown")]
    pub may_read_kernel_log: Answer,
    /// Processes have the ids here that the programs see: this process is in the initial namespace of ids.
    #[serde(default = "unknown")]
    pub sees_host_pids: Answer,
    /// The symbol table shows addresses to this process (`kernel.kptr_restrict`).
    #[serde(default = "unknown")]
    pub has_symbol_addresses: Answer,
    /// Settings that bear on the dentry cache or on watches, by their sysctl(8) name.
    #[serde(default)]
    pub sysctls: BTreeMap<String, Sysctl>,
    /// Where the root of the version 2 cgroup hierarchy is mounted; null where it isn't.
    #[serde(default)]
    pub cgroup_root: Option<String>,
    /// The memory of one cgroup can be reclaimed alone (`memory.reclaim`).
    #[serde(default = "unknown")]
    pub has_memory_reclaim: Answer,
}

/// For recordings made before a fact was looked for.
fn unknown() -> Answer {
    Answer::Unknown("not looked for".to_owned())
}

/// Why the facts could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// No type information.
    #[error("{}: {source}{}", path.display(), btf_hint(path))]
    Btf {
        /// The file that was tried.
        path: PathBuf,
        /// What went wrong.
        source: btf::BtfError,
    },
    /// uname(2) or the like failed.
    #[error("{what}: {source}")]
    System {
        /// What was asked.
        what: &'static str,
        /// The error.
        source: io::Error,
    },
}

fn btf_hint(path: &Path) -> &'static str {
    if path == Path::new(KERNEL_BTF) {
        " (this kernel shows no type information; give that of the very same build with --btf FILE)"
    } else {
        ""
    }
}

/// What is read of a kernel at once.
pub struct Kernel {
    /// All facts.
    pub facts: Facts,
    /// The numbers to attach programs by.
    pub type_ids: TypeIds,
    /// The symbol table, perhaps still to be read.
    pub symbols: Symbols,
}

impl Kernel {
    /// Reads all facts about what the probe table speaks of, and the symbol table with them.
    ///
    /// # Errors
    /// When there is no type information, which everything else rests on.
    pub fn read(btf_file: Option<PathBuf>) -> Result<Self, FactsError> {
        let mut kernel = Self::begin(btf_file)?;
        kernel.read_symbols();
        Ok(kernel)
    }

    /// Reads all facts but the names in the symbol table, which is opened.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn begin(btf_file: Option<PathBuf>) -> Result<Self, FactsError> {
        let symbols = Symbols::open();
        let (facts, type_ids) = read_with(btf_file, &symbols)?;
        Ok(Self {
            facts,
            type_ids,
            symbols,
        })
    }

    /// Adds what the symbol table has of the functions.
    pub fn read_symbols(&mut self) {
        self.symbols.finish();
        for (name, found) in self.symbols.find(probes::function_names()) {
            if let Some(function) = self.facts.functions.get_mut(name) {
                function.in_symbols = found.is_there;
                function.split_symbols = found.split_off;
            }
        }
    }
}

/// Reads all facts but those of the symbol table, for what only looks at data.
///
/// # Errors
/// As [`Kernel::read`].
pub fn read_types(btf_file: Option<PathBuf>) -> Result<Facts, FactsError> {
    Ok(read_with(btf_file, &Symbols::unread())?.0)
}

/// The enum of the helpers that a kernel has (include/uapi/linux/bpf.h).
const HELPERS: &str = "bpf_func_id";

/// All that is asked of the type information, by name.
fn type_names() -> impl Iterator<Item = String> {
    probes::function_names()
        .chain(offsets::type_names())
        .chain([btf::SPINLOCK, btf::RING_BUFFER, HELPERS])
        .map(str::to_owned)
        .chain(probes::tracepoint_names().map(tracepoint_type))
}

fn read_with(btf_file: Option<PathBuf>, symbols: &Symbols) -> Result<(Facts, TypeIds), FactsError> {
    let path = btf_file.unwrap_or_else(|| PathBuf::from(KERNEL_BTF));
    let btf = btf::Types::read(&path, type_names()).map_err(|source| FactsError::Btf {
        path: path.clone(),
        source,
    })?;
    facts_of(btf, &path, symbols)
}

fn facts_of(
    btf: btf::Types,
    path: &Path,
    symbols: &Symbols,
) -> Result<(Facts, TypeIds), FactsError> {
    let ids = |name: &str, id: Option<u32>| Some((name.to_owned(), id?));
    let type_ids = TypeIds {
        functions: probes::function_names()
            .filter_map(|name| ids(name, btf.function_id(name)))
            .collect(),
        tracepoints: probes::tracepoint_names()
            .filter_map(|name| ids(name, btf.tracepoint_id(name)))
            .collect(),
    };
    let functions = symbols
        .find(probes::function_names())
        .into_iter()
        .map(|(name, found)| {
            let facts = FunctionFacts {
                in_btf: Answer::of(type_ids.functions.contains_key(name)),
                in_symbols: found.is_there,
                split_symbols: found.split_off,
            };
            (name.to_owned(), facts)
        })
        .collect();
    let tracepoints = probes::tracepoint_names()
        .map(|name| {
            let is_there = type_ids.tracepoints.contains_key(name);
            (name.to_owned(), Answer::of(is_there))
        })
        .collect();
    let uname = system::uname()?;
    let cgroup_root = cgroup::root();
    let facts = Facts {
        host: uname.host,
        kernel_release: uname.release,
        kernel_version: uname.version,
        machine: uname.machine,
        cpus_count: std::thread::available_parallelism().map_or(1, Into::into),
        capabilities: system::effective_capabilities(),
        lockdown: system::lockdown(),
        perf_event_paranoid: system::perf_event_paranoid(),
        functions,
        tracepoints,
        spinlocks_sleep: btf.spinlocks_sleep(),
        ring_lock_sleeps: btf.ring_lock_sleeps(),
        may_read_kernel_log: system::may_read_kernel_log(),
        sees_host_pids: system::sees_host_pids(),
        has_symbol_addresses: symbols.has_addresses(),
        offsets: offsets::find(&btf),
        has_task_pt_regs: btf.has_enumerator(HELPERS, "BPF_FUNC_task_pt_regs"),
        btf: btf.into_facts(path),
        sysctls: sysctls::read(Path::new("/proc/sys")),
        has_memory_reclaim: cgroup::has_memory_reclaim(cgroup_root.as_deref()),
        cgroup_root,
    };
    Ok((facts, type_ids))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Facts of a kernel with these functions: name, in BTF, in symbols, split symbols.
    pub fn facts_with(functions: &[(&str, Answer, Answer, &[&str])]) -> Facts {
        let functions = functions.iter().map(|(name, in_btf, in_symbols, split)| {
            let facts = FunctionFacts {
                in_btf: in_btf.clone(),
                in_symbols: in_symbols.clone(),
                split_symbols: split.iter().map(ToString::to_string).collect(),
            };
            ((*name).to_owned(), facts)
        });
        Facts {
            host: "host".to_owned(),
            kernel_release: "6.1.0".to_owned(),
            kernel_version: "#1 SMP".to_owned(),
            machine: "x86_64".to_owned(),
            cpus_count: 4,
            capabilities: vec![Capability::CapSysAdmin],
            lockdown: Some("none".to_owned()),
            perf_event_paranoid: Some(2),
            btf: BtfFacts {
                source: KERNEL_BTF.to_owned(),
            },
            functions: functions.collect(),
            offsets: BTreeMap::new(),
            has_task_pt_regs: Answer::Yes,
            tracepoints: BTreeMap::new(),
            spinlocks_sleep: Answer::No,
            ring_lock_sleeps: Answer::No,
            may_read_kernel_log: Answer::Yes,
            sees_host_pids: Answer::Yes,
            has_symbol_addresses: Answer::Yes,
            sysctls: BTreeMap::new(),
            cgroup_root: Some("/sys/fs/cgroup".to_owned()),
            has_memory_reclaim: Answer::Yes,
        }
    }

    #[test]
    fn a_file_that_is_not_btf_is_an_error_that_names_it() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), b"\x9f\xeb\x01\x00 cut").expect("written");
        let error = Kernel::begin(Some(file.path().to_owned()))
            .err()
            .expect("no BTF")
            .to_string();
        assert!(
            error.contains(&file.path().display().to_string()),
            "{error}"
        );
        assert!(error.contains("not usable as BTF"), "{error}");
    }
}
