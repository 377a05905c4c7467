use std::{io::Write as _, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

use super::*;

fn mistake(text: impl AsRef<[u8]>) -> (usize, String) {
    let mistake = Config::from_bytes(text.as_ref()).expect_err("wrong");
    assert!(!mistake.reason.is_empty());
    assert!(!mistake.reason.contains(char::is_control), "{mistake:?}");
    (mistake.line, mistake.reason)
}

/// A file for the length of a test.
fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    file
}

fn run(text: &str, options: &[&str]) -> RunArgs {
    let file = file(text);
    let mut words: Vec<OsString> = ["fslockup", "run", "--config"].map(Into::into).to_vec();
    words.push(file.path().into());
    words.extend(options.iter().map(Into::into));
    match parse(words).map(|cli| cli.command) {
        Ok(Command::Run(args)) => *args,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_visible_option_of_run_is_a_key() {
    let command = run_command();
    let keys: Vec<_> = keys(&command).filter_map(Arg::get_long).collect();
    let mut whole = Cli::command();
    whole.build();
    let run = whole.find_subcommand("run").expect("run");
    for arg in run.get_arguments() {
        let Some(long) = arg.get_long() else { continue };
        // Help and verbosity are the command line's own.
        let is_about_itself = ["help", "version", "verbose"].contains(&long);
        let is_key = !arg.is_hide_set() && !is_about_itself && !NOT_KEYS.contains(&long);
        assert_eq!(keys.contains(&long), is_key, "{long}");
    }
    assert!(RELOADED.iter().all(|key| keys.contains(key)), "{keys:?}");
}

#[test]
fn the_file_is_the_default_and_the_command_line_wins() {
    let text = "# a comment\nwalk-threshold = \"20ms\"\nformat = \"json\"\n\"incident-threshold\" = '1s'\n";
    let args = run(text, &["--incident-threshold", "50ms"]);
    assert_eq!(args.walk_threshold, Duration::from_millis(20));
    assert_eq!(args.format, crate::output::Format::Json);
    // Also where it repeats the built-in default.
    assert_eq!(args.incident_threshold, Duration::from_millis(50));
    assert_eq!(args.wait_threshold, Duration::from_millis(1));
    assert!(args.file.file.is_some());
}

#[test]
fn an_empty_file_changes_nothing() {
    let args = run("\n# nothing\n", &[]);
    assert_eq!(args.walk_threshold, Duration::from_millis(10));
}

#[test]
fn mistakes_have_their_line() {
    let (line, reason) = mistake("walk-threshold = \"1ms\"\n\nwalk-treshold = \"1ms\"\n");
    assert_eq!(line, 3);
    assert!(reason.starts_with("unknown key 'walk-treshold' (known are "));
    assert!(reason.contains("stall-threshold"), "{reason}");
    for (text, line) in [
        ("walk-threshold = \"-1s\"", 1),
        ("\nwalk-threshold = \"10\"", 2),
        ("walk-threshold = 10", 1),
        ("walk-threshold = true", 1),
        ("walk-threshold = 1.5", 1),
        ("walk-threshold = 1979-05-27", 1),
        ("walk-threshold = [\"1s\", \"2s\"]", 1),
        ("walk-threshold = { a = 1 }", 1),
        ("[run]\nwalk-threshold = \"1ms\"", 1),
        ("format = \"xml\"", 1),
        ("format = \"--help\"", 1),
        ("format = \"\"", 1),
        ("walk-threshold = \"99999999999999y\"", 1),
        ("walk-threshold = \"1ms\"\nwalk-threshold = \"2ms\"", 2),
        ("walk-threshold = \"1ms", 1),
        ("walk-threshold", 1),
        ("walk-threshold.x = \"1ms\"", 1),
        ("poll-period = \"1ms\"", 1),
        ("config = \"/etc/other.toml\"", 1),
        ("record = 99999999999999999999", 1),
    ] {
        assert_eq!(mistake(text).0, line, "{text}: {}", mistake(text).1);
    }
}

#[test]
fn the_first_mistake_is_told_whatever_the_order_of_keys() {
    let (line, reason) = mistake("zzz = 1\nformat = \"json\"\naaa = 1\n");
    assert_eq!(line, 1, "{reason}");
}

#[test]
fn hostile_bytes_are_a_mistake_and_come_out_escaped() {
    assert_eq!(
        mistake(b"format = \"json\"\n\xff\n"),
        (2, "not UTF-8".into())
    );
    let (_, reason) = mistake("\"a\\u001b[2J\\nb\" = 1");
    assert!(reason.contains("\\x1b[2J"), "{reason}");
    let (_, reason) = mistake("format = \"x\\u001b[2J\\n\\n\\ny\"");
    assert!(!reason.contains('\u{1b}'), "{reason}");
    mistake("\0");
    mistake("format = \"a\0b\"");
}

#[test]
fn deep_nesting_is_a_mistake_and_no_overflow() {
    for (open, close) in [("[", "]"), ("{a=", "}")] {
        let depth = 100_000;
        mistake(format!(
            "record = {}1{}",
            open.repeat(depth),
            close.repeat(depth)
        ));
    }
    mistake(format!("{}=1", vec!["a"; 100_000].join(".")));
}

#[test]
fn random_damage_is_never_a_panic() {
    let whole = "walk-threshold = \"20ms\"\nformat = \"json\" # x\nrecord = '/tmp/ä'\n";
    let seed = 11;
    let mut random = SmallRng::seed_from_u64(seed);
    let mut wrong_count = 0;
    for _ in 0..5_000 {
        let mut bytes = whole.as_bytes().to_vec();
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..bytes.len());
            bytes[at] = random.random();
        }
        wrong_count += u32::from(Config::from_bytes(&bytes).is_err());
    }
    assert!(wrong_count > 1_000, "seed {seed}: {wrong_count}");
}

