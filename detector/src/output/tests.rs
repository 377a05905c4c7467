//! Text and JSON of hand-made sequences of records, and of hostile ones.

use fslockup_ebpf::{
    COMM_BYTES, FSTYPE_BYTES, PATH_BYTES, STACK_DEPTH, SyscallRecord, WaitRecord, WalkRecord,
    change, wait_how,
};

use super::{Format, Printer};
use crate::{
    census::Census,
    event::tests::padded,
    model::{
        Children, Counts, Finding, Input, Limits, Session, ThresholdsChange, WaitingNow,
        budget::{self, BudgetEvent, Group},
    },
    pipeline::Pipeline,
    producers::{self, Changes, Identity, Producer, template::template},
    testing::{
        DEV, MS, OTHER_LOCK, directory, end, input, log, mounts, release, session,
        sleeping_session, stall, stall_behind_wait, symbols, syscall, tick, wait, walk,
    },
};

/// A process with all that can be told of it.
fn producer(pid: Option<u32>, comm: &[u8], made: (u64, u64), samples: &[&[u8]]) -> Producer {
    let mut changes = Changes::default();
    changes.counts[change::MADE_NEGATIVE as usize] = made.0;
    changes.counts[change::MADE_POSITIVE as usize] = made.1;
    let samples: Vec<_> = samples.iter().map(|name| name.to_vec()).collect();
    Producer {
        pid,
        processes_count: pid.map_or(40, |_| 1),
        identity: identity(comm),
        has_exited: pid.is_none(),
        changes,
        first_ns: 900 * MS,
        last_ns: 990 * MS,
        template: template(&samples),
        samples,
    }
}

fn identity(comm: &[u8]) -> Identity {
    Identity {
        comm: comm.to_vec(),
        exe: Some([b"/usr/bin/", comm].concat()),
        cgroup: Some(b"/system.slice/spool.service".to_vec()),
        unit: Some("spool.service".to_owned()),
        container: None,
    }
}

/// A walk over a directory that two programs filled.
fn origin() -> Case {
    let a = directory(0);
    let names: [&[u8]; 3] = [
        b"null0123456789abcdef",
        b"nullfedcba9876543210",
        b"nullaaaabbbbccccdddd",
    ];
    let children = Children {
        dev: DEV,
        ino: a.ino,
        census: Some(Census {
            dev: DEV,
            ino: a.ino,
            children_count: 1_200_000,
            negative_count: 1_199_990,
            is_complete: true,
            ..Census::default()
        }),
        origin: Some(producers::Directory {
            dev: DEV,
            ino: a.ino,
            producers: vec![
                producer(Some(77), b"spoold", (1_100_000, 5), &names),
                producer(None, b"worker", (90_000, 0), &[b"a", b"\xff\x1b[2J"]),
            ],
            ..producers::Directory::default()
        }),
        degraded: Vec::new(),
    };
    let inputs = vec![
        Input::Identity {
            pid: 42,
            identity: identity(b"systemd"),
        },
        input(&walk(a, 42, 3, 1_000, 1_750)),
        input(&syscall(42, 999, 1_751)),
        Input::Children(Box::new(children)),
        tick(1_810),
        end(2_000),
    ];
    case(session(), inputs)
}

/// A session and what happens in it.
type Case = (Session, Vec<Input>);

fn case(session: Session, inputs: Vec<Input>) -> Case {
    (session, [vec![mounts(), symbols()], inputs].concat())
}

/// A watch on a directory while threads look up new names in it.
fn contention() -> Case {
    let a = directory(0);
    let inputs = vec![
        input(&wait(OTHER_LOCK, 50, 5, 1_100, 1_104)),
        input(&walk(a, 42, 3, 1_000, 1_750)),
        input(&wait(a.d_lock, 10, 0, 1_010, 1_750)),
        input(&wait(a.d_lock, 11, 1, 1_005, 1_751)),
        input(&wait(a.d_lock, 12, 2, 1_250, 1_753)),
        input(&wait(a.i_lock, 13, 4, 1_300, 1_750)),
        input(&wait(a.d_lock, 0, 6, 1_500, 1_752)),
        input(&syscall(42, 999, 1_751)),
        tick(1_810),
        end(2_000),
    ];
    case(session(), inputs)
}

