use super::*;
use crate::directories::list::{Snapshot, tests::danger};

/// A second passes between readings, in which a hundred entries are made.
#[derive(Default)]
struct Growing {
    readings: u64,
    drains: u64,
    ends_after: Option<u64>,
}

impl Source for Growing {
    fn drain(&mut self) -> Result<(), CommandError> {
        self.drains += 1;
        Ok(())
    }

    fn read(&mut self) -> Result<Snapshot, CommandError> {
        if self.ends_after == Some(self.readings) {
            return Err(CommandError::io("counters")(io::Error::other("gone")));
        }
        self.readings += 1;
        Ok(Snapshot {
            at_ns: self.readings * 1_000_000_000,
            dangers: (0..3)
                .map(|ino| danger(ino, 1_000 + ino, None, self.readings * 100))
                .collect(),
            ..Snapshot::default()
        })
    }
}

fn args(options: &[&str]) -> TopArgs {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: TopArgs,
    }
    <Line as clap::Parser>::parse_from([&["top"], options].concat()).args
}

fn shown(options: &[&str], source: &mut Growing) -> (String, Result<(), CommandError>) {
    let args = args(options);
    let mut output = Vec::new();
    let display = Display {
        to: &mut output,
        format: args.format,
        terminal: None,
        is_coloured: false,
        has_blocks: false,
        host: "host".to_owned(),
        kernel: "6.1.0".to_owned(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let ended = runtime.block_on(async {
        let signals = Signals::catch().expect("signals");
        watch(&args, source, display, signals).await
    });
    (String::from_utf8(output).expect("text"), ended.map(|_| ()))
}

#[test]
fn once_is_one_list_after_one_period() {
    let mut source = Growing::default();
    let options = [
        "--once", "--format", "json", "--period", "1ms", "--limit", "2",
    ];
    let (output, ended) = shown(&options, &mut source);
    ended.expect("a clean end");
    let lines: Vec<serde_json::Value> = output
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(source.readings, 2);
    let types: Vec<_> = lines.iter().map(|line| line["type"].as_str()).collect();
    assert_eq!(types, [Some("danger"), Some("danger"), Some("summary")]);
    assert_eq!(lines[0]["path"], "/srv/2");
    assert_eq!(lines[0]["created_per_s"], 100);
    assert_eq!(lines[2]["directories_omitted_count"], 1);
}

#[test]
fn without_a_terminal_blocks_follow_each_other_until_the_time_is_up() {
    let mut source = Growing::default();
    let options = [
        "--period",
        "100ms",
        "--duration",
        "350ms",
        "--sort",
        "created",
    ];
    let (output, ended) = shown(&options, &mut source);
    ended.expect("a clean end");
    let blocks = output
        .matches("directories by entries made a second")
        .count();
    assert!(blocks >= 1, "{output}");
    assert_eq!(blocks as u64 + 1, source.readings);
    assert!(!output.contains('\x1b'));
    assert!(source.drains > 0);
}

#[test]
fn what_the_source_says_ends_the_run() {
    let mut source = Growing {
        ends_after: Some(2),
        ..Growing::default()
    };
    let (output, ended) = shown(&["--period", "1ms"], &mut source);
    assert_eq!(ended.expect_err("an error").to_string(), "counters: gone");
    assert!(output.contains("3 of 3 directories"));
}

#[test]
fn only_letters_by_themselves_are_wishes() {
    assert_eq!(Wish::of(b"c"), Some(Wish::Sort(SortKey::Children)));
    assert_eq!(Wish::of(b"cn"), Some(Wish::Sort(SortKey::Negative)));
    assert_eq!(Wish::of(b"q"), Some(Wish::Quit));
    assert_eq!(Wish::of(&[3]), Some(Wish::Quit));
    assert_eq!(Wish::of(b"xyz"), None);
    assert_eq!(Wish::of(b""), None);
    // Cursor keys, and a terminal that tells its position.
    assert_eq!(Wish::of(b"\x1b[A"), None);
    assert_eq!(Wish::of(b"\x1b[>0;276;0c"), None);
    assert_eq!(Wish::of(b"\x1bq\x1bOp\x1b[3"), None);
    assert_eq!(Wish::of(b"\x1b[A\x1bOBq\x1b"), Some(Wish::Quit));
}
