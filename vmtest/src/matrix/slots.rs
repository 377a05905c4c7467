//! Kernels of a run: each is fetched once, by the first guest that needs it, while other guests
//! already run.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    kernel::{self, KernelError},
    manifest::kernels::Kernels,
    matrix::plan::PlannedKernel,
    packages::{Kernel, store::Store},
    report::KernelVersion,
};

type Fetched = Result<Kernel, Arc<KernelError>>;

/// A kernel that may not have been fetched yet.
pub struct KernelSlot<'a> {
    /// Which one, and its words for the command line.
    pub planned: PlannedKernel,
    /// Whether the run may go on without it.
    pub may_be_unavailable: bool,
    /// Whether a scenario may find that it doesn't apply. A kernel of the manifest can run what the manifest
    /// says that it runs.
    pub may_not_apply: bool,
    kernels: &'a Kernels,
    modules_dir: Option<PathBuf>,
    fetched: Mutex<Option<Fetched>>,
}

impl<'a> KernelSlot<'a> {
    /// A slot for this kernel; `is_comparison`: it runs what any kernel may be compared by.
    #[must_use]
    pub fn new(
        planned: PlannedKernel,
        is_comparison: bool,
        kernels: &'a Kernels,
        modules_dir: Option<PathBuf>,
    ) -> Self {
        let may_be_unavailable = !kernels.is_locked;
        let is_listed = planned.word.listed().is_some();
        Self {
            planned,
            may_be_unavailable,
            may_not_apply: is_comparison || !is_listed,
            kernels,
            modules_dir,
            fetched: Mutex::new(None),
        }
    }

    /// A slot for each of these.
    #[must_use]
    pub fn all(
        planned: Vec<PlannedKernel>,
        is_comparison: bool,
        kernels: &'a Kernels,
        modules_dir: Option<&Path>,
    ) -> Vec<Self> {
        let slot = |one| Self::new(one, is_comparison, kernels, modules_dir.map(Path::to_owned));
        planned.into_iter().map(slot).collect()
    }

    /// A name for directories and results.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.planned.label
    }

    /// Its name in the list; none for one that was given as a file.
    #[must_use]
    pub fn listed_name(&self) -> Option<&str> {
        self.planned.word.listed()
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
                    &self.planned.word,
                    self.modules_dir.as_deref(),
                    self.kernels,
                    &Store::default(),
                )
                .map_err(Arc::new)
            })
            .clone()
    }

    /// What its name meant, if it was fetched.
    #[must_use]
    pub fn version(&self) -> Option<KernelVersion> {
        let fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        let kernel = fetched.as_ref()?.as_ref().ok()?;
        Some(KernelVersion {
            kernel: self.label().to_owned(),
            release: kernel.release.clone(),
            meaning: kernel.meaning.clone(),
        })
    }
}
