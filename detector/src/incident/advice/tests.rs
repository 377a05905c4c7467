use super::*;
use crate::{
    event::Call,
    facts::tests::facts_with,
    probes::{WALKER_FIXED, WALKER_UNFIXED},
    producers::{Changes, Identity},
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

fn facts(walker: &str) -> Facts {
    let functions = [WALKER_FIXED, WALKER_UNFIXED].map(|name| {
        let is_there = Answer::of(name == walker);
        (name, is_there.clone(), is_there, [].as_slice())
    });
    facts_with(&functions)
}

/// A monitoring agent with a bug.
fn agent() -> Producer {
    let mut counts = [0; change::LEN];
    counts[change::MADE_NEGATIVE as usize] = 1_990_000;
    counts[change::MADE_POSITIVE as usize] = 10_000;
    Producer {
        pid: Some(42),
        processes_count: 1,
        identity: Identity {
            comm: b"agent".to_vec(),
            cgroup: Some(b"/system.slice/agent.service".to_vec()),
            unit: Some("agent.service".to_owned()),
            ..Identity::default()
        },
        changes: Changes { counts },
        template: Some("null<16 hex>".to_owned()),
        ..Producer::default()
    }
}

fn census(children: u64) -> Census {
    Census {
        children_count: children,
        negative_count: children,
        is_complete: true,
        ..Census::default()
    }
}

fn told(facts: &Facts, mask: u64, origin: &[Producer], census: Option<&Census>) -> String {
    let syscall = syscall(mask);
    advice(&AdviceInput {
        facts,
        syscall: Some(&syscall),
        path: Some("/srv"),
        fstype: b"ext4",
        origin,
        census,
    })
    .join("\n")
}

fn of_origin(producer: Producer) -> String {
    told(&facts(WALKER_FIXED), 0x804, &[producer], None)
}

#[test]
fn it_reads_as_it_should() {
    let fixed = facts(WALKER_FIXED);
    let unfixed = facts(WALKER_UNFIXED);
    let many = census(28_700_000);
    let exited = Producer {
        pid: None,
        processes_count: 1_000,
        has_exited: true,
        ..agent()
    };
    let cases = [
        ("nothing_known", told(&unfixed, 0x804, &[], None)),
        (
            "producer_and_census",
            told(&fixed, 0x804, &[agent(), exited.clone()], Some(&many)),
        ),
        ("exited_producers", told(&fixed, 0x800, &[exited], None)),
    ];
    for (name, text) in cases {
        insta::assert_snapshot!(format!("advice_{name}"), text);
    }
}

#[test]
fn the_fix_is_advised_only_where_it_is_missing() {
    assert!(told(&facts(WALKER_UNFIXED), 0x4, &[], None).contains("172e422ffea2"));
    assert!(!told(&facts(WALKER_FIXED), 0x4, &[], None).contains("172e422ffea2"));
}

#[test]
fn only_events_on_children_are_blamed_and_only_on_a_fixed_kernel() {
    let blamed = |walker, mask| told(&facts(walker), mask, &[], None).contains("in the mask");
    assert!(blamed(WALKER_FIXED, 0x804));
    assert!(!blamed(WALKER_FIXED, 0x800));
    assert!(!blamed(WALKER_UNFIXED, 0x804));
}

#[test]
fn every_line_but_the_search_has_its_cost() {
    for walker in [WALKER_FIXED, WALKER_UNFIXED] {
        let text = told(&facts(walker), 0x804, &[agent()], None);
        assert!(text.lines().all(|line| line.contains("Costs ")), "{text}");
    }
}

#[test]
fn reclaim_is_advised_only_where_it_is_there_for_that_cgroup() {
    let has = |facts: &Facts, producer: Producer| {
        told(facts, 0x4, &[producer], None).contains("memory.reclaim")
    };
    let mut facts = facts(WALKER_FIXED);
    assert!(has(&facts, agent()));
    let mut root = agent();
    root.identity.cgroup = Some(b"/".to_vec());
    assert!(!has(&facts, root));
    let mut unknown = agent();
    unknown.identity.cgroup = None;
    assert!(!has(&facts, unknown));
    facts.has_memory_reclaim = Answer::No;
    assert!(!has(&facts, agent()));
}

#[test]
fn a_request_is_for_what_is_there_and_never_for_nothing() {
    let asked = |children| {
        told(
            &facts(WALKER_FIXED),
            0x4,
            &[agent()],
            Some(&census(children)),
        )
    };
    assert!(asked(2_000_000).contains("`echo 486M > /sys/fs/cgroup/system.slice/"));
    assert!(asked(100_000).contains("`echo 25M > "));
    assert!(asked(0).contains("`echo 1M > "));
}

#[test]
fn a_command_is_only_given_for_names_that_are_safe_to_copy() {
    let with = |cgroup: &[u8]| {
        let mut producer = agent();
        producer.identity.cgroup = Some(cgroup.to_vec());
        of_origin(producer)
    };
    assert!(with(b"/a/b-c@1.service").contains("> /sys/fs/cgroup/a/b-c@1.service/memory.reclaim`"));
    assert!(with(b"/a\\x2db;$(id)").contains("> '/sys/fs/cgroup/a\\x2db;$(id)/memory.reclaim'`"));
    for hostile in [b"/a'b".as_slice(), b"/a b", b"/`id`", b"/\x1b[2J", b"/\xff"] {
        let text = with(hostile);
        assert!(!text.contains("echo 486M"), "{text}");
        assert!(text.contains("write 486M to /sys/fs/cgroup/"), "{text}");
        assert!(!text.contains('\x1b'));
    }
}

#[test]
fn removed_files_are_told_from_names_that_never_were() {
    let mut facts = facts(WALKER_FIXED);
    let mut removed = agent();
    removed.changes.counts[change::EMPTIED as usize] = 3_000_000;
    let has = |facts: &Facts, producer: &Producer| {
        told(facts, 0x4, std::slice::from_ref(producer), None).contains(DENTRY_NEGATIVE)
    };
    assert!(!has(&facts, &removed));
    let mut set = |value| facts.sysctls.insert(DENTRY_NEGATIVE.to_owned(), value);
    set(Sysctl::Value(0));
    assert!(has(&facts, &removed));
    assert!(!has(&facts, &agent()));
    facts
        .sysctls
        .insert(DENTRY_NEGATIVE.to_owned(), Sysctl::Value(1));
    assert!(!has(&facts, &removed));
}

#[test]
fn files_that_exist_ask_for_subdirectories() {
    let mut producer = agent();
    producer.changes.counts = [0; change::LEN];
    producer.changes.counts[change::MADE_POSITIVE as usize] = 500_000;
    let text = of_origin(producer);
    assert!(text.contains("agent (pid 42, agent.service) made 500000 entries"));
    assert!(text.contains("spread them over"), "{text}");
}

#[test]
fn where_dentries_are_the_files_nothing_is_dropped() {
    let facts = facts(WALKER_FIXED);
    for origin in [Vec::new(), vec![agent()]] {
        let text = advice(&AdviceInput {
            facts: &facts,
            syscall: None,
            path: Some("/run"),
            fstype: b"tmpfs",
            origin: &origin,
            census: None,
        })
        .join("\n");
        assert!(!text.contains("drop_caches") && !text.contains("reclaim"));
        assert!(text.contains("over subdirectories"), "{text}");
    }
}

#[test]
fn hostile_names_stay_harmless() {
    let mut producer = agent();
    producer.identity.comm = b"\x1b[31m\n".to_vec();
    producer.identity.container = Some("\u{202e}\n".to_owned());
    producer.template = Some("\x07".to_owned());
    producer.changes.counts = [u64::MAX; change::LEN];
    let text = told(
        &facts(WALKER_FIXED),
        u64::MAX,
        &[producer.clone(), producer],
        Some(&census(u64::MAX)),
    );
    let is_harmless = |line: &str| !line.chars().any(|c| c.is_control() || c == '\u{202e}');
    assert!(text.lines().all(is_harmless), "{text:?}");
}
