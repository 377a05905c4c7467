//! Who changes the cached children of which directory, and how often?
//!
//! Each change is summed in the kernel under its process and directory; only the first one of a pair
//! leaves a record, and a name now and then. So the guard comes first and all loads are plain ones:
//! these functions run at every miss of a lookup on the host.

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_NOEXIST},
    helpers::{
        bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_ktime_get_ns,
        generated::bpf_get_current_comm,
    },
    macros::{fentry, map},
    maps::{Array, HashMap, PerCpuArray},
    programs::FEntryContext,
};
use fslockup_ebpf::{
    COMM_BYTES, NameRecord, PRODUCER_SLOTS, ProducerCounts, ProducerKey, ProducerRecord,
    ProducerSlot, change, count, kind, producer_slot,
};

use crate::{
    kernel::{Typed, dentry, fill, inode},
    state::{
        emit::{emit_from, has_room},
        settings, word,
    },
};

/// What each process did in each directory. 16,384 elements of 64 bytes take 2 MiB in the kernel, all of
/// it from the start: memory can't be asked for where these programs run.
#[map]
static PRODUCERS: HashMap<ProducerKey, ProducerCounts> = HashMap::with_max_entries(16_384, 0);

/// Changes that found that map full, by [`change`].
#[map]
static UNCOUNTED: PerCpuArray<u64> = PerCpuArray::with_max_entries(change::LEN as u32, 0);

/// The way around that map for nearly all: a hash of 16 bytes and the way to the element take half of what
/// a program may cost here. 640 KiB.
#[map]
static SLOTS: Array<ProducerSlot> = Array::with_max_entries(PRODUCER_SLOTS as u32, BPF_F_MMAPABLE);

/// Never written: what the records start as.
#[map]
static EMPTY_PRODUCER: Array<ProducerRecord> = Array::with_max_entries(1, 0);

/// As above.
#[map]
static EMPTY_NAME: Array<NameRecord> = Array::with_max_entries(1, 0);

/// `d_splice_alias(inode, dentry)`, 7.x `d_splice_alias_ops(inode, dentry, ops)`: the end of a lookup on
/// most file systems.
#[fentry]
pub fn produce_splice(ctx: FEntryContext) -> i32 {
    made(Typed::argument(&ctx, 1), Typed::argument(&ctx, 0));
    0
}

/// `d_add(dentry, inode)`: the end of a lookup on the others.
#[fentry]
pub fn produce_add(ctx: FEntryContext) -> i32 {
    made(Typed::argument(&ctx, 0), Typed::argument(&ctx, 1));
    0
}

/// `d_instantiate(dentry, inode)`.
#[fentry]
pub fn produce_inst(ctx: FEntryContext) -> i32 {
    filled(Typed::argument(&ctx, 0), Typed::argument(&ctx, 1));
    0
}

/// `d_instantiate_new(dentry, inode)`.
#[fentry]
pub fn produce_new(ctx: FEntryContext) -> i32 {
    filled(Typed::argument(&ctx, 0), Typed::argument(&ctx, 1));
    0
}

/// `d_make_persistent(dentry, inode)`.
#[fentry]
pub fn produce_persist(ctx: FEntryContext) -> i32 {
    filled(Typed::argument(&ctx, 0), Typed::argument(&ctx, 1));
    0
}

/// `d_delete(dentry)`. With one reference it takes the inode away, with more it only hides the dentry.
#[fentry]
pub fn produce_delete(ctx: FEntryContext) -> i32 {
    let dentry = Typed::argument(&ctx, 0);
    if dentry::references(dentry) == 1 {
        count(dentry, || change::EMPTIED);
    }
    0
}

/// `__dentry_kill(dentry)`: nothing stops it once it is entered.
#[fentry]
pub fn produce_kill(ctx: FEntryContext) -> i32 {
    removed(Typed::argument(&ctx, 0));
    0
}

/// `dentry_kill(dentry)`, 7.x: it takes the locks itself and gives up if there is a reference.
#[fentry]
pub fn produce_try_kill(ctx: FEntryContext) -> i32 {
    let dentry = Typed::argument(&ctx, 0);
    if dentry::references(dentry) == 0 {
        removed(dentry);
    }
    0
}

#[inline(always)]
fn made(dentry: Typed, inode: Typed) {
    if inode.is_error() {
        return;
    }
    count(dentry, || {
        if inode.is_null() {
            change::MADE_NEGATIVE
        } else {
            change::MADE_POSITIVE
        }
    });
}

/// What no lookup can find is no negative dentry that is filled: an `O_TMPFILE`, or an object that a
/// pseudo file system makes.
#[inline(always)]
fn filled(dentry: Typed, inode: Typed) {
    if inode.is_null() {
        return;
    }
    count(dentry, || {
        if dentry::is_hashed(dentry) {
            change::FILLED
        } else {
            change::MADE_POSITIVE
        }
    });
}

/// A lookup that ends in an error gives its dentry back before it was in the cache: proc and sysfs
/// say so of names that don't exist.
#[inline(always)]
fn removed(dentry: Typed) {
    if !dentry::is_positive(dentry) && dentry::never_was_hashed(dentry) {
        return;
    }
    count(dentry, || {
        if dentry::is_positive(dentry) {
            change::REMOVED_POSITIVE
        } else {
            change::REMOVED_NEGATIVE
        }
    });
}

