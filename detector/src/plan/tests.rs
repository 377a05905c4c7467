//! The rules of the plan, over made-up facts.

use super::*;
use crate::{
    facts::tests::facts_with,
    probes::{self, WALKER_FIXED, WALKER_UNFIXED},
};

fn unknown() -> Answer {
    Answer::Unknown("restricted".to_owned())
}

/// Each choice with its targets, and what is lost.
fn texts(planned: &ProbePlan) -> Vec<String> {
    let text = |choice: &Choice| {
        let targets: Vec<_> = choice.targets.iter().map(ToString::to_string).collect();
        targets.join(" + ")
    };
    planned.choices.iter().map(text).collect()
}

fn choices(facts: &Facts, force: Option<Via>) -> Vec<String> {
    let wishes = Wishes {
        force,
        ..Wishes::default()
    };
    let plan = plan(facts, &wishes).expect("a plan");
    texts(&plan.probes[0])
}

#[test]
fn fentry_comes_before_kprobe() {
    let facts = facts_with(&[(WALKER_FIXED, Answer::Yes, Answer::Yes, &[])]);
    assert_eq!(
        choices(&facts, None),
        [
            "fentry fsnotify_set_children_dentry_flags",
            "kprobe fsnotify_set_children_dentry_flags"
        ]
    );
}

#[test]
fn a_forced_kind_leaves_only_its_targets() {
    let facts = facts_with(&[(WALKER_UNFIXED, Answer::Yes, Answer::Yes, &[])]);
    assert_eq!(
        choices(&facts, Some(Via::Kprobe)),
        ["kprobe __fsnotify_update_child_dentry_flags"]
    );
}

#[test]
fn what_could_not_be_told_is_tried() {
    let facts = facts_with(&[(WALKER_FIXED, Answer::No, unknown(), &[])]);
    assert_eq!(
        choices(&facts, None),
        ["kprobe fsnotify_set_children_dentry_flags"]
    );
}

#[test]
fn a_kernel_without_any_walker_is_an_error_that_names_them() {
    let facts = facts_with(&[
        (WALKER_FIXED, Answer::No, Answer::No, &[]),
        (WALKER_UNFIXED, Answer::No, Answer::No, &[]),
    ]);
    let error = plan(&facts, &Wishes::default())
        .expect_err("nothing to attach to")
        .to_string();
    assert!(
        error.contains(WALKER_FIXED) && error.contains(WALKER_UNFIXED),
        "{error}"
    );
}

#[test]
fn a_part_keeps_its_arguments_and_other_clones_do_not() {
    let split = [
        "__fsnotify_update_child_dentry_flags.isra.0",
        "__fsnotify_update_child_dentry_flags.part.0",
    ];
    let facts = facts_with(&[(WALKER_UNFIXED, Answer::Yes, Answer::Yes, &split)]);
    let plan = plan(&facts, &Wishes::default()).expect("a plan");
    let parts: Vec<_> = plan.probes[0]
        .parts
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        parts,
        ["kprobe __fsnotify_update_child_dentry_flags.part.0"]
    );
    assert_eq!(
        plan.probes[0].unusable,
        ["__fsnotify_update_child_dentry_flags.isra.0"]
    );
}

fn planned<'a>(plan: &'a Plan, probe: &str) -> Option<&'a ProbePlan> {
    plan.probes.iter().find(|planned| planned.probe == probe)
}

const SLOWPATHS: &[(&str, Answer, Answer, &[&str])] = &[
    (WALKER_FIXED, Answer::Yes, Answer::Yes, &[]),
    (
        "native_queued_spin_lock_slowpath",
        Answer::Yes,
        Answer::Yes,
        &[],
    ),
    (
        "__pv_queued_spin_lock_slowpath",
        Answer::Yes,
        Answer::Yes,
        &[],
    ),
    ("rtlock_slowlock_locked", Answer::Yes, Answer::Yes, &[]),
];

fn with_contention(facts: Facts) -> Facts {
    let tracepoints = ["contention_begin", "contention_end"];
    Facts {
        tracepoints: tracepoints
            .map(|name| (name.to_owned(), Answer::Yes))
            .into(),
        ..facts
    }
}

#[test]
fn both_slowpaths_come_before_the_tracepoints() {
    let facts = with_contention(facts_with(SLOWPATHS));
    let plan = plan(&facts, &Wishes::default()).expect("a plan");
    let wait = planned(&plan, "wait").expect("planned");
    assert_eq!(
        texts(wait),
        [
            "fentry native_queued_spin_lock_slowpath + fentry __pv_queued_spin_lock_slowpath",
            "tracepoint contention_end + tracepoint contention_begin"
        ]
    );
    assert!(wait.choices[0].lost.is_empty());
    assert!(wait.choices[1].lost[0].contains("first waiter"));
}