/// Tasks kept from running behind the walk and behind a waiter of it.
fn stalls() -> Case {
    let a = directory(0);
    let inputs = vec![
        input(&stall(30, 3, 42, (1_000, 1_100), (1_020, 1_180))),
        input(&walk(a, 42, 3, 1_000, 1_180)),
        input(&wait(a.d_lock, 10, 0, 1_010, 1_180)),
        input(&stall_behind_wait(
            a.d_lock,
            stall(31, 0, 10, (1_010, 1_180), (1_030, 1_181)),
        )),
        input(&stall(30, 3, 42, (1_000, 1_180), (1_120, 1_181))),
        input(&syscall(42, 1_000, 1_190)),
        tick(1_250),
        end(2_000),
    ];
    case(session(), inputs)
}

/// Two directories at once, one of them twice.
fn two_walks() -> Case {
    let (a, b) = (directory(0), directory(1));
    let inputs = vec![
        input(&walk(a, 42, 3, 1_000, 1_100)),
        input(&wait(a.i_lock, 43, 1, 1_020, 1_100)),
        input(&walk(b, 44, 2, 1_010, 1_110)),
        input(&wait(b.d_lock, 10, 0, 1_020, 1_110)),
        tick(1_170),
        input(&walk(a, 43, 1, 1_020, 1_190)),
        tick(1_250),
        end(2_000),
    ];
    case(session(), inputs)
}

/// A walker that waits for both locks before it holds them, on a kernel that tells of releases.
fn walker_waits() -> Case {
    let a = directory(0);
    let inputs = vec![
        input(&wait(a.i_lock, 42, 3, 1_000, 1_030)),
        input(&wait(a.d_lock, 42, 3, 1_031, 1_046)),
        input(&release(42, a.d_lock, 1_119)),
        input(&walk(a, 42, 3, 1_000, 1_120)),
        input(&wait(a.d_lock, 10, 0, 1_050, 1_119)),
        tick(1_200),
        end(2_000),
    ];
    case(session(), inputs)
}

/// PREEMPT_RT.
fn sleeping_waiters() -> Case {
    let a = directory(0);
    let inputs = vec![
        input(&walk(a, 42, 3, 1_000, 1_090)),
        input(&WaitRecord {
            how: wait_how::SLEEP,
            ..wait(a.d_lock, 10, 0, 1_010, 1_091)
        }),
        input(&syscall(42, 999, 1_091)),
        tick(1_200),
        end(2_000),
    ];
    case(sleeping_session(), inputs)
}

/// A walk so long that the kernel reports it, announced while it runs.
fn soft_lockup() -> Case {
    let a = directory(0);
    let waiting = |now_ms: u64| Input::Waiting {
        now_ns: now_ms * MS,
        waiters: vec![WaitingNow {
            cpu: Some(0),
            lock_addr: a.d_lock,
            start_ns: 1_012 * MS,
            pid: 10,
            tid: 10,
            comm: Some(b"waiter-10".to_vec()),
        }],
    };
    let running = WalkRecord {
        end_ns: 0,
        ..walk(a, 42, 3, 1_000, 0)
    };
    let inputs = vec![
        waiting(1_100),
        Input::Running {
            now_ns: 1_100 * MS,
            record: crate::event::tests::bytes(&running),
        },
        log(
            27_010,
            "watchdog: BUG: soft lockup - CPU#3 stuck for 26s! [systemd:42]",
        ),
        log(27_011, "Modules linked in: virtio_net"),
        log(28_000, "rcu: INFO: rcu_preempt self-detected stall on CPU"),
        input(&walk(a, 42, 3, 1_000, 30_000)),
        input(&wait(a.d_lock, 10, 0, 1_012, 30_000)),
        tick(30_060),
        end(31_000),
    ];
    case(session(), inputs)
}

