//! How many children does a directory have in the cache?
//!
//! The program is attached to nothing: user space runs it with BPF_PROG_TEST_RUN, in its own context,
//! one small stretch of the list at a time (`detector/src/census/steps.rs` puts them together). It takes no
//! lock. Within a run nothing that it can reach is freed: the kernel calls it inside an RCU read
//! section (`__bpf_prog_test_run_raw_tp`), and dentries that have a parent are freed behind one.

mod children;

use aya_ebpf::{
    macros::{map, raw_tracepoint},
    maps::Array,
    programs::RawTracePointContext,
};
use fslockup_ebpf::{CensusState, census_do, census_end};

use crate::kernel::{
    Address, dentry,
    inode::{self, Identity},
    task,
};

#[map]
static CENSUS: Array<CensusState> = Array::with_max_entries(1, 0);

#[raw_tracepoint]
fn census(_ctx: RawTracePointContext) -> i32 {
    if let Some(state) = CENSUS.get_ptr_mut(0) {
        // SAFETY: user space has one of these, and runs the program once at a time.
        let state = unsafe { &mut *state };
        state.end = census_end::GONE;
        run(state);
    }
    0
}

#[inline(always)]
fn run(state: &mut CensusState) {
    let dentry = if state.what == census_do::FIND {
        let Some(dentry) = task::open_dentry(state.fd) else {
            return;
        };
        state.dentry_addr = dentry.0;
        dentry
    } else {
        Address(state.dentry_addr)
    };
    let Some(Identity { ino, dev, sb }) = dentry::inode(dentry).and_then(inode::identity) else {
        return;
    };
    if state.what == census_do::FIND {
        state.ino = ino;
        state.dev = dev;
        inode::copy_fstype(sb, &mut state.fstype);
    } else if state.ino != ino || state.dev != dev {
        return;
    }
    let (Some(count), Some(first)) = (dentry::references(dentry), first(dentry)) else {
        return;
    };
    state.references_count = count.cast_unsigned();
    state.first_addr = first;
    state.end = census_end::MORE;
    if state.what == census_do::STEP {
        state.end = children::step(dentry, state);
    }
}

/// The first link in a directory's list; its head or 0 in an empty one.
#[inline(always)]
fn first(dentry: Address) -> Option<u64> {
    dentry::children(dentry)?.read()
}
