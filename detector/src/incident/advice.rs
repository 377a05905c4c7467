//! What to do, in short sentences that hold for this kernel and this walk, each with its cost.
//!
//! Rules, in the order of the lines:
//! 1. The largest producer is named, or how to find it. Where most of what it made exists, the
//!    directory is too full by itself, and other words fit. So it is on a file system in memory, whose
//!    dentries are its only record of its files: 2 to 4 would free nothing there.
//! 2. `fs.dentry-negative` where the kernel has it, it is off, and most were files that got removed.
//! 3. Reclaim of the producer's cgroup where cgroups have `memory.reclaim` and it isn't the root.
//! 4. Dropping all dentries of the host.
//! 5. On a kernel with 172e422ffea2 and a mask with events on children: a mask without.
//! 6. Another directory for the watch.
//! 7. On a kernel without 172e422ffea2: one with it.
//!
//! Nothing of this is ever done by `fslockup` itself.

use fslockup_ebpf::change;

use super::{events_on_children, mask_names};
use crate::{
    census::Census,
    escape::{escape, escape_rest},
    event::Syscall,
    facts::{Answer, Facts, Sysctl, sysctls::DENTRY_NEGATIVE},
    plan::exposure,
    producers::{Producer, who},
};

/// Bytes of a dentry: 192 on x86-64, 240 under PREEMPT_RT (their BTF). A request for a little too
/// much costs less than one for too little.
const DENTRY_BYTES: u64 = 256;
const MIB: u64 = 1 << 20;
/// What freeing a child takes, as reported for a directory of 1.2 billion negative ones that was
/// removed in ten minutes (M. Szeredi, linux-fsdevel, 2025-04).
const FREE_NS: u64 = 500;
/// Dropping fewer than this takes no time worth a word: half a second.
const MANY: u64 = 1_000_000;

/// File systems in memory: `simple_lookup` (fs/libfs.c) has misses forgotten at once, and what exists
/// stays referenced until it is removed.
const IN_MEMORY: [&[u8]; 3] = [b"tmpfs", b"ramfs", b"devtmpfs"];

/// What is known of a walk when advice is given.
#[derive(Clone, Copy)]
pub struct AdviceInput<'a> {
    /// The kernel.
    pub facts: &'a Facts,
    /// The system call that led to the walk, where it is known.
    pub syscall: Option<&'a Syscall>,
    /// The directory, escaped; none where unknown.
    pub path: Option<&'a str>,
    /// The type of its file system.
    pub fstype: &'a [u8],
    /// Who made its children, the largest first; empty where unknown.
    pub origin: &'a [Producer],
    /// Its children, where they were counted.
    pub census: Option<&'a Census>,
}

/// The lines.
#[must_use]
pub fn advice(input: &AdviceInput) -> Vec<String> {
    let fixed = exposure(input.facts).walk_on_every_watch != Answer::Yes;
    let directory = input.path.unwrap_or("this directory");
    let producer = input.origin.first();
    let is_in_memory = IN_MEMORY.contains(&input.fstype);
    let mut told = vec![match producer {
        Some(producer) => stop(producer, input.origin, directory, is_in_memory),
        None if is_in_memory => format!(
            "All entries of {directory} are files that exist, since its file system keeps no others: \
             spread them over subdirectories. Costs a change of their paths."
        ),
        None => format!(
            "Find the program that looks up names that don't exist in {directory} \
             (`fslockup top`): it fills the cache, and until it stops this comes back."
        ),
    }];
    if !is_in_memory {
        told.extend(drop_at_removal(input));
        told.extend(producer.and_then(|producer| reclaim(input.facts, producer, input.census)));
        told.push(drop_caches(input.census));
    }
    if let Some(events) = input.syscall.filter(|_| fixed).and_then(walking_events) {
        told.push(format!(
            "{events} in the mask made it walk: on this kernel a watch for entries made, removed or \
             moved alone doesn't. Costs the watcher the events on files."
        ));
    }
    told.push(format!(
        "Watch a subdirectory instead of {directory}: only the children of the watched directory \
         itself are walked. Costs the watcher what happens beside it."
    ));
    if !fixed {
        told.push(
            "This kernel walks for every watch, and again after a watch was taken away; one with \
             commit 172e422ffea2 walks only for a first watch. Costs a reboot."
                .to_owned(),
        );
    }
    told
}

