use fslockup_ebpf::WalkRecord;

use super::*;
use crate::{
    event::tests::bytes,
    evidence::{
        line::{self, LossBody, tests::run_body},
        reader,
    },
    model::{Finding, Input},
    schema,
    testing::{self, MS, S, directory, input, session, tick, walk},
};

fn running(record: WalkRecord, now_ms: u64) -> Input {
    Input::Running {
        now_ns: now_ms * MS,
        record: bytes(&WalkRecord {
            end_ns: 0,
            ..record
        }),
    }
}

/// A walk that is told running, its end, its incident; one that runs on; one that was never told before
/// it ended, and its incident.
pub fn findings_of_a_run() -> Vec<Finding> {
    let (a, b, c) = (directory(0), directory(1), directory(2));
    let inputs = [
        running(walk(a, 42, 3, 1_000, 1_750), 1_100),
        input(&walk(a, 42, 3, 1_000, 1_750)),
        tick(1_810),
        running(walk(b, 43, 1, 2_000, 9_000), 2_100),
        input(&walk(c, 44, 2, 3_000, 3_100)),
        tick(3_160),
    ];
    let found = testing::findings(&session(), &inputs);
    assert_eq!(found.len(), 6, "{found:?}");
    found
}

/// The lines of a run that ended suddenly with the walk of thread 43.
pub fn lines(boot_id: &str) -> Vec<Vec<u8>> {
    let mut lines = vec![line::run(&run_body(RunState::Started, boot_id))];
    for found in &findings_of_a_run()[..4] {
        let mut bytes = Vec::new();
        schema::line(&mut bytes, &schema::finding(&session(), found)).expect("written");
        lines.push(bytes);
    }
    lines
}

fn read(bytes: &[u8], keep: Keep) -> History {
    let mut history = History::new(keep);
    reader::read(&mut history, "file", bytes).expect("memory");
    history.finish()
}

fn ends(history: &History, now: &Now) -> Vec<RunEnd> {
    history.ends(now).map(|(_, end)| end).collect()
}

fn at_boot(boot_id: &str) -> Now {
    Now {
        is_in_use: false,
        boot_id: Some(boot_id.to_owned()),
    }
}

#[test]
fn a_run_without_a_goodbye_tells_the_walk_that_was_running() {
    let history = read(&lines("a").concat(), Keep::Rows);
    assert_eq!(history.rows.len(), 1);
    assert_eq!(history.runs.len(), 1);
    let running: Vec<_> = history.runs[0]
        .running
        .iter()
        .map(|walk| walk.walk.tid)
        .collect();
    assert_eq!(running, [43], "the other one has ended");
    assert_eq!(ends(&history, &at_boot("a")), [RunEnd::ProcessDied]);
    assert_eq!(ends(&history, &at_boot("b")), [RunEnd::HostWasReset]);
    assert_eq!(ends(&history, &Now::default()), [RunEnd::NoGoodbye]);
    let in_use = Now {
        is_in_use: true,
        ..at_boot("a")
    };
    assert_eq!(ends(&history, &in_use), [RunEnd::Running]);
}

#[test]
fn a_run_is_judged_by_the_one_after_it() {
    let goodbye = line::run(&run_body(RunState::Ended, "b"));
    let bytes = [
        lines("a").concat(),
        lines("a").concat(),
        lines("b").concat(),
        goodbye,
    ];
    let history = read(&bytes.concat(), Keep::Rows);
    assert_eq!(
        ends(&history, &at_boot("c")),
        [RunEnd::ProcessDied, RunEnd::HostWasReset, RunEnd::Ended]
    );
    assert_eq!(history.rows.len(), 3);
}

