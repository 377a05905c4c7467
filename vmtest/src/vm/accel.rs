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

use super::{End, GuestSpec, Request, run};
use crate::{
    arch::GUEST,
    image::Content,
    leftovers::Private,
    packages::{Kernel, cache},
    protocol::Job,
    qemu::{
        argv::{Accelerator, Mode},
        version,
    },
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
    answers: Vec<Answer>,
}

/// One answer, of one kernel under one QEMU: another may do better.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Answer {
    qemu_version: String,
    release: String,
    /// When it was asked, in seconds since 1970.
    at_s: i64,
    /// Why it does not run; null where it does.
    why_not: Option<String>,
}

/// How long a failure is believed: a busy host can make one.
const FAILURE_S: i64 = 60 * 60;

impl Probed {
    /// The answer for this kernel that is believed now, if there is one.
    fn answer(&self, qemu_version: &str, release: &str, now_s: i64) -> Option<&Answer> {
        self.answers.iter().find(|answer| {
            (answer.qemu_version.as_str(), answer.release.as_str()) == (qemu_version, release)
                && (answer.why_not.is_none() || (0..FAILURE_S).contains(&(now_s - answer.at_s)))
        })
    }

    fn set(&mut self, answer: Answer) {
        self.answers.retain(|old| {
            (&old.qemu_version, &old.release) != (&answer.qemu_version, &answer.release)
        });
        self.answers.push(answer);
    }
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
    if !GUEST.is_hosts() {
        return Err(format!(
            "guests are {}, and this host is not",
            GUEST.machine
        ));
    }
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
    let qemu_version = version::probe().map_err(|error| error.to_string())?;
    let release = kernel
        .release
        .clone()
        .unwrap_or_else(|| kernel.name.clone());
    let now_s = jiff::Timestamp::now().as_second();
    if let Some(known) = probed.answer(&qemu_version, &release, now_s) {
        return match &known.why_not {
            None => Ok(()),
            Some(why) => Err(format!(
                "{why} (seen within the last hour; to try now, remove {})",
                file().display()
            )),
        };
    }
    let found = run_guest(kernel, is_interrupted);
    if is_interrupted.load(Ordering::Relaxed) {
        return found;
    }
    probed.set(Answer {
        qemu_version,
        release,
        at_s: now_s,
        why_not: found.clone().err(),
    });
    probed.boot_id = boot_id;
    write_probed(&probed);
    found
}

fn run_guest(kernel: &Kernel, is_interrupted: &AtomicBool) -> Result<(), String> {
    let logs =
        Private::temporary().map_err(|error| format!("/dev/kvm can't be probed: {error}"))?;
    let spec = GuestSpec {
        mode: Mode::Multi,
        cpus_count: 2,
        memory_mib: 512,
        disk: None,
        root: None,
        kernel_args: Vec::new(),
        modules: Vec::new(),
    };
    let request = Request {
        kernel,
        spec: &spec,
        accelerator: Accelerator::Kvm,
        content: &Content::default(),
        job: Job::default(),
        console: logs.path().join("console.log"),
        boot_limit: Some(PROBE_LIMIT),
    };
    match run(&request, is_interrupted, |_| {}) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(release: &str, at_s: i64, why_not: Option<&str>) -> Answer {
        Answer {
            qemu_version: "10.0.2".into(),
            release: release.into(),
            at_s,
            why_not: why_not.map(str::to_owned),
        }
    }

    #[test]
    fn a_failure_is_of_one_kernel_and_one_qemu_and_does_not_last() {
        let mut probed = Probed::default();
        probed.set(answer("6.1", 1_000, Some("an MSR")));
        probed.set(answer("7.3", 1_000, None));
        let is_known =
            |qemu: &str, release: &str, now_s: i64| probed.answer(qemu, release, now_s).is_some();
        assert!(is_known("10.0.2", "6.1", 1_000 + FAILURE_S - 1));
        assert!(!is_known("10.0.2", "6.1", 1_000 + FAILURE_S));
        assert!(!is_known("10.0.2", "6.1", 10), "the clock was set back");
        assert!(!is_known("10.0.2", "6.12", 1_000) && !is_known("11.0.0", "6.1", 1_000));
        assert!(is_known("10.0.2", "7.3", 1_000 + 100 * FAILURE_S));
        probed.set(answer("6.1", 9_000, None));
        assert_eq!(probed.answers.len(), 2);
        assert_eq!(
            probed.answer("10.0.2", "6.1", 9_000),
            Some(&answer("6.1", 9_000, None))
        );
    }
}