/// Records lost, a waiter that never ended, a slow system call without a walk.
fn lost() -> Case {
    let a = directory(0);
    let inputs = vec![
        input(&walk(a, 42, 3, 1_000, 1_090)),
        Input::Waiting {
            now_ns: 1_050 * MS,
            waiters: vec![WaitingNow {
                cpu: Some(0),
                lock_addr: a.d_lock,
                start_ns: 1_012 * MS,
                pid: 10,
                tid: 10,
                comm: None,
            }],
        },
        Input::Tick {
            now_ns: 1_180 * MS,
            lost_count: 7,
        },
        Input::Record(vec![1, 2, 3]),
        input(&syscall(60, 1_200, 1_230)),
        Input::End(Counts {
            end_ns: 2_000 * MS,
            walks_count: 1,
            ring_full_count: 6,
            waits_untold_count: 3,
            ..Counts::default()
        }),
    ];
    case(session(), inputs)
}

fn printed((session, inputs): &Case, format: Format, is_coloured: bool) -> String {
    let mut output = Vec::new();
    let mut printer = Printer::start(&mut output, format, session)
        .expect("printed")
        .coloured(is_coloured);
    let mut pipeline = Pipeline::new(session.clone());
    for input in inputs {
        for finding in pipeline.feed(input) {
            printer.print(&finding).expect("printed");
        }
    }
    drop(printer);
    String::from_utf8(output).expect("text")
}

/// More incidents than are told, in a minute with a bad end.
fn storm() -> Case {
    let mut session = session();
    session.start_ns = 0;
    session.limits = Some(Limits {
        per_directory: 1,
        per_host: 2,
    });
    let mut inputs = Vec::new();
    for number in 0..4 {
        let start_ms = 1_000 + number * 200;
        inputs.push(input(&walk(
            directory(0),
            42,
            3,
            start_ms,
            start_ms + 60 + number,
        )));
        inputs.push(tick(start_ms + 180));
    }
    for number in 0..3 {
        inputs.push(input(&syscall(
            60,
            2_000 + number * 50,
            2_030 + number * 50,
        )));
    }
    inputs.extend([tick(61_000), end(62_000)]);
    case(session, inputs)
}

/// Probes that go for a while, and an incident meanwhile.
fn budget() -> Case {
    let event = |at_ms: u64, change, group| BudgetEvent {
        at_ns: at_ms * MS,
        change,
        group,
        cpu_ppm: 123_456,
        group_ppm: 100_000,
        own_ppm: 3_000,
        budget_ppm: 10_000,
        pause_ns: 60_000 * MS,
        away_ns: 61_000 * MS,
        reason: None,
    };
    let told = |event| Input::Budget(Box::new(event));
    let producers = Some(Group::Producers);
    let inputs = vec![
        told(event(1_000, budget::Change::Detached, producers)),
        told(event(1_100, budget::Change::Detached, Some(Group::Waits))),
        told(event(1_200, budget::Change::Exceeded, None)),
        input(&walk(directory(0), 42, 3, 2_000, 2_100)),
        tick(2_200),
        told(BudgetEvent {
            reason: Some("wait_native_fentry: \u{1b}[2J busy".to_owned()),
            ..event(61_100, budget::Change::Refused, Some(Group::Waits))
        }),
        told(event(62_000, budget::Change::Attached, producers)),
        told(BudgetEvent {
            reason: Some("it takes CAP_SYS_ADMIN".to_owned()),
            ..event(63_000, budget::Change::Unmeasured, None)
        }),
        end(64_000),
    ];
    case(session(), inputs)
}

