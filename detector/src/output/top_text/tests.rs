//! The danger list in text and JSON, with names that mean harm and terminals of any size.

use fslockup_ebpf::change;

use super::*;
use crate::{
    directories::{
        danger::{WatchKind, Watcher},
        list::{Snapshot, SortKey, Top, tests::danger},
    },
    facts::DentryState,
    output::write_top,
    producers::{Changes, Identity},
};

fn watcher(comm: &[u8], pid: u32, mask: u64) -> Watcher {
    Watcher {
        pid,
        comm: comm.to_vec(),
        through: WatchKind::Inotify,
        mask,
    }
}

fn producer(comm: &[u8], pid: Option<u32>, made: u64) -> Producer {
    let mut counts = [0; change::LEN];
    counts[change::MADE_NEGATIVE as usize] = made;
    counts[change::REMOVED_NEGATIVE as usize] = made / 4;
    Producer {
        pid,
        processes_count: pid.map_or(1_000, |_| 1),
        identity: Identity {
            comm: comm.to_vec(),
            exe: Some(b"/usr/bin/agent".to_vec()),
            cgroup: Some(b"/system.slice/agent.service".to_vec()),
            unit: Some("agent.service".to_owned()),
            container: None,
        },
        has_exited: pid.is_none(),
        changes: Changes { counts },
        first_ns: 1,
        last_ns: 2,
        template: Some("null<16 hex>".to_owned()),
        samples: vec![b"null0123456789abcdef".to_vec()],
    }
}

/// A few directories as they may be.
fn ordinary() -> Snapshot {
    let mut spool = danger(11, 28_700_000, Some(28_699_999), 0);
    spool.path = Some(b"/var/spool".to_vec());
    spool.producers = vec![
        producer(b"agent", Some(42), 28_000_000),
        producer(b"sh", None, 700_000),
    ];
    let mut long = danger(12, 200_000, Some(1_000), 0);
    long.path =
        Some(b"/var/lib/containers/storage/overlay/0123456789abcdef0123/merged/data".to_vec());
    long.watchers = vec![watcher(b"systemd", 1, 0x100), watcher(b"auditor", 900, 0x2)];
    long.producers = (0..5)
        .map(|pid| producer(b"worker", Some(100 + pid), 10_000))
        .collect();
    let mut unseen = danger(13, 50, None, 0);
    unseen.path = None;
    unseen.watchers = vec![watcher(b"systemd", 1, 0x100)];
    unseen.producers = Vec::new();
    let mut snapshot = Snapshot {
        at_ns: 3_000_000_000,
        realtime_ns: 1_795_000_000_000_000_000,
        dangers: vec![spool, long, unseen],
        ..Snapshot::default()
    };
    snapshot.totals.lost_count = 7;
    snapshot.totals.dropped.counts[change::MADE_NEGATIVE as usize] = 1_234;
    snapshot.totals.uncounted.counts[change::FILLED as usize] = 5;
    snapshot.totals.dentry_state = Some(DentryState {
        dentries_count: 30_000_000,
        unused_count: 29_000_000,
        negative_count: 28_800_000,
    });
    snapshot
}

/// Everything as long, as large and as nasty as it can be.
fn hostile(character: &str) -> Snapshot {
    let fill = |bytes: usize| character.repeat(bytes / character.len()).into_bytes();
    let mut worst = danger(u64::MAX, u64::MAX, Some(u64::MAX), 0);
    worst.dev = u32::MAX;
    worst.predicted_ns = u64::MAX;
    worst.path = Some(fill(4_000));
    worst.fstype = fill(15);
    worst.watchers = (0..100)
        .map(|_| watcher(&fill(15), u32::MAX, u64::MAX))
        .collect();
    let mut nasty = producer(&fill(15), Some(u32::MAX), u64::MAX);
    nasty.identity.container = String::from_utf8(fill(300)).ok();
    nasty.identity.exe = Some(fill(300));
    nasty.template = String::from_utf8(fill(300)).ok();
    nasty.samples = vec![fill(255), b"\xff\n\x1b[2J".to_vec()];
    nasty.changes.counts = [u64::MAX; change::LEN];
    worst.producers = vec![nasty; 100];
    let mut snapshot = ordinary();
    snapshot.dangers = (0..100)
        .map(|ino| {
            let mut danger = worst.clone();
            danger.ino -= ino;
            danger
        })
        .collect();
    snapshot.totals.dropped.counts = [u64::MAX; change::LEN];
    snapshot.totals.uncounted.counts = [u64::MAX; change::LEN];
    snapshot.totals.lost_count = u64::MAX;
    snapshot.totals.dentry_state = Some(DentryState {
        dentries_count: i64::MAX,
        unused_count: i64::MIN,
        negative_count: i64::MAX,
    });
    snapshot
}

