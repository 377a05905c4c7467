//! Kernels of a run: each is fetched once, by the first guest that needs it, while other guests
//! already run.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    kernel::{self, KernelError},
    kernels::Kernels,
    packages::{Kernel, store::Store},
    plan::PlannedKernel,
};

type Fetched = Result<Kernel, Arc<KernelError>>;

/// A kernel that may not have been fetched yet.
pub struct KernelSlot<'a> {
    /// Which one, and its words for the command line.
    pub planned: PlannedKernel,
    /// Whether the run may go on without it.
    pub may_be_unavailable: bool,
    kernels: &'a Kernels,
    modules_dir: Option<PathBuf>,
    fetched: Mutex<Option<Fetched>>,
}

impl<'a> KernelSlot<'a> {
    /// A slot for this kernel.
    #[must_use]
    pub fn new(planned: PlannedKernel, kernels: &'a Kernels, modules_dir: Option<PathBuf>) -> Self {
        let may_be_unavailable = kernels
            .get(&planned.name)
            .is_ok_and(|entry| entry.may_be_unavailable);
        Self {
            planned,
            may_be_unavailable,
            kernels,
            modules_dir,
            fetched: Mutex::new(None),
        }
    }

    /// A name for directories and results.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.planned.label
    }

    /// Its name in the list; none for one that was given as a file.
    #[must_use]
    pub fn listed_name(&self) -> Option<&str> {
        let entry = self.kernels.get(&self.planned.name).ok()?;
        Some(&entry.name)
    }

    /// The kernel; a second caller waits for the first one's download.
    ///
    /// # Errors
    /// The same for every caller.
    pub fn get(&self) -> Fetched {
        let mut fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        fetched
            .get_or_insert_with(|| {
                kernel::resolve(
                    &self.planned.name,
                    self.modules_dir.as_deref(),
                    self.kernels,
                    &Store::default(),
                )
                .map_err(Arc::new)
            })
            .clone()
    }
}