#[test]
fn a_later_file_goes_on_with_the_run() {
    let mut continued = run_body(RunState::Continued, "a");
    continued.started_at = Some("2026-01-01T00:00:00.000Z".to_owned());
    let header = line::run(&continued);
    let whole = [lines("a").concat(), header.clone()].concat();
    let history = read(&whole, Keep::Rows);
    assert_eq!(history.runs.len(), 1);
    assert_eq!(history.runs[0].running.len(), 1);
    // The files before are gone.
    let history = read(&header, Keep::Rows);
    assert_eq!(ends(&history, &at_boot("a")), [RunEnd::ProcessDied]);
}

#[test]
fn cut_at_any_byte_everything_before_is_there() {
    let lines = lines("a");
    let whole = lines.concat();
    for end in 0..=whole.len() {
        let history = read(&whole[..end], Keep::Rows);
        let mut start = 0;
        let complete = lines
            .iter()
            .take_while(|line| {
                start += line.len();
                start <= end
            })
            .count();
        assert_eq!(history.runs.len(), usize::from(complete > 0), "{end}");
        assert_eq!(history.rows.len(), usize::from(complete > 3), "{end}");
        let torn: u64 = history.unreadable.values().sum();
        let used: usize = lines[..complete].iter().map(Vec::len).sum();
        assert_eq!(torn, u64::from(used < end), "{end}");
    }
}

#[test]
fn a_torn_line_in_the_middle_takes_nothing_else_with_it() {
    let lines = lines("a");
    let torn = &lines[3][..lines[3].len() / 2];
    let bytes = [
        lines.concat(),
        torn.to_vec(),
        b"\n".to_vec(),
        lines.concat(),
    ];
    let history = read(&bytes.concat(), Keep::Rows);
    assert_eq!(history.rows.len(), 2);
    let expected = [(("file".to_owned(), Unreadable::Torn), 1)];
    assert_eq!(history.unreadable, BTreeMap::from(expected));
}

#[test]
fn incidents_are_kept_as_they_are_asked_for() {
    let three = [
        lines("a").concat(),
        lines("b").concat(),
        lines("c").concat(),
    ]
    .concat();
    assert_eq!(read(&three, Keep::Rows).incidents.len(), 0);
    assert_eq!(read(&three, Keep::Latest(0)).incidents.len(), 0);
    assert_eq!(read(&three, Keep::Latest(2)).incidents.len(), 2);
    let id = read(&three, Keep::Rows).rows[0].id.clone();
    assert_eq!(
        read(&three, Keep::Id(id[..4].to_owned())).incidents.len(),
        3
    );
    assert_eq!(read(&three, Keep::Id("none".to_owned())).incidents.len(), 0);
    let kept = read(&three, Keep::Id(id));
    assert_eq!(kept.incidents[0].1, lines("a")[3].trim_ascii_end());
}

#[test]
fn losses_add_up() {
    let loss = |lost_count| {
        line::loss(&LossBody {
            at: String::new(),
            lost_count,
        })
    };
    let bytes = [loss(3), loss(u64::MAX)].concat();
    assert_eq!(read(&bytes, Keep::Rows).lost_count, u64::MAX);
}

#[test]
fn walks_and_runs_are_bounded() {
    let line = String::from_utf8(lines("a")[4].clone()).expect("text");
    let mut history = History::new(Keep::Rows);
    history.line("file", &line::run(&run_body(RunState::Started, "a")));
    for number in 0..RUNNING_MAX + 10 {
        let start = format!("\"start_ns\":{}", 3 * S + number as u64);
        let other = line.replacen(&format!("\"start_ns\":{}", 2 * S), &start, 1);
        assert_ne!(other, line);
        history.line("file", other.as_bytes());
    }
    let history = history.finish();
    assert_eq!(history.runs[0].running.len(), RUNNING_MAX);
    let mut history = History::new(Keep::Rows);
    for number in 0..RUNS_MAX + 10 {
        let run = run_body(RunState::Started, &number.to_string());
        history.line("file", &line::run(&run));
    }
    assert_eq!(history.runs.len(), RUNS_MAX);
}