#[test]
fn a_slowpath_never_gets_a_breakpoint() {
    let wishes = Wishes {
        force: Some(Via::Kprobe),
        ..Wishes::default()
    };
    let facts = with_contention(facts_with(SLOWPATHS));
    let with = plan(&facts, &wishes).expect("a plan");
    assert_eq!(
        texts(planned(&with, "wait").expect("planned")),
        ["tracepoint contention_end + tracepoint contention_begin"]
    );
    let without = plan(&facts_with(SLOWPATHS), &wishes).expect("a plan");
    assert!(planned(&without, "wait").is_none());
    assert!(
        without
            .missing
            .iter()
            .any(|missing| missing.probe == "wait")
    );
}

#[test]
fn where_spinlocks_sleep_no_stall_is_looked_for() {
    let facts = Facts {
        spinlocks_sleep: Answer::Yes,
        ..with_contention(facts_with(SLOWPATHS))
    };
    let plan = plan(&facts, &Wishes::default()).expect("a plan");
    assert_eq!(
        texts(planned(&plan, "wait").expect("planned"))[0],
        "fentry rtlock_slowlock_locked"
    );
    assert!(planned(&plan, "stall").is_none());
    assert!(plan.missing.iter().all(|missing| missing.probe != "stall"));
}

#[test]
fn where_the_ring_buffers_lock_sleeps_no_sleeper_is_looked_at() {
    for (ring_lock_sleeps, expected) in [
        (Answer::No, true),
        (Answer::Yes, false),
        // Not a risk to take.
        (Answer::Unknown("not in the BTF".to_owned()), false),
    ] {
        let facts = Facts {
            spinlocks_sleep: Answer::Yes,
            ring_lock_sleeps: ring_lock_sleeps.clone(),
            ..with_contention(facts_with(SLOWPATHS))
        };
        let plan = plan(&facts, &Wishes::default()).expect("a plan");
        assert_eq!(planned(&plan, "wait").is_some(), expected);
        let missing = plan.missing.iter().find(|missing| missing.probe == "wait");
        assert_eq!(missing.is_some(), !expected);
        if let Some(missing) = missing {
            assert!(missing.refused[0].contains("8b62645b09f8"), "{missing:?}");
        }
        // Where nobody sleeps on a spinlock, the ring buffer's can't be slept on.
        let spinning = Facts {
            ring_lock_sleeps,
            ..with_contention(facts_with(SLOWPATHS))
        };
        let plan = super::plan(&spinning, &Wishes::default()).expect("a plan");
        assert!(planned(&plan, "wait").is_some());
    }
}

#[test]
fn the_exact_release_is_only_there_when_asked_for_and_meant_for_spinlocks() {
    let facts = |traced: Answer| Facts {
        tracepoints: [("contended_release".to_owned(), Answer::Yes)].into(),
        ..facts_with(&[
            (WALKER_FIXED, Answer::Yes, Answer::Yes, &[]),
            (
                "native_queued_spin_unlock_traced",
                traced.clone(),
                traced,
                &[],
            ),
        ])
    };
    let asked = Wishes {
        exact_release: true,
        ..Wishes::default()
    };
    let release = |answer: Answer, wishes: &Wishes| {
        planned(&plan(&facts(answer), wishes).expect("a plan"), "release").is_some()
    };
    assert!(release(Answer::Yes, &asked));
    assert!(!release(Answer::Yes, &Wishes::default()));
    assert!(!release(Answer::No, &asked));
}

#[test]
fn every_point_of_both_tables_has_a_program() {
    for (table, start) in [(PROBES, None), (TRACE_PROBES, Some("trace_"))] {
        for probe in table {
            for point in probe.ways.iter().flat_map(|way| way.points) {
                let (_, program) = probes::program(probe.name, point.name).expect(point.name);
                assert_eq!(program, point.program, "{}", point.name);
                let is_of_trace = program.starts_with("trace_");
                assert_eq!(is_of_trace, start.is_some(), "{program}");
            }
        }
    }
    assert_eq!(probes::program("walk", "d_add"), None);
}