fn top_of(snapshot: Snapshot) -> Top {
    let mut top = Top::default();
    let mut before = snapshot.clone();
    before.at_ns -= 2_000_000_000;
    before.dangers.clear();
    top.update(before);
    top.update(snapshot);
    top
}

fn text(snapshot: Snapshot, screen: Screen) -> String {
    let top = top_of(snapshot);
    top_lines(&top.view(SortKey::Predicted, 20), &screen, false).join("\n")
}

fn json(snapshot: Snapshot) -> Vec<serde_json::Value> {
    let top = top_of(snapshot);
    let mut output = Vec::new();
    write_top(
        &mut output,
        &top.view(SortKey::Children, 20),
        "host",
        "6.1.0",
    )
    .expect("written");
    String::from_utf8(output)
        .expect("text")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

#[test]
fn the_table_reads_as_it_should() {
    let screen = |columns, lines| Screen { columns, lines };
    let cases = [
        ("plain", screen(100, None)),
        ("live", screen(100, Some(12))),
        ("narrow", screen(60, None)),
        ("very_narrow", screen(38, None)),
    ];
    for (name, screen) in cases {
        insta::assert_snapshot!(format!("top_{name}"), text(ordinary(), screen));
    }
    let empty = Snapshot {
        dangers: Vec::new(),
        ..Snapshot::default()
    };
    let top = {
        let mut top = Top::default();
        top.update(empty);
        top
    };
    let lines = top_lines(&top.view(SortKey::Created, 20), &Screen::default(), false);
    insta::assert_snapshot!("top_nothing", lines.join("\n"));
}

#[test]
fn the_lines_for_programs_have_what_was_promised() {
    insta::assert_json_snapshot!("top_json", json(ordinary()));
}

#[test]
fn it_fits_any_terminal_whatever_is_in_it() {
    for character in ["a", "\x1b", "é", "漢", " ", "\u{202e}", "\n"] {
        let top = top_of(hostile(character));
        let view = top.view(SortKey::Children, 20);
        for columns_max in (1..130).step_by(3).chain([usize::MAX]) {
            for lines_max in [None, Some(0), Some(1), Some(5), Some(24), Some(usize::MAX)] {
                let screen = Screen {
                    columns: columns_max,
                    lines: lines_max,
                };
                let lines = top_lines(&view, &screen, false);
                assert!(lines.len() <= lines_max.unwrap_or(usize::MAX));
                for line in &lines {
                    // Below that, not even the mark of a cut fits.
                    let most = columns_max.clamp(5, WIDTH);
                    assert!(columns(line) <= most, "{columns_max}: {line}");
                    assert!(!line.chars().any(char::is_control), "{line:?}");
                    assert!(!line.contains('\u{202e}'), "{line:?}");
                }
            }
        }
        let lines = json(hostile(character));
        assert_eq!(lines.len(), 21);
        assert_eq!(lines[0]["producers_omitted_count"], 36);
        assert_eq!(lines[0]["watchers_omitted_count"], 36);
        assert_eq!(lines[20]["directories_omitted_count"], 80);
    }
}

#[test]
fn colour_changes_nothing_but_the_colour() {
    let top = top_of(ordinary());
    let view = top.view(SortKey::Predicted, 20);
    let lines = |is_coloured| top_lines(&view, &Screen::default(), is_coloured).join("\n");
    let coloured = lines(true);
    assert!(coloured.contains("\x1b[31m"), "{coloured:?}");
    assert_eq!(
        anstream::adapter::strip_str(&coloured).to_string(),
        lines(false)
    );
}
