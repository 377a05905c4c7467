//! Makes a walk slow: a guest has no memory for the hundreds of millions of children that it takes.

use aya_ebpf::{macros::fentry, programs::FEntryContext};

use crate::walker::{is_walker, now_ns};

/// Clock readings of one burn at most: the verifier follows each of them.
const READINGS_MAX: u32 = 6_000;

/// How long `burn` burns.
#[unsafe(no_mangle)]
static BURN_NS: u64 = 0;

/// At the function that takes the lock of each child that exists.
#[fentry]
pub fn burn(_ctx: FEntryContext) -> i32 {
    if is_walker() {
        // SAFETY: a plain load; volatile, or the compiler would use the value it sees here.
        let burn_ns = unsafe { core::ptr::read_volatile(&raw const BURN_NS) };
        let start_ns = now_ns();
        for _ in 0..READINGS_MAX {
            if now_ns() - start_ns >= burn_ns {
                break;
            }
        }
    }
    0
}
