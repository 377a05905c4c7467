use crate::{
    evidence::{
        Ending, Ring, Store, files,
        history::{History, Keep, Now, RunEnd, tests::findings_of_a_run},
        line::{RunState, tests::run_body},
        reader,
        rotation::Limits,
    },
    testing::session,
};
use std::{io::BufReader, path::Path, time::Duration};

const LIMITS: Limits = Limits {
    total_bytes: 64 << 20,
    age_max: Duration::from_secs(90 * 24 * 60 * 60),
};

fn history(path: &Path) -> History {
    let mut history = History::new(Keep::Latest(10));
    for (name, file) in files(path).expect("files") {
        let from = BufReader::new(file.expect("opened"));
        reader::read(&mut history, &name, from).expect("read");
    }
    history.finish()
}

fn run(path: &Path, ending: Option<Ending>) {
    let store = Store::open(path, LIMITS).expect("made");
    let run = run_body(RunState::Started, "a");
    let mut ring = Ring::start(store, "state".to_owned(), run).expect("started");
    for finding in findings_of_a_run() {
        ring.note(&session(), &finding);
    }
    if let Some(ending) = ending {
        ring.end(ending);
    }
    assert_eq!(ring.lost_count(), 0);
}

#[test]
fn a_run_leaves_its_incidents_and_says_how_it_ended() {
    let dir = tempfile::tempdir().expect("a directory");
    run(dir.path(), Some(Ending::Stopped));
    run(dir.path(), None);
    let history = history(dir.path());
    assert!(history.unreadable.is_empty(), "{:?}", history.unreadable);
    assert_eq!(history.rows.len(), 4);
    let reasons: Vec<_> = history
        .ends(&Now::default())
        .map(|(run, end)| {
            assert_eq!(end, RunEnd::Ended);
            run.end.as_ref().and_then(|end| end.reason.clone())
        })
        .collect();
    assert_eq!(
        reasons,
        [Some("stopped".to_owned()), Some("failed".to_owned())]
    );
}

/// Of a walk that was never told while it ran, only the incident is worth a line.
#[test]
fn walks_leave_lines_only_where_they_were_told_while_they_ran() {
    let dir = tempfile::tempdir().expect("a directory");
    run(dir.path(), Some(Ending::Stopped));
    let text: String = files(dir.path())
        .expect("files")
        .map(|(_, file)| std::io::read_to_string(file.expect("opened")).expect("text"))
        .collect();
    let kinds: Vec<_> = text
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let word = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
            format!("{} {} {}", word("type"), word("state"), line["walk"]["tid"])
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "run started null",
            "walk running 42",
            "walk finished 42",
            "incident - 42",
            "walk running 43",
            "incident - 44",
            "run ended null"
        ]
    );
}
