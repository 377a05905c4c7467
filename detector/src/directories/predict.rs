//! How long a walk over a directory would take on this host.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A walk of this host whose directory was counted right after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Its length.
    pub walk_ns: u64,
    /// Children passed.
    pub children_count: u64,
    /// Those of them without an inode, which the walker steps over without taking their lock.
    pub negative_count: u64,
}

/// What a child costs on a host that has not measured a walk of its own. A walk waits for memory more
/// than for anything else, so the two kinds differ little where caches are real: 60 and 93 ns per child
/// (100 million and 28.7 million, S. Brennan on linux-fsdevel 2022-10, an SRE note on a 5.4 kernel);
/// on a virtual machine with 6.18, a million of each: 140 to 147 negative on ext4, 76 to 120 positive on
/// tmpfs. Under emulation, where only instructions count, it is 1 to 4.
const DEFAULT_NS_PER_CHILD: f64 = 90.0;

/// A walk over fewer children says more about what surrounds it.
pub const MEASURED_CHILDREN_MIN: u64 = 10_000;

/// Walks of each kind that count: the latest ones.
const WALKS_MAX: usize = 8;

/// What a walk takes for each child.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// For each child without an inode, in nanoseconds.
    pub negative_child_ns: f64,
    /// For each child with one, in nanoseconds.
    pub positive_child_ns: f64,
    /// Walks of this host that these come from; 0: they are defaults.
    pub walks_count: usize,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            negative_child_ns: DEFAULT_NS_PER_CHILD,
            positive_child_ns: DEFAULT_NS_PER_CHILD,
            walks_count: 0,
        }
    }
}

impl Rates {
    /// From walks of this host, the latest last. A walk over mostly negative children tells the rate of
    /// these, one over mostly positive ones that of the others: the median of the latest ones. A kind
    /// of which there is no walk keeps its default ratio to the other.
    #[must_use]
    pub fn from_walks(walks: &[Measured]) -> Self {
        let defaults = Self::default();
        let factors = |is_negative: bool| -> Vec<f64> {
            let factor = |walk: &Measured| {
                real(walk.walk_ns) / defaults.ns_between(walk.children_count, walk.negative_count)
            };
            walks
                .iter()
                .rev()
                .filter(|walk| walk.children_count >= MEASURED_CHILDREN_MIN && walk.walk_ns > 0)
                .filter(|walk| walk.is_mostly_negative() == is_negative)
                .take(WALKS_MAX)
                .map(factor)
                .collect()
        };
        let (negative, positive) = (factors(true), factors(false));
        let walks_count = negative.len() + positive.len();
        let (negative, positive) = (median(negative), median(positive));
        let factor = |own: Option<f64>, other: Option<f64>| own.or(other).unwrap_or(1.0);
        Self {
            negative_child_ns: defaults.negative_child_ns * factor(negative, positive),
            positive_child_ns: defaults.positive_child_ns * factor(positive, negative),
            walks_count,
        }
    }

    /// The length of a walk over that many children, of which so many are negative.
    #[must_use]
    pub fn predict_ns(&self, children_count: u64, negative_count: u64) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and a cast from a floating-point number stops at the limits"
        )]
        let ns = self.ns_between(children_count, negative_count).round() as u64;
        ns
    }

    fn ns_between(&self, children_count: u64, negative_count: u64) -> f64 {
        let negative_count = negative_count.min(children_count);
        real(negative_count) * self.negative_child_ns
            + real(children_count - negative_count) * self.positive_child_ns
    }

    /// Where they come from, for people.
    #[must_use]
    pub fn source(&self) -> Source {
        match self.walks_count {
            0 => Source::Default,
            count => Source::Walks(count),
        }
    }
}

impl Measured {
    fn is_mostly_negative(&self) -> bool {
        self.negative_count > self.children_count / 2
    }
}

/// Where rates come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// This host has not measured a walk.
    Default,
    /// That many walks of this host.
    Walks(usize),
}

impl fmt::Display for Source {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(to, "default"),
            Self::Walks(1) => write!(to, "1 walk on this host"),
            Self::Walks(count) => write!(to, "{count} walks on this host"),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn real(number: u64) -> f64 {
    number as f64
}

/// Half the values are on each side of it, so a walk that waited for a lock is no harm.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get((values.len() - 1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(walk_ns: u64, children_count: u64, negative_count: u64) -> Measured {
        Measured {
            walk_ns,
            children_count,
            negative_count,
        }
    }

    #[test]
    fn without_walks_the_defaults_hold_and_say_so() {
        let rates = Rates::from_walks(&[]);
        assert_eq!(rates, Rates::default());
        assert_eq!(rates.predict_ns(1_000_000, 999_000), 90_000_000);
        assert_eq!(rates.source().to_string(), "default");
        assert_eq!(rates.predict_ns(0, 0), 0);
    }

    #[test]
    fn a_walk_of_this_host_predicts_a_larger_one() {
        let rates = Rates::from_walks(&[walk(2_800_000, 200_000, 200_000)]);
        assert_eq!(rates.predict_ns(1_000_000, 1_000_000), 14_000_000);
        assert_eq!(rates.source().to_string(), "1 walk on this host");
    }

    #[test]
    fn each_kind_of_walk_tells_its_own_rate() {
        let rates = Rates::from_walks(&[
            walk(1_400_000, 100_000, 100_000),
            walk(5_500_000, 100_000, 0),
        ]);
        assert_eq!(rates.predict_ns(100_000, 100_000), 1_400_000);
        assert_eq!(rates.predict_ns(100_000, 0), 5_500_000);
        assert_eq!(rates.predict_ns(200_000, 100_000), 6_900_000);
        assert_eq!(rates.source().to_string(), "2 walks on this host");
    }

    #[test]
    fn a_kind_that_was_not_seen_keeps_its_ratio_to_the_other() {
        let rates = Rates::from_walks(&[walk(900_000, 100_000, 100_000)]);
        let ratio = Rates::default().positive_child_ns / Rates::default().negative_child_ns;
        let seen = rates.positive_child_ns / rates.negative_child_ns;
        assert!((seen - ratio).abs() < 1e-9);
    }

    #[test]
    fn one_walk_that_waited_does_not_spoil_the_others() {
        let usual = walk(9_000_000, 100_000, 100_000);
        let waited = walk(2_000_000_000, 100_000, 100_000);
        let rates = Rates::from_walks(&[usual, waited, usual, usual]);
        assert_eq!(rates.predict_ns(100_000, 100_000), 9_000_000);
    }

    #[test]
    fn only_the_latest_walks_count() {
        let mut walks = vec![walk(1_000_000, 100_000, 100_000); 20];
        walks.extend([walk(9_000_000, 100_000, 100_000); WALKS_MAX]);
        let rates = Rates::from_walks(&walks);
        assert_eq!(rates.predict_ns(100_000, 100_000), 9_000_000);
        assert_eq!(rates.walks_count, WALKS_MAX);
    }

    #[test]
    fn small_walks_and_impossible_numbers_tell_nothing() {
        let rates = Rates::from_walks(&[walk(1_000_000, 10, 10), walk(0, 100_000, 100_000)]);
        assert_eq!(rates.source(), Source::Default);
        let rates = Rates::from_walks(&[walk(u64::MAX, 10_000, u64::MAX)]);
        assert_eq!(rates.predict_ns(u64::MAX, u64::MAX), u64::MAX);
    }
}
