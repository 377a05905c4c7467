//! Stretches of time.

/// From a start to an end on one clock; empty where the end is not after the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Start, CLOCK_MONOTONIC.
    pub start_ns: u64,
    /// End, CLOCK_MONOTONIC.
    pub end_ns: u64,
}

impl Span {
    /// From and to.
    #[must_use]
    pub fn new(start_ns: u64, end_ns: u64) -> Self {
        Self { start_ns, end_ns }
    }

    /// Its length.
    #[must_use]
    pub fn length_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }

    /// What both have in common; none where that is not even a nanosecond.
    #[must_use]
    pub fn overlap(&self, other: &Self) -> Option<Self> {
        let common = Self {
            start_ns: self.start_ns.max(other.start_ns),
            end_ns: self.end_ns.min(other.end_ns),
        };
        (common.length_ns() > 0).then_some(common)
    }

    /// `other` begins and ends inside.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        self.start_ns <= other.start_ns && other.end_ns <= self.end_ns
    }
}

#[cfg(test)]
mod tests {
    use super::Span;

    #[test]
    fn spans_that_only_touch_have_nothing_in_common() {
        let span = Span::new(10, 20);
        assert_eq!(span.overlap(&Span::new(20, 30)), None);
        assert_eq!(span.overlap(&Span::new(0, 10)), None);
        assert_eq!(span.overlap(&Span::new(15, 15)), None);
        assert_eq!(span.overlap(&Span::new(0, 11)), Some(Span::new(10, 11)));
        assert_eq!(span.overlap(&Span::new(12, 99)), Some(Span::new(12, 20)));
    }

    #[test]
    fn a_span_contains_itself_and_not_one_that_sticks_out() {
        let span = Span::new(10, 20);
        assert!(span.contains(&span));
        assert!(!span.contains(&Span::new(9, 20)));
        assert!(!span.contains(&Span::new(10, 21)));
    }
}
