//! A kernel, ready to boot, and what its name means.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::manifest::lock::PinnedKernel;

/// A kernel that can be booted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// The manifest's name for it, or the file's.
    pub name: String,
    /// `uname -r`, where it is known before the boot.
    pub release: Option<String>,
    /// The bootable file.
    pub vmlinuz: PathBuf,
    /// Its modules (`kernel/…`, `modules.builtin`), or the build tree that they are in.
    pub modules_dir: Option<PathBuf>,
    /// What the manifest's name means now; none for a kernel given as a file.
    pub meaning: Option<Meaning>,
}

/// The package that a name of the manifest stands for; of a kernel in several, the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meaning {
    /// Its name.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Whether it is the pinned one.
    pub is_pinned: bool,
    /// The pinned one, name and version, where that has left the archive.
    pub pin_gone: Option<String>,
}

impl Meaning {
    pub(super) fn of(chosen: &PinnedKernel, pin: Pin) -> Self {
        let package = &chosen.package[0];
        Self {
            package: package.name.clone(),
            version: package.version.clone(),
            is_pinned: matches!(pin, Pin::Used),
            pin_gone: match pin {
                Pin::Gone(gone) => Some(gone),
                Pin::Used | Pin::None => None,
            },
        }
    }
}

impl Kernel {
    /// What should be said when the kernel isn't the pinned one, a line.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        let meaning = self.meaning.as_ref().filter(|one| !one.is_pinned)?;
        let (name, package, version) = (&self.name, &meaning.package, &meaning.version);
        Some(match &meaning.pin_gone {
            Some(gone) => {
                format!("kernel {name}: {gone} has left the archive, {package} {version} is used")
            }
            None => format!("kernel {name}: not pinned, {package} {version} is used"),
        })
    }
}

/// What became of a kernel's pin.
#[derive(Clone)]
pub(super) enum Pin {
    /// It is what was used.
    Used,
    /// It has left the archive: name and version.
    Gone(String),
    /// There is none.
    None,
}
