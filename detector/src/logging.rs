//! What reaches stderr through the `log` crate: our own messages, and a library's where they are asked for.

use env_logger::Builder;
use log::LevelFilter;

/// Messages of these crates up to this level. A library's are about things that no user of ours has heard
/// of; who wants them sets `RUST_LOG` (env_logger's syntax), which then decides alone.
#[must_use]
pub fn builder(own: &[&str], level: LevelFilter) -> Builder {
    filtered(own, level, std::env::var("RUST_LOG").ok().as_deref())
}

fn filtered(own: &[&str], level: LevelFilter, asked: Option<&str>) -> Builder {
    let mut builder = Builder::new();
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
