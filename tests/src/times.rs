//! Where a scenario's time goes: how long it waited for the detector to start and to stop, and for floods. All in
//! the guest's own time, for the account that vmtest prints of a run.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::Serialize;

/// What a scenario waits for.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    /// From the start of an `fslockup` until it is attached; of one that ends by itself, until its end.
    Starts,
    /// From the signal to the end.
    Stops,
    /// Names looked up or made.
    Floods,
}

/// Milliseconds of each part.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Times {
    starts: u64,
    stops: u64,
    floods: u64,
}

static STARTS: Mutex<Stretch> = Mutex::new(Stretch::NONE);
static STOPS: Mutex<Stretch> = Mutex::new(Stretch::NONE);
static FLOODS: Mutex<Stretch> = Mutex::new(Stretch::NONE);

/// Does something that belongs to a part; what several threads do at once counts once.
pub fn spent<T>(part: Part, act: impl FnOnce() -> T) -> T {
    on(part, |stretch| stretch.begin(Instant::now()));
    let outcome = act();
    on(part, |stretch| stretch.end(Instant::now()));
    outcome
}

/// The sums so far.
#[must_use]
pub fn times_ms() -> Times {
    let sum_ms = |part| {
        let sum = on(part, |stretch| stretch.sum);
        u64::try_from(sum.as_millis()).unwrap_or(u64::MAX)
    };
    Times {
        starts: sum_ms(Part::Starts),
        stops: sum_ms(Part::Stops),
        floods: sum_ms(Part::Floods),
    }
}

fn on<T>(part: Part, act: impl FnOnce(&mut Stretch) -> T) -> T {
    let stretch = match part {
        Part::Starts => &STARTS,
        Part::Stops => &STOPS,
        Part::Floods => &FLOODS,
    };
    act(&mut stretch.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The time in which at least one thread was at it.
#[derive(Debug)]
struct Stretch {
    sum: Duration,
    since: Option<Instant>,
    threads_count: u32,
}

impl Stretch {
    const NONE: Self = Self {
        sum: Duration::ZERO,
        since: None,
        threads_count: 0,
    };

    fn begin(&mut self, now: Instant) {
        self.since.get_or_insert(now);
        self.threads_count += 1;
    }

    fn end(&mut self, now: Instant) {
        self.threads_count -= 1;
        if self.threads_count == 0
            && let Some(since) = self.since.take()
        {
            self.sum += now.saturating_duration_since(since);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_overlaps_counts_once_and_pauses_do_not() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut stretch = Stretch::NONE;
        stretch.begin(at(0));
        stretch.begin(at(1));
        stretch.end(at(3));
        stretch.end(at(4));
        stretch.begin(at(10));
        stretch.end(at(11));
        assert_eq!(stretch.sum, Duration::from_secs(5));
    }
}
