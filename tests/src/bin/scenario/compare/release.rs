//! The kernel's own word on when a contended hold ends, where it has one.

use anyhow::Context as _;

use crate::stage::{
    checks::Checks,
    contended::{self, FILES_COUNT},
    incident, kernel,
};

/// The derived end is the walker's exit, a few instructions and a probe behind its last unlock.
const TOLERANCE_NS: u64 = 50_000;

/// The derived hold of `d_lock` against the one that ends at `contended_release`.
pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::ramfs_dir(FILES_COUNT)?;
    let seen = contended::observe(checks, &dir, &["--exact-release"])?;
    for call in &seen.calls {
        let incident = incident::of_call(checks, &seen.incidents, call)?;
        let hold = incident.hold_of_walker("d_lock").context("no d_lock")?;
        checks.equal("how its end is known", hold.end.as_str(), "released");
        let derived_ns = incident.walk.walk_ns - incident.walk.wait_ns;
        checks.that(
            "the derived hold is as long as the exact one",
            derived_ns.abs_diff(hold.hold_ns) <= TOLERANCE_NS.max(hold.hold_ns / 50),
            format!("derived {derived_ns} ns, exact {} ns", hold.hold_ns),
        );
    }
    Ok(())
}
