//! Whether it is worth looking at context switches now.
//!
//! They happen a million times a second on a busy host, and nearly always there is no walk. So the
//! program returns after a look at four words, and a walk must have lasted for a while before it
//! does more: hosts put thousands of watches on small directories.

use super::{thresholds, word::Word};

/// A walk shorter than this keeps no task from running for long.
const ARM_AFTER_NS: u64 = 1_000_000;
/// After a walk, as long as tasks that waited for it may still come to run.
const SETTLE_NS: u64 = 100_000_000;
/// An exit that was never seen must not keep the programs busy for ever.
const ARM_FOR_NS: u64 = 600_000_000_000;

/// Walks that run.
static RUNNING_COUNT: Word = Word::zero();
/// Start of the first of the walks that overlap or follow each other closely.
static ERA_NS: Word = Word::zero();
/// End of the latest long walk, and [`SETTLE_NS`]; 0 when that is over.
static SETTLED_NS: Word = Word::zero();

/// Comparisons of the two clocks that user space wants (`clock.rs`), now and then. A section of its
/// own, because user space writes a section as a whole.
#[unsafe(link_section = ".data.compare")]
#[unsafe(no_mangle)]
static COMPARE_CLOCKS: Word = Word::zero();

/// Of [`RUNNING_COUNT`], those that user space found to have ended unseen: only it writes this.
#[unsafe(link_section = ".data.reaped")]
#[unsafe(no_mangle)]
static REAPED_COUNT: Word = Word::zero();

/// A walk begins.
#[inline(always)]
pub fn begin(now_ns: u64) {
    if !is_running() && now_ns > SETTLED_NS.load() {
        ERA_NS.store(now_ns);
    }
    RUNNING_COUNT.add(1);
}

/// A walk ended.
#[inline(always)]
pub fn end(now_ns: u64, walk_ns: u64) {
    // Also where shorter waits are asked for: theirs end after the walk.
    if walk_ns >= ARM_AFTER_NS.min(thresholds::wait_ns()) {
        SETTLED_NS.store(now_ns + SETTLE_NS);
    }
    RUNNING_COUNT.add(u64::MAX);
}

/// A walk runs.
#[inline(always)]
pub fn is_running() -> bool {
    RUNNING_COUNT.load() != REAPED_COUNT.load()
}

/// No walk runs, and none has just ended: the way out for nearly every context switch and every contended lock.
#[inline(always)]
pub fn is_quiet() -> bool {
    !is_running() && SETTLED_NS.load() | COMPARE_CLOCKS.load() == 0
}

/// The clocks were compared; how many comparisons were wanted before, if any.
#[inline(always)]
pub fn clocks_compared() -> Option<u64> {
    let wanted = COMPARE_CLOCKS.load();
    if wanted == 0 {
        return None;
    }
    COMPARE_CLOCKS.store(wanted - 1);
    Some(wanted)
}

/// Whether tasks that come to run now may have been kept from it.
#[inline(always)]
pub fn is_armed(now_ns: u64) -> bool {
    if now_ns < SETTLED_NS.load() {
        return true;
    }
    if !is_running() {
        SETTLED_NS.store(0);
        return false;
    }
    let era_ns = now_ns.saturating_sub(ERA_NS.load());
    (ARM_AFTER_NS..ARM_FOR_NS).contains(&era_ns)
}
