//! What reaches stderr: complaints, and what comes through the `log` crate, a library's own only where it is asked for.
//!
//! All of it may quote what somebody else chose: a file's content in a parser's message, a name, an argument.

use std::{fmt::Display, io::Write as _};

use env_logger::Builder;
use log::LevelFilter;

use crate::escape::escape_rest;

/// What complains, where it is the detector.
pub const PROGRAM: &str = "fslockup";

/// A complaint is one line for people; a parser may quote a whole file in it.
const COMPLAINT_CHARS_MAX: usize = 1_000;

/// Tells of something that went wrong, in one line on stderr.
pub fn complain(program: &str, what: impl Display) {
    eprintln!("{program}: {}", complaint(&what.to_string()));
}

/// The line: nothing in it moves a cursor, and there is an end to it.
#[must_use]
pub fn complaint(what: &str) -> String {
    let text = escape_rest(what);
    let Some((end, _)) = text.char_indices().nth(COMPLAINT_CHARS_MAX) else {
        return text;
    };
    let more_count = text[end..].chars().count();
    format!("{}... ({more_count} characters more)", &text[..end])
}

/// Messages of these crates up to this level. A library's are about things that no user of ours has heard
/// of; who wants them sets `RUST_LOG` (env_logger's syntax), which then decides alone.
#[must_use]
pub fn builder(own: &[&str], level: LevelFilter) -> Builder {
    filtered(own, level, std::env::var("RUST_LOG").ok().as_deref())
}

fn filtered(own: &[&str], level: LevelFilter, asked: Option<&str>) -> Builder {
    let mut builder = Builder::new();
    builder.format(|to, record| {
        // What the verifier said has many lines.
        let text = record.args().to_string();
        let lines: Vec<_> = text.trim_end().lines().map(escape_rest).collect();
        let text = lines.join("\n    ");
        writeln!(to, "[{} {}] {text}", record.level(), record.target())
    });
    match asked {
        Some(asked) if !asked.is_empty() => {
            builder.parse_filters(asked);
        }
        _ => {
            for name in own {
                builder.filter_module(name, level);
            }
        }
    }
    builder
}

#[cfg(test)]
mod tests {
    use log::{Level, Log as _, Metadata};

    use super::*;

    #[test]
    fn a_complaint_is_one_line_that_ends_and_moves_no_cursor() {
        assert_eq!(
            complaint("x.toml:2: unknown key 'a\\b'"),
            "x.toml:2: unknown key 'a\\b'"
        );
        let hostile = format!("unknown variant `\x1b]0;owned\x07\n{}`", "A".repeat(5_000));
        let line = complaint(&hostile);
        assert!(
            line.starts_with(r"unknown variant `\x1b]0;owned\x07\x0aAAA"),
            "{line}"
        );
        assert!(line.ends_with("A... (4038 characters more)"), "{line}");
        assert!(!line.contains(char::is_control));
    }

    const LIBRARIES: [&str; 5] = ["aya::util", "aya_obj::btf", "hyper", "rpm", ""];

    fn is_printed(asked: Option<&str>, target: &str, level: Level) -> bool {
        let logger = filtered(&["fslockup", "vmtest"], LevelFilter::Info, asked).build();
        logger.enabled(&Metadata::builder().target(target).level(level).build())
    }

    #[test]
    fn libraries_are_silent_unasked_and_we_are_not() {
        for asked in [None, Some("")] {
            for level in [Level::Error, Level::Warn, Level::Info] {
                for own in ["fslockup", "fslockup::attach::reasons", "vmtest::vm"] {
                    assert!(is_printed(asked, own, level), "{own} {level}");
                }
                for library in LIBRARIES {
                    assert!(!is_printed(asked, library, level), "{library} {level}");
                }
            }
            assert!(!is_printed(asked, "fslockup::attach", Level::Debug));
        }
    }

    #[test]
    fn the_variable_asks_for_libraries_too() {
        for library in LIBRARIES {
            assert!(is_printed(Some("warn"), library, Level::Warn), "{library}");
        }
        assert!(is_printed(Some("aya=debug"), "aya::bpf", Level::Debug));
        assert!(!is_printed(Some("aya=debug"), "fslockup", Level::Warn));
    }
}
