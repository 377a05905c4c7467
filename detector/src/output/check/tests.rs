use super::*;
use crate::{
    directories::{
        danger::Danger,
        list::{Snapshot, tests::danger},
    },
    facts::{
        sysctls::{DENTRY_NEGATIVE, INOTIFY_MAX_USER_WATCHES, VFS_CACHE_PRESSURE},
        tests::facts_with,
    },
    probes::{WALKER_FIXED, WALKER_UNFIXED},
};

/// One more than is shown, the first with a name that means harm.
fn dangers() -> Vec<Danger> {
    let mut dangers: Vec<_> = (1..=6)
        .map(|ino| danger(ino, ino * 4_000_000, Some(ino * 3_999_999), 0))
        .collect();
    dangers[5].path = Some(b"/srv/\x1b[2J\nexposure".to_vec());
    dangers
}

fn report(walker: &str) -> CheckReport {
    let answer = |name: &str| Answer::of(name == walker);
    let functions = [WALKER_FIXED, WALKER_UNFIXED]
        .map(|name| (name, answer(name), answer(name), [].as_slice()));
    let mut facts = facts_with(&functions);
    facts.sysctls = [
        (DENTRY_NEGATIVE, Sysctl::Absent),
        (VFS_CACHE_PRESSURE, Sysctl::Value(50)),
        (
            INOTIFY_MAX_USER_WATCHES,
            Sysctl::Unknown("Permission\x1b denied".to_owned()),
        ),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    let state = DentryState {
        dentries_count: 210_712,
        unused_count: 200_016,
        negative_count: 200_002,
    };
    let dangers = Dangers::new(Ok(Snapshot {
        dangers: dangers(),
        ..Snapshot::default()
    }));
    CheckReport::new(facts, None, Err("refused".to_owned()), Some(state), dangers)
}

fn printed(report: &CheckReport, format: Format) -> String {
    let mut output = Vec::new();
    report.print(&mut output, format).expect("printed");
    String::from_utf8(output).expect("text")
}

#[test]
fn the_exposure_reads_as_it_should() {
    for (name, walker) in [("fixed", WALKER_FIXED), ("unfixed", WALKER_UNFIXED)] {
        let text = printed(&report(walker), Format::Text);
        assert!(text.lines().all(|line| line.len() <= 100), "{text}");
        assert!(!text.contains('\x1b'));
        let (_, exposure) = text.split_once("exposure ").expect("the exposure");
        insta::assert_snapshot!(format!("check_exposure_{name}"), exposure);
    }
}

#[test]
fn programs_get_the_settings_too() {
    let line = printed(&report(WALKER_FIXED), Format::Json);
    let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(line["settings"][1]["name"], VFS_CACHE_PRESSURE);
    assert_eq!(line["settings"][1]["value"]["value"], 50);
    assert_eq!(line["settings"][0]["value"], "absent");
    assert_eq!(line["sysctls"][DENTRY_NEGATIVE], "absent");
    assert_eq!(line["has_memory_reclaim"], "yes");
    assert_eq!(line["dentry_state"]["negative_count"], 200_002);
}

#[test]
fn directories_to_be_afraid_of_are_escaped_and_few() {
    let line = printed(&report(WALKER_FIXED), Format::Json);
    let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    let dangers = line["dangers"].as_array().expect("a list");
    assert_eq!(dangers.len(), 5);
    assert_eq!(dangers[0]["path"], "/srv/\\x1b[2J\\x0aexposure");
    assert_eq!(dangers[0]["children_count"], 24_000_000);
    assert_eq!(line["dangers_unknown"], serde_json::Value::Null);
}

#[test]
fn nothing_to_be_afraid_of_is_not_the_same_as_not_known() {
    for read in [
        Ok(Snapshot::default()),
        Err("refused\x1b by the kernel".to_owned()),
    ] {
        let is_known = read.is_ok();
        let mut report = report(WALKER_FIXED);
        report.dangers = Dangers::new(read);
        let text = printed(&report, Format::Text);
        assert!(!text.contains('\x1b'));
        let expected = if is_known {
            "danger      none: no directory that was looked at has 1000 children in the cache\n"
        } else {
            "danger      could not tell (refused\\x1b by the kernel)\n"
        };
        assert!(text.contains(expected), "{text}");
        let line: serde_json::Value =
            serde_json::from_str(&printed(&report, Format::Json)).expect("JSON");
        assert_eq!(line["dangers"].is_array(), is_known);
        assert_eq!(line["dangers_unknown"].is_null(), is_known);
    }
}