fn cases() -> [(&'static str, Case); 10] {
    [
        ("origin", origin()),
        ("contention", contention()),
        ("stalls", stalls()),
        ("two-walks", two_walks()),
        ("walker-waits", walker_waits()),
        ("sleeping-waiters", sleeping_waiters()),
        ("soft-lockup", soft_lockup()),
        ("lost", lost()),
        ("storm", storm()),
        ("budget", budget()),
    ]
}

#[test]
fn text_reads_as_it_should() {
    for (name, case) in cases() {
        insta::assert_snapshot!(format!("text_{name}"), printed(&case, Format::Text, false));
    }
}

#[test]
fn json_has_what_was_promised() {
    for (name, case) in cases() {
        // The facts are the same in all of them.
        let lines: Vec<serde_json::Value> = printed(&case, Format::Json, false)
            .lines()
            .skip(1)
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        insta::assert_json_snapshot!(format!("json_{name}"), lines);
    }
}

#[test]
fn colour_changes_nothing_but_the_colour() {
    for (name, case) in cases() {
        let coloured = printed(&case, Format::Text, true);
        assert!(coloured.contains("\x1b[1m"), "{name}");
        let stripped = anstream::adapter::strip_str(&coloured).to_string();
        assert_eq!(stripped, printed(&case, Format::Text, false), "{name}");
        assert!(!printed(&case, Format::Json, true).contains('\x1b'));
    }
}

/// Everything as long, as much and as nasty as it can be.
fn hostile(character: &str) -> Case {
    let a = directory(0);
    let fill = |bytes: usize| character.repeat(bytes / character.len());
    let mut path = Vec::new();
    for _ in 0..4 {
        let name = fill(250);
        path.push(u8::try_from(name.len()).expect("short"));
        path.extend_from_slice(name.as_bytes());
    }
    let mut session = session();
    session.facts.host = fill(60);
    for lost in 0..20 {
        let probe = &mut session.attached.probes[0];
        probe.lost.push(format!("{lost} {}", fill(200)));
    }
    let mut inputs = vec![symbols()];
    for number in 0..20 {
        let long = format!(
            "watchdog: BUG: soft lockup - CPU#3 stuck for 26s! [{}:{number}]",
            fill(600)
        );
        inputs.push(log(1_100, &long));
    }
    for tid in 100..200 {
        inputs.push(input(&WaitRecord {
            comm: padded::<COMM_BYTES>(fill(15).as_bytes()),
            stack_bytes: 192,
            stack: [0x40; STACK_DEPTH],
            ..wait(a.d_lock, tid, tid, 1_001, 1_100 + u64::from(tid))
        }));
        inputs.push(input(&stall(
            tid,
            u32::MAX,
            u32::MAX,
            (1_001, 1_100),
            (1_001, 1_300),
        )));
    }
    inputs.push(input(&SyscallRecord {
        mask: u64::MAX,
        comm: padded(fill(15).as_bytes()),
        path_bytes: 255,
        path: padded(fill(254).as_bytes()),
        ..syscall(u32::MAX, 999, 90_001)
    }));
    inputs.push(input(&WalkRecord {
        comm: padded::<COMM_BYTES>(fill(15).as_bytes()),
        fstype: padded::<FSTYPE_BYTES>(fill(15).as_bytes()),
        path_len: u16::try_from(path.len()).expect("short"),
        path: padded::<PATH_BYTES>(&path),
        ino: u64::MAX,
        dev: u32::MAX,
        ..walk(a, u32::MAX, u32::MAX, 1_000, 90_000)
    }));
    let mut hostile = producer(Some(1), fill(15).as_bytes(), (u64::MAX, 1), &[]);
    hostile.template = Some(fill(300));
    hostile.identity.container = Some(fill(64));
    inputs.push(Input::Children(Box::new(Children {
        dev: DEV,
        ino: a.ino,
        census: Some(Census {
            children_count: u64::MAX,
            negative_count: 1,
            ..Census::default()
        }),
        origin: Some(producers::Directory {
            producers: vec![hostile; 20],
            ..producers::Directory::default()
        }),
        degraded: vec![fill(200)],
    })));
    inputs.push(Input::Tick {
        now_ns: 100_000 * MS,
        lost_count: u64::MAX,
    });
    case(session, inputs)
}

fn findings((session, inputs): Case) -> (Session, Vec<Finding>) {
    let mut pipeline = Pipeline::new(session.clone());
    let found = inputs.iter().flat_map(|input| pipeline.feed(input));
    let found = found.collect();
    (session, found)
}

/// Everything that is rendered here, the nasty ones too.
pub fn all_cases() -> Vec<(Session, Vec<Finding>)> {
    let nasty = ["a", "\x1b", "\\", "\u{202e}", "<b>"].map(hostile);
    let cases = cases().into_iter().map(|(_, case)| case);
    cases.chain(nasty).map(findings).collect()
}

/// Incidents as lines, with names that want to be markup.
pub fn incidents_of_hostile_names() -> Vec<String> {
    let names = [
        "<script>",
        "\"'><script>",
        "</pre><script>",
        "<!--<script>",
        "&lt;<script>",
        "'onload=<script>",
        "\x1b<script>",
    ];
    let is_incident = |line: &&str| line.contains(r#""type":"incident""#);
    names
        .map(|name| printed(&hostile(name), Format::Json, false))
        .iter()
        .map(|lines| {
            format!(
                "{}\n",
                lines.lines().find(is_incident).expect("an incident")
            )
        })
        .collect()
}

#[test]
fn a_block_fits_a_terminal_whatever_is_in_it() {
    for character in ["a", "\x1b", "é", "漢", " ", "\u{202e}"] {
        let (session, inputs) = hostile(character);
        let mut pipeline = Pipeline::new(session.clone());
        let incident = inputs
            .iter()
            .flat_map(|input| pipeline.feed(input))
            .find(|finding| matches!(finding, Finding::Incident(_)))
            .expect("an incident");
        let mut block = Vec::new();
        super::text::finding(&mut block, &session, &incident, false).expect("printed");
        let block = String::from_utf8(block).expect("text");
        let lines = block.lines().count();
        assert!((15..40).contains(&lines), "{lines} lines:\n{block}");
        for line in block.lines() {
            let columns = super::layout::columns(line);
            assert!(columns <= super::layout::WIDTH, "{columns}: {line}");
            assert!(!line.chars().any(char::is_control), "{line:?}");
            assert_eq!(line, line.trim_end());
        }
    }
}

#[test]
fn long_lists_are_cut_in_json_and_say_so() {
    let lines = printed(&hostile("\x1b"), Format::Json, false);
    let incident: serde_json::Value = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .find(|line: &serde_json::Value| line["type"] == "incident")
        .expect("an incident");
    assert_eq!(incident["waiters"].as_array().map(Vec::len), Some(64));
    assert_eq!(incident["waiters_omitted_count"], 36);
    assert_eq!(incident["stalls"].as_array().map(Vec::len), Some(64));
    assert_eq!(incident["stalls_omitted_count"], 36);
    assert_eq!(incident["impact"]["waits_count"], 100);
    assert_eq!(incident["impact"]["tasks_stalled_count"], 100);
}

#[test]
fn other_thresholds_are_a_line_in_both() {
    let change = Input::Thresholds(ThresholdsChange {
        at_ns: 1_000 * MS,
        walk_threshold_ns: 20 * MS,
        incident_threshold_ns: 30 * MS,
        wait_threshold_ns: 2 * MS,
        stall_threshold_ns: 4 * MS,
    });
    let case = (session(), vec![change]);
    let text = printed(&case, Format::Text, false);
    assert_eq!(
        text.lines().nth(1),
        Some(
            "1970-01-01T00:00:01.000Z  from now on walks of 20.0 ms and more are reported, \
             incidents from 30.0 ms on; waits from 2.00 ms, stalls from 4.00 ms"
        )
    );
    let json = printed(&case, Format::Json, false);
    assert_eq!(
        json.lines().nth(1),
        Some(
            "{\"schema\":\"fslockup/1\",\"type\":\"thresholds\",\"at\":\"1970-01-01T00:00:01.000Z\",\
             \"walk_threshold_ns\":20000000,\"incident_threshold_ns\":30000000,\
             \"wait_threshold_ns\":2000000,\"stall_threshold_ns\":4000000}"
        )
    );
}