/// Names the producer, and its part in what was counted.
fn stop(producer: &Producer, origin: &[Producer], directory: &str, is_in_memory: bool) -> String {
    let created = producer.changes.created_count();
    let all = origin.iter().fold(0_u64, |sum, producer| {
        sum.saturating_add(producer.changes.created_count())
    });
    let share = percent(created, all).map(|share| format!(" ({share} % of what was counted)"));
    let made = format!("made {created} entries{}", share.unwrap_or_default());
    let names = producer
        .template
        .as_deref()
        .map(|template| format!(", named {}", escape_rest(template)))
        .unwrap_or_default();
    let who = who(producer, |name| name);
    if is_in_memory || producer.changes.negative_count().saturating_mul(2) < created {
        return format!(
            "{who} {made}, most of them files that exist{names}: let it spread them over \
             subdirectories of {directory}. Costs a change of its paths."
        );
    }
    let verb = if producer.has_exited {
        "Find what starts"
    } else {
        "Stop or fix"
    };
    format!(
        "{verb} {who}: it {made}{names}, and until it stops this comes back. Costs the work it does."
    )
}

fn drop_at_removal(input: &AdviceInput) -> Option<String> {
    let is_off = input.facts.sysctls.get(DENTRY_NEGATIVE) == Some(&Sysctl::Value(0));
    let sum = |which: u32| {
        input.origin.iter().fold(0_u64, |sum, producer| {
            sum.saturating_add(producer.changes.of(which))
        })
    };
    let missed = sum(change::MADE_NEGATIVE).saturating_sub(sum(change::FILLED));
    (is_off && sum(change::EMPTIED) > missed).then(|| {
        format!(
            "Most of these were files that got removed: `sysctl {DENTRY_NEGATIVE}=1` drops a dentry \
             with its file. Costs a look at the disk when such a name is asked for again."
        )
    })
}

/// Tried on 6.1, 6.12 and 7.3: the negative dentries that a cgroup's processes made are its memory,
/// and a request for half of it took all of them. A request that isn't met in full ends with EAGAIN.
fn reclaim(facts: &Facts, producer: &Producer, census: Option<&Census>) -> Option<String> {
    if facts.has_memory_reclaim != Answer::Yes {
        return None;
    }
    let root = facts.cgroup_root.as_deref()?;
    let cgroup = producer.identity.cgroup.as_deref()?;
    if matches!(cgroup, b"" | b"/") {
        // The root has no such file.
        return None;
    }
    let negative = producer.changes.negative_count();
    let there = census.map_or(negative, |census| census.negative_count.min(negative));
    let mib = there.saturating_mul(DENTRY_BYTES).div_ceil(MIB).max(1);
    let file = [root.as_bytes(), cgroup, b"/memory.reclaim"].concat();
    let how = in_quotes(&file).map_or_else(
        || format!("write {mib}M to {}", escape(&file)),
        |file| format!("`echo {mib}M > {file}`"),
    );
    Some(format!(
        "To free only what its cgroup made: {how}. Costs that cgroup page cache too; an error \
         `temporarily unavailable` means that there was less to free."
    ))
}

/// The path for a shell, where nothing in it can be taken for anything else. The name of a cgroup is
/// chosen by whoever made it, and a command is there to be copied.
fn in_quotes(path: &[u8]) -> Option<String> {
    let is_plain = path
        .iter()
        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\'' | b'`'));
    let text = std::str::from_utf8(path).ok().filter(|_| is_plain)?;
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-:@".contains(&byte);
    Some(if text.bytes().all(is_bare) {
        text.to_owned()
    } else {
        format!("'{text}'")
    })
}

fn drop_caches(census: Option<&Census>) -> String {
    let time = census
        .map(|census| census.children_count)
        .filter(|children| *children >= MANY)
        .map(|children| {
            let seconds = children.saturating_mul(FREE_NS) / 1_000_000_000;
            format!(" (some {seconds} s for the {children} here, at 0.5 µs each)")
        });
    format!(
        "`echo 2 > /proc/sys/vm/drop_caches` frees all unused dentries and inodes of the host. Costs \
         CPU time for each{}, and lookups go to the disk until the cache is warm again.",
        time.unwrap_or_default()
    )
}

/// A part of a whole, rounded down.
fn percent(part: u64, whole: u64) -> Option<u64> {
    let share = u128::from(part) * 100 / (whole > 0).then_some(u128::from(whole))?;
    u64::try_from(share).ok()
}

/// Names of the events that make a first watch walk.
fn walking_events(syscall: &Syscall) -> Option<String> {
    let events = events_on_children(syscall.call, syscall.mask);
    (events != 0).then(|| mask_names(syscall.call, events))
}

#[cfg(test)]
mod tests;
