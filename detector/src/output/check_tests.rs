use super::*;
use crate::{
    facts::{
        sysctls::{DENTRY_NEGATIVE, INOTIFY_MAX_USER_WATCHES, VFS_CACHE_PRESSURE},
        tests::facts_with,
    },
    probes::{WALKER_FIXED, WALKER_UNFIXED},
};

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
    CheckReport::new(facts, None, Err("refused".to_owned()), Some(state))
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
        insta::assert_snapshot!(format!("check exposure {name}"), exposure);
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