#[test]
fn files_that_are_none_are_refused_in_one_line() {
    let too_long = file(&"#".repeat((1 << 20) + 1));
    let dir = tempfile::tempdir().expect("a directory");
    let pipe = dir.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    for (path, says) in [
        (too_long.path(), "longer than 1 MiB"),
        (dir.path(), "not a regular file"),
        (&pipe, "not a regular file"),
        ("/dev/zero".as_ref(), "not a regular file"),
        ("/nowhere\n/x".as_ref(), "/nowhere\\x0a/x: No such file"),
    ] {
        let error = file::read(path).expect_err("refused").to_string();
        assert!(error.contains(says), "{error}");
        assert_eq!(error.lines().count(), 1);
    }
    assert!(file::read(file(&"#".repeat(1 << 20)).path()).is_ok());
}

#[test]
fn check_reads_the_file_too_and_says_where_it_is_wrong() {
    let file = file("format = 'json'\nx = 1\n");
    let path = file.path().display().to_string();
    for command in ["run", "check"] {
        let words = ["fslockup", command, "--config", &path].map(OsString::from);
        match parse(words) {
            Err(Failure::File(error)) => {
                let says = format!("{path}:2: unknown key 'x'");
                assert!(error.to_string().starts_with(&says), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
    let words = ["fslockup", "replay", &path].map(OsString::from);
    assert!(parse(words).is_ok(), "no other command reads one");
    let words = ["fslockup", "run", "--no-config", "--config", &path].map(OsString::from);
    assert!(matches!(parse(words), Err(Failure::CommandLine(_))));
}

#[test]
fn what_a_reload_can_not_take_over_is_named() {
    let config = |text: &str| Config::from_bytes(text.as_bytes()).expect("right");
    let before = config("walk-threshold = '1ms'\nformat = 'json'\nrecord = 'a'");
    let after = config("walk-threshold = '2ms'\nrecord = 'b'");
    assert_eq!(before.changes_for_restart(&after), ["format", "record"]);
    assert_eq!(after.changes_for_restart(&after), [""; 0]);
}