/// Adds one, if the directory is large enough to matter. Each cached child holds one reference to its
/// parent (`d_alloc` in fs/dcache.c), so the count is never smaller than the number of children.
///
/// What the change is, is asked last: the verifier follows each answer to the end by itself, and what lies before it
/// takes nearly all of its time.
#[inline(always)]
fn count(dentry: Typed, change: impl Fn() -> u32) {
    let directory = dentry::parent(dentry);
    if i64::from(dentry::references(directory)) < settings::producer_children_min().cast_signed() {
        return;
    }
    // A root is its own parent.
    if directory.is_same(dentry) {
        return;
    }
    let pid_tgid = bpf_get_current_pid_tgid();
    let pid = (pid_tgid >> 32) as u32;
    let ino = inode::ino_of(directory);
    let Some(slot) = SLOTS.get_ptr_mut(producer_slot(pid, ino) as u32) else {
        return;
    };
    // SAFETY: an element of the array; its owner's fields are written once.
    let is_mine = unsafe {
        (*slot).key.ino == ino
            && (*slot).key.pid == pid
            && (*slot).dentry_addr == directory.address().0
    };
    let counts = if is_mine {
        // SAFETY: as above.
        unsafe { &raw mut (*slot).counts }
    } else {
        let Some(counts) = count_slowly(directory, pid_tgid, slot) else {
            leave_uncounted(change());
            return;
        };
        counts
    };
    let change = change();
    // SAFETY: one of the counts in the element.
    let count = unsafe {
        (&raw mut (*counts).counts)
            .cast::<u64>()
            .add(change as usize)
    };
    // SAFETY: as above.
    unsafe { word::add(count, 1) };
    // SAFETY: a plain load. Another thread may have added one meanwhile: then it, too, gives a name,
    // or none of the two does.
    let now = unsafe { count.read_volatile() };
    if now & now.wrapping_sub(1) == 0 {
        tell_name(directory, pid, change, dentry);
    }
}

/// The pair's counts in the map, which leaves a record if it is new, and gets the slot if that is free.
#[inline(always)]
fn count_slowly(
    directory: Typed,
    pid_tgid: u64,
    slot: *mut ProducerSlot,
) -> Option<*mut ProducerCounts> {
    let key = producer_key(directory, (pid_tgid >> 32) as u32);
    let counts = match PRODUCERS.get_ptr_mut(key) {
        Some(counts) => counts,
        None => {
            let mut none = MaybeUninit::<ProducerCounts>::uninit();
            for index in 0..change::LEN {
                // SAFETY: the counts are all that there is; volatile, or the compiler would call a function with a
                // loop for the zeros, at which the verifier looks byte by byte.
                unsafe { none.as_mut_ptr().cast::<u64>().add(index).write_volatile(0) };
            }
            // SAFETY: written just now.
            let none = unsafe { none.assume_init_ref() };
            // Of two threads that come at once one succeeds.
            if PRODUCERS.insert(key, none, u64::from(BPF_NOEXIST)).is_ok() {
                tell_producer(&key, pid_tgid as u32, directory);
            }
            PRODUCERS.get_ptr_mut(key)?
        }
    };
    // SAFETY: an element of the array.
    unsafe {
        let claims = &raw mut (*slot).claims_count;
        if claims.read_volatile() == 0 {
            word::add(claims, 1);
            // Two that come at once read 2, or one of them 1, but never both: then it is the one's,
            // or the slot stays free.
            if claims.read_volatile() == 1 {
                (*slot).key = key;
                (&raw mut (*slot).dentry_addr).write_volatile(directory.address().0);
            }
        }
    }
    Some(counts)
}

#[inline(always)]
fn producer_key(directory: Typed, pid: u32) -> ProducerKey {
    let (ino, dev) = inode::identity_of(directory);
    ProducerKey { ino, dev, pid }
}

fn leave_uncounted(change: u32) {
    if let Some(count) = UNCOUNTED.get_ptr_mut(change) {
        // SAFETY: the element is this CPU's own.
        unsafe { *count += 1 };
    }
}

#[inline(always)]
fn tell_producer(key: &ProducerKey, tid: u32, directory: Typed) {
    let Some(empty) = EMPTY_PRODUCER.get(0) else {
        return;
    };
    if !has_room(count::PRODUCERS_UNTOLD) {
        return;
    }
    emit_from(empty, |record| {
        record.kind = kind::PRODUCER;
        record.tid = tid;
        record.key = *key;
        record.dentry_addr = directory.address().0;
        // SAFETY: plain helpers; the last one writes at most the bytes given.
        unsafe {
            record.at_ns = bpf_ktime_get_ns();
            record.cgroup_id = bpf_get_current_cgroup_id();
            bpf_get_current_comm(record.comm.as_mut_ptr().cast(), COMM_BYTES as u32);
        }
        fill::fill_producer_directory(directory.address(), record);
        fill::fill_exe(record);
    });
}

#[inline(always)]
fn tell_name(directory: Typed, pid: u32, change: u32, dentry: Typed) {
    let Some(empty) = EMPTY_NAME.get(0) else {
        return;
    };
    if !has_room(count::PRODUCERS_UNTOLD) {
        return;
    }
    emit_from(empty, |record| {
        record.kind = kind::NAME;
        record.change = change;
        record.key = producer_key(directory, pid);
        fill::fill_name(dentry.address(), record);
    });
}
