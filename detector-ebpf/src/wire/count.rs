//! Indices of the counters that every CPU keeps.

/// Walks that ended, whatever their length.
pub const WALKS: u32 = 0;
/// Walks that ended below the threshold: no record was made.
pub const WALKS_BELOW_THRESHOLD: u32 = 1;
/// Records lost because the ring buffer was full.
pub const RING_FULL: u32 = 2;
/// Walks lost because the map of running walks was full.
pub const WALKS_FULL: u32 = 3;
/// Exits without an entry: the walk began before the programs were attached.
pub const UNMATCHED_EXITS: u32 = 4;
/// Entries that found their task already inside a walk: the earlier exit was not seen.
pub const MISSED_EXITS: u32 = 5;
/// Waits over the threshold that left no record: their CPU was just writing one, or half of the ring buffer was full.
pub const WAITS_UNTOLD: u32 = 6;
/// Waits lost because the map of sleeping waiters was full.
pub const WAITERS_FULL: u32 = 7;
/// Tasks that came to run during or after a walk before the scheduler's clock was compared.
pub const STALLS_UNTIMED: u32 = 8;
/// System calls lost because the map of running ones was full.
pub const CALLS_FULL: u32 = 9;
/// Records about producers that were left out to keep half of the ring buffer for the others.
pub const PRODUCERS_UNTOLD: u32 = 10;
/// How many there are.
pub const LEN: u32 = 11;
