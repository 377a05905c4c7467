//! Producers where the host sees something else than they do, one case after another with one detector: each has a
//! directory of its own. That a detector which starts anew for a directory sees the same is in `several.rs`.

mod container;
mod deep;
mod dropped;

use nix::sys::signal::Signal;

use crate::stage::{
    checks::Checks,
    detector::{Detector, nothing_lost},
    producers::OPTIONS,
};

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let mut detector = Detector::start(&OPTIONS)?;
    container::step(checks, &mut detector)?;
    deep::step(checks, &mut detector)?;
    dropped::step(checks, &mut detector)?;
    nothing_lost(checks, &detector.end(Signal::SIGTERM)?);
    Ok(())
}
