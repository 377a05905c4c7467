//! Producers where the host sees something else than they do, one case after another with one detector: each has a
//! directory of its own. That a detector which starts anew for a directory sees the same is in `origin`.

use nix::sys::signal::Signal;

use crate::{
    checks::Checks,
    detector::{Detector, nothing_lost},
    origin_container, origin_deep, origin_drop,
    producers::OPTIONS,
};

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let mut detector = Detector::start(&OPTIONS)?;
    origin_container::step(checks, &mut detector)?;
    origin_deep::step(checks, &mut detector)?;
    origin_drop::step(checks, &mut detector)?;
    nothing_lost(checks, &detector.end(Signal::SIGTERM)?);
    Ok(())
}
