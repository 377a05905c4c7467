//! Which accelerator to use.
//!
//! That `/dev/kvm` is there proves nothing: on a host that is a guest itself QEMU may die on a
//! model-specific register, or the guest may hang in its boot loader. So a guest is run.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::argv::{Accelerator, Mode};
use crate::{
    image::Content,
    packages::{Kernel, cache},
    protocol::Job,
    vm::{self, End, GuestSpec},
};

/// What the user asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Choice {
    /// KVM where it works, else emulation.
    #[default]
    Auto,
    /// KVM; an error where it doesn't work.
    Kvm,
    /// Emulation.
    Tcg,
}

/// An accelerator, and why it was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The accelerator.
    pub accelerator: Accelerator,
    /// Why, for the user.
    pub reason: String,
}

impl Chosen {
    /// What a guest in instruction time runs on, whatever was asked for.
    #[must_use]
    pub fn for_instruction_time() -> Self {
        Self {
            accelerator: Accelerator::Tcg,
            reason: "instruction time is emulated".into(),
        }
    }
}

/// KVM was asked for and doesn't work.
#[derive(Debug, thiserror::Error)]
#[error("--accel kvm: {0} (use --accel tcg)")]
pub struct KvmError(String);

/// What earlier probes of this boot found.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Probed {
    boot_id: String,
    /// Kernels that ran.
    good: Vec<String>,
    /// Why no kernel does.
    bad: Option<String>,
}

/// A real guest needs about a second under KVM.
const PROBE_LIMIT: Duration = Duration::from_secs(20);

/// Chooses an accelerator for a kernel; may run a small guest to find out.
///
/// # Errors
/// When KVM was asked for and doesn't work.
pub fn choose(
    choice: Choice,
    kernel: &Kernel,
    is_interrupted: &AtomicBool,
) -> Result<Chosen, KvmError> {
    if choice == Choice::Tcg {
        return Ok(Chosen {
            accelerator: Accelerator::Tcg,
            reason: "as asked".into(),
        });
    }
    match (probe(kernel, is_interrupted), choice) {
        (Ok(()), _) => Ok(Chosen {
            accelerator: Accelerator::Kvm,
            reason: "a probe guest ran".into(),
        }),
        (Err(why), Choice::Kvm) => Err(KvmError(why)),
        (Err(why), _) => Ok(Chosen {
            accelerator: Accelerator::Tcg,
            reason: why,
        }),
    }
}

fn probe(kernel: &Kernel, is_interrupted: &AtomicBool) -> Result<(), String> {
    if let Err(error) = fs::File::options().read(true).write(true).open("/dev/kvm") {
        return Err(format!("/dev/kvm: {error}"));
    }
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap_or_default()
        .trim()
        .to_owned();
    let mut probed = read_probed()
        .filter(|probed| probed.boot_id == boot_id)
        .unwrap_or_default();
    if let Some(why) = probed.bad {
        return Err(why);
    }
    let release = kernel
        .release
        .clone()
        .unwrap_or_else(|| kernel.name.clone());
    if probed.good.contains(&release) {
        return Ok(());
    }
    let found = run_guest(kernel, is_interrupted);
    if is_interrupted.load(Ordering::Relaxed) {
        return found;
    }
    match &found {
        Ok(()) => probed.good.push(release),
        Err(why) => probed.bad = Some(why.clone()),
    }
    probed.boot_id = boot_id;
    write_probed(&probed);
    found
}

fn run_guest(kernel: &Kernel, is_interrupted: &AtomicBool) -> Result<(), String> {
    let console = tempfile::NamedTempFile::new()
        .map_err(|error| format!("/dev/kvm can't be probed: {error}"))?;
    let spec = GuestSpec {
        mode: Mode::Multi,
        cpus_count: 2,
        memory_mib: 512,
        disk: None,
        root: None,
        kernel_args: Vec::new(),
        modules: Vec::new(),
    };
    let request = vm::Request {
        kernel,
        spec: &spec,
        accelerator: Accelerator::Kvm,
        content: &Content::default(),
        job: Job::default(),
        console: console.path().to_owned(),
        boot_limit: Some(PROBE_LIMIT),
    };
    match vm::run(&request, is_interrupted, |_| {}) {
        Ok(End::Finished) => Ok(()),
        Ok(end) => Err(format!("/dev/kvm is there, but a probe guest was {end}")),
        Err(error) => Err(format!("/dev/kvm can't be probed: {error}")),
    }
}

fn file() -> PathBuf {
    cache::directory().join("kvm-probe.json")
}

fn read_probed() -> Option<Probed> {
    serde_json::from_slice(&fs::read(file()).ok()?).ok()
}

/// Losing it costs one more probe, so errors don't matter.
fn write_probed(probed: &Probed) {
    let _ = fs::create_dir_all(cache::directory());
    let _ = fs::write(file(), serde_json::to_vec(probed).unwrap_or_default());
}