#[test]
fn what_run_and_trace_attach_to_is_apart() {
    let facts = Facts {
        offsets: TRACE_PROBES
            .iter()
            .flat_map(|probe| probe.fields)
            .map(|field| ((*field).to_owned(), 8))
            .collect(),
        ..facts_with(&[
            (WALKER_FIXED, Answer::Yes, Answer::Yes, &[]),
            ("d_splice_alias", Answer::Yes, Answer::Yes, &[]),
            ("dentry_kill", Answer::No, Answer::Yes, &[]),
        ])
    };
    let run = plan(&facts, &Wishes::default()).expect("a plan");
    let trace = plan_trace(&facts, &Wishes::default()).expect("a plan");
    let of_trace = |probe: &ProbePlan| probe.probe.starts_with("trace-");
    assert!(!run.probes.iter().any(of_trace));
    assert!(trace.probes.iter().all(of_trace));
    let first = |name: &str| planned(&trace, name).map(|found| found.choices[0].targets.clone());
    let target = |via, function| vec![Target::whole(via, function)];
    assert_eq!(
        first("trace-spliced"),
        Some(target(Via::Fentry, "d_splice_alias"))
    );
    assert_eq!(
        first("trace-removed"),
        Some(target(Via::Kprobe, "dentry_kill"))
    );
    assert_eq!(trace.missing.len(), 3);
    assert!(matches!(
        plan_trace(&facts_with(&[]), &Wishes::default()),
        Err(PlanError::NoFunction {
            probe: "trace-spliced",
            ..
        })
    ));
}

/// As they are before the symbol table is read, of a kernel with all functions that can have a breakpoint.
fn from_types_alone(walker: &'static str) -> Facts {
    let other = if walker == WALKER_FIXED {
        WALKER_UNFIXED
    } else {
        WALKER_FIXED
    };
    facts_with(&[
        (walker, Answer::Yes, unknown(), &[]),
        (other, Answer::No, unknown(), &[]),
        ("__x64_sys_inotify_add_watch", Answer::Yes, unknown(), &[]),
        ("do_fanotify_mark", Answer::Yes, unknown(), &[]),
        ("fcntl_dirnotify", Answer::Yes, unknown(), &[]),
        (
            "native_queued_spin_unlock_traced",
            Answer::No,
            unknown(),
            &[],
        ),
    ])
}

#[test]
fn symbols_are_needed_where_the_walker_has_parts_or_a_function_is_not_in_the_types() {
    let plain = Wishes::default();
    let forced = |force| Wishes {
        force: Some(force),
        ..plain
    };
    let newer = from_types_alone(WALKER_FIXED);
    assert!(!needs_symbols(&newer, &plain));
    assert!(!needs_symbols(&newer, &forced(Via::Fentry)));
    assert!(needs_symbols(&newer, &forced(Via::Kprobe)));
    assert!(needs_symbols(
        &newer,
        &Wishes {
            exact_release: true,
            ..plain
        }
    ));
    assert!(needs_symbols(&from_types_alone(WALKER_UNFIXED), &plain));
    for name in [
        WALKER_FIXED,
        "__x64_sys_inotify_add_watch",
        "do_fanotify_mark",
        "fcntl_dirnotify",
    ] {
        let mut without = newer.clone();
        without.functions.get_mut(name).expect(name).in_btf = Answer::No;
        assert!(needs_symbols(&without, &plain), "{name}");
    }
}

#[test]
fn where_no_symbols_are_needed_the_plan_is_the_same_with_them() {
    let before = from_types_alone(WALKER_FIXED);
    let mut after = before.clone();
    for function in after.functions.values_mut() {
        function.in_symbols = function.in_btf.clone();
    }
    let made = |facts: &Facts| plan(facts, &Wishes::default()).expect("a plan");
    assert_eq!(made(&before), made(&after));
    assert_eq!(exposure(&before), exposure(&after));
    assert_eq!(exposure(&before).walk_on_removal, Answer::No);
}

#[test]
fn exposure_tells_fixed_from_unfixed_from_unknown() {
    let fixed = facts_with(&[
        (WALKER_FIXED, Answer::Yes, Answer::Yes, &[]),
        (WALKER_UNFIXED, Answer::No, Answer::No, &[]),
    ]);
    let unfixed = facts_with(&[
        (WALKER_FIXED, Answer::No, Answer::No, &[]),
        (WALKER_UNFIXED, Answer::Yes, Answer::Yes, &[]),
    ]);
    let hidden = facts_with(&[
        (WALKER_FIXED, Answer::No, unknown(), &[]),
        (WALKER_UNFIXED, Answer::No, unknown(), &[]),
    ]);
    assert_eq!(exposure(&fixed).walk_on_first_watch, Answer::Yes);
    assert_eq!(exposure(&fixed).walk_on_removal, Answer::No);
    assert_eq!(exposure(&unfixed).walk_on_removal, Answer::Yes);
    assert_eq!(exposure(&unfixed).walk_on_every_watch, Answer::Yes);
    assert_eq!(exposure(&hidden).walk_on_removal, unknown());
}
