//! An overlay of two directories on the guest's disk.

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::kernel;

/// Its layers, and where both are seen as one; not mounted any more when dropped.
pub struct Overlay {
    pub lower: PathBuf,
    pub upper: PathBuf,
    pub merged: PathBuf,
}

impl Overlay {
    /// Makes the directories; `fill` may put something into the layers before they are mounted.
    pub fn mount(
        name: &str,
        fill: impl FnOnce(&Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let base = kernel::new_dir(name)?;
        let [lower, upper, work, merged] =
            ["lower", "upper", "work", "merged"].map(|name| base.join(name));
        for dir in [&lower, &upper, &work, &merged] {
            fs::create_dir(dir)?;
        }
        let layers = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.display(),
            upper.display(),
            work.display()
        );
        let overlay = Self {
            lower,
            upper,
            merged,
        };
        fill(&overlay)?;
        mount(
            Some("overlay"),
            &overlay.merged,
            Some("overlay"),
            MsFlags::empty(),
            Some(layers.as_str()),
        )
        .context("mount an overlay")?;
        Ok(overlay)
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        let _ = umount2(&self.merged, MntFlags::MNT_DETACH);
    }
}
