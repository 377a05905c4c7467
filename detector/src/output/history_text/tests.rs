use std::fmt::Write as _;

use super::*;
use crate::evidence::{
    history::{Keep, tests::lines},
    line::{self, LossBody, RunState, tests::run_body},
    reader,
};

fn listed(bytes: &[u8], now: &Now) -> String {
    let mut history = History::new(Keep::Rows);
    reader::read(&mut history, "evidence-00000001.jsonl", bytes).expect("memory");
    let mut to = Vec::new();
    list(&mut to, &history.finish(), now).expect("memory");
    String::from_utf8(to).expect("text")
}

#[test]
fn a_directory_in_each_of_its_states() {
    let boot = |boot_id: &str| Now {
        is_in_use: false,
        boot_id: Some(boot_id.to_owned()),
    };
    let goodbye = line::run(&run_body(RunState::Ended, "a"));
    let run = lines("a");
    let loss = line::loss(&LossBody {
        at: String::new(),
        lost_count: 3,
    });
    let in_use = Now {
        is_in_use: true,
        ..boot("b")
    };
    let cases = [
        ("empty", Vec::new(), boot("a")),
        ("reset", run.concat(), boot("b")),
        ("killed", run[..2].concat(), boot("a")),
        ("unknown", run[..1].concat(), Now::default()),
        (
            "stopped",
            [&run[..4], &[goodbye]].concat().concat(),
            boot("a"),
        ),
        (
            "again",
            [run.concat(), lines("b")[..4].concat()].concat(),
            in_use,
        ),
        (
            "damaged",
            [run[..4].concat(), loss, b"{\"torn\n{".to_vec()].concat(),
            boot("a"),
        ),
    ];
    let mut text = String::new();
    for (name, bytes, now) in cases {
        let _ = writeln!(text, "== {name}\n{}", listed(&bytes, &now));
    }
    insta::assert_snapshot!(text);
}
