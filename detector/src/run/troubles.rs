//! What goes wrong while the detector runs, and is over again perhaps: memory that the kernel has not got at the moment, a
//! file that can't be read. No such error ends a service that is there for the one freeze of the year.

use std::{collections::HashMap, fmt::Display};

use crate::logging;

/// Between two words about the same thing.
const SAY_PERIOD_NS: u64 = 60_000_000_000;

/// What has gone wrong.
#[derive(Debug, Default)]
pub struct Troubles(HashMap<&'static str, Trouble>);

#[derive(Debug, Default)]
struct Trouble {
    said_ns: Option<u64>,
    unsaid_count: u64,
}

impl Troubles {
    /// The value, or none after a word on stderr about why.
    pub fn outlive<T, E: Display>(
        &mut self,
        what: &'static str,
        outcome: Result<T, E>,
        now_ns: u64,
    ) -> Option<T> {
        let error = match outcome {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        if let Some(line) = self.say(what, &error, now_ns) {
            logging::complain(logging::PROGRAM, line);
        }
        None
    }

    /// What is to be said of it now.
    fn say(&mut self, what: &'static str, error: &impl Display, now_ns: u64) -> Option<String> {
        let trouble = self.0.entry(what).or_default();
        let is_recent = trouble
            .said_ns
            .is_some_and(|said_ns| now_ns.saturating_sub(said_ns) < SAY_PERIOD_NS);
        if is_recent {
            trouble.unsaid_count += 1;
            return None;
        }
        trouble.said_ns = Some(now_ns);
        let before = match std::mem::take(&mut trouble.unsaid_count) {
            0 => String::new(),
            count => format!(" (and {count} times before)"),
        };
        Some(format!("{what}: {error}; it is tried again{before}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_trouble_is_told_once_a_minute_with_a_count() {
        let mut troubles = Troubles::default();
        let mut say = |what, now_s: u64| troubles.say(what, &"no memory", now_s * 1_000_000_000);
        let first = say("counters", 1);
        assert_eq!(
            first.as_deref(),
            Some("counters: no memory; it is tried again")
        );
        assert_eq!(say("counters", 2), None);
        assert_eq!(say("counters", 60), None);
        // Another one has its own minute.
        assert!(say("clocks", 3).is_some());
        let later = say("counters", 61);
        assert_eq!(
            later.as_deref(),
            Some("counters: no memory; it is tried again (and 2 times before)")
        );
        assert_eq!(
            say("counters", 200).as_deref(),
            Some("counters: no memory; it is tried again")
        );
    }

    #[test]
    fn what_went_well_is_passed_on() {
        let outcome: Result<u32, &str> = Ok(7);
        assert_eq!(Troubles::default().outlive("counters", outcome, 1), Some(7));
    }
}
