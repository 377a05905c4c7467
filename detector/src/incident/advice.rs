//! What to do, in short sentences that hold for this kernel and this walk.

use super::{events_on_children, mask_names};
use crate::{
    event::Syscall,
    facts::{Answer, Facts},
    plan::exposure,
};

/// The advice for a walk over `path` (escaped by the caller, none where unknown) that a watch
/// caused, where its system call is known.
#[must_use]
pub fn advice(facts: &Facts, syscall: Option<&Syscall>, path: Option<&str>) -> Vec<String> {
    let directory = path.unwrap_or("this directory");
    let mut told = vec![
        format!(
            "Find the program that looks up names that don't exist in {directory}: it fills the \
             cache, and until it stops this comes back."
        ),
        "For now `echo 2 > /proc/sys/vm/drop_caches` frees the cached names; with many of them \
         that takes a while by itself."
            .to_owned(),
    ];
    let exposure = exposure(facts);
    if exposure.walk_on_every_watch == Answer::Yes {
        told.push(
            "This kernel walks for every watch, and again after a watch was taken away; one with \
             commit 172e422ffea2 walks only for a first watch."
                .to_owned(),
        );
    } else if let Some(events) = syscall.and_then(walking_events) {
        told.push(format!(
            "{events} in the mask made it walk: on this kernel a watch without events on children \
             doesn't."
        ));
    }
    told
}

/// Names of the events that make a first watch walk.
fn walking_events(syscall: &Syscall) -> Option<String> {
    let events = events_on_children(syscall.call, syscall.mask);
    (events != 0).then(|| mask_names(syscall.call, events))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::Call,
        facts::tests::facts_with,
        probes::{WALKER_FIXED, WALKER_UNFIXED},
    };

    fn syscall(mask: u64) -> Syscall {
        Syscall {
            call: Call::InotifyAddWatch,
            start_ns: 1,
            end_ns: 2,
            mask,
            cgroup_id: 1,
            pid: 1,
            tid: 1,
            cpu: 0,
            comm: b"systemd".to_vec(),
            path: None,
        }
    }

    fn told(walker: &str, mask: u64) -> String {
        let other = if walker == WALKER_FIXED {
            WALKER_UNFIXED
        } else {
            WALKER_FIXED
        };
        let facts = facts_with(&[
            (walker, Answer::Yes, Answer::Yes, &[]),
            (other, Answer::No, Answer::No, &[]),
        ]);
        advice(&facts, Some(&syscall(mask)), Some("/srv")).join("\n")
    }

    #[test]
    fn the_fix_is_advised_only_where_it_is_missing() {
        assert!(told(WALKER_UNFIXED, 0x4).contains("172e422ffea2"));
        assert!(!told(WALKER_FIXED, 0x4).contains("172e422ffea2"));
    }

    #[test]
    fn only_events_on_children_are_blamed_and_only_on_a_fixed_kernel() {
        assert!(told(WALKER_FIXED, 0x804).contains("IN_ATTRIB in the mask"));
        assert!(!told(WALKER_FIXED, 0x800).contains("in the mask"));
        assert!(!told(WALKER_UNFIXED, 0x804).contains("in the mask"));
    }

    #[test]
    fn the_directory_is_named() {
        assert!(told(WALKER_FIXED, 0x4).contains("don't exist in /srv:"));
    }
}
