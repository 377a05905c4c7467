use super::*;

const S: u64 = 1_000_000_000;
/// 1 % of a CPU, measured every ten seconds.
const LIMIT_PPM: u64 = 10_000;
const PERIOD_NS: u64 = 10 * S;

fn budget() -> Budget {
    Budget::new(LIMIT_PPM, PERIOD_NS, &Group::ALL)
}

/// Shares in percent of one CPU: producers, stalls, waits; the process itself.
fn sample(at_s: u64, percent: [u64; 3], own_percent: u64) -> Sample {
    Sample {
        at_ns: at_s * S,
        measured_ns: 100_000_000,
        run_ns: percent.map(|percent| percent * 1_000_000),
        others_ns: 0,
        own_measured_ns: PERIOD_NS,
        own_ns: own_percent * PERIOD_NS / 100,
    }
}

/// Samples every ten seconds, from the first of these on; what came of them, with the seconds.
fn judged(
    budget: &mut Budget,
    from_s: u64,
    samples: &[([u64; 3], u64)],
) -> Vec<(u64, Change, Option<Group>)> {
    (from_s..)
        .step_by(10)
        .zip(samples)
        .filter_map(|(at_s, (percent, own))| {
            let event = budget.judge(&sample(at_s, *percent, *own))?;
            Some((at_s, event.change, event.group))
        })
        .collect()
}

const BUSY: ([u64; 3], u64) = ([5, 1, 2], 0);
const QUIET: ([u64; 3], u64) = ([0, 0, 0], 0);

#[test]
fn within_the_budget_nothing_happens() {
    assert_eq!(judged(&mut budget(), 10, &[([0, 0, 1], 0); 100]), []);
    assert_eq!(judged(&mut budget(), 10, &[QUIET; 100]), []);
}

#[test]
fn a_burst_is_no_reason() {
    let mut samples = Vec::new();
    for _ in 0..50 {
        samples.extend([BUSY, BUSY, QUIET]);
    }
    assert_eq!(judged(&mut budget(), 10, &samples), []);
}

#[test]
fn the_dearest_goes_first_whichever_it_is() {
    for (percent, first, second) in [
        ([5, 1, 2], Group::Producers, Group::Waits),
        ([1, 5, 2], Group::Stalls, Group::Waits),
        ([2, 1, 5], Group::Waits, Group::Producers),
        ([4, 4, 4], Group::Producers, Group::Stalls),
    ] {
        let mut budget = budget();
        let found = judged(&mut budget, 10, &[(percent, 0); 3]);
        assert_eq!(found, [(30, Change::Detached, Some(first))]);
        // What is away costs nothing any more.
        let mut rest = percent;
        rest[first as usize] = 0;
        let found = judged(&mut budget, 40, &[(rest, 0); 3]);
        assert_eq!(found, [(60, Change::Detached, Some(second))]);
    }
}

#[test]
fn an_event_says_what_was_measured() {
    let mut budget = budget();
    for at_s in [10, 20] {
        assert_eq!(budget.judge(&sample(at_s, [5, 1, 2], 3)), None);
    }
    let event = budget.judge(&sample(30, [5, 1, 2], 3)).expect("over");
    let expected = BudgetEvent {
        at_ns: 30 * S,
        change: Change::Detached,
        group: Some(Group::Producers),
        cpu_ppm: 110_000,
        group_ppm: 50_000,
        own_ppm: 30_000,
        budget_ppm: LIMIT_PPM,
        pause_ns: 60 * S,
        away_ns: 0,
        reason: None,
    };
    assert_eq!(event, expected);
}

#[test]
fn what_would_not_help_stays() {
    // The process itself, the walk's programs: none of the others is worth a tenth of that.
    let found = judged(&mut budget(), 10, &[([1, 1, 1], 50); 30]);
    assert_eq!(found, [(30, Change::Exceeded, None)], "said once");
    let mut samples = vec![([1, 1, 1], 50); 3];
    samples.push(QUIET);
    samples.extend([([1, 1, 1], 50); 6]);
    let found = judged(&mut budget(), 10, &samples);
    let at_s: Vec<_> = found.iter().map(|(at_s, ..)| *at_s).collect();
    assert_eq!(
        at_s,
        [30, 100],
        "again after a pause, not in the same minute"
    );
}

#[test]
fn it_comes_back_after_a_quiet_minute_then_two_then_four() {
    let mut budget = budget();
    let mut samples = vec![BUSY; 3];
    for _ in 0..3 {
        // Away; quiet until it comes back; then as before.
        samples.extend([QUIET; 24]);
        samples.extend([([5, 0, 0], 0); 3]);
    }
    let found = judged(&mut budget, 10, &samples);
    let producers = Some(Group::Producers);
    assert_eq!(
        found,
        [
            (30, Change::Detached, producers),
            (90, Change::Attached, producers),
            (300, Change::Detached, producers),
            (420, Change::Attached, producers),
            (570, Change::Detached, producers),
            (810, Change::Attached, producers),
            (840, Change::Detached, producers),
        ]
    );
}

#[test]
fn a_long_good_time_is_rewarded() {
    let mut budget = budget();
    let mut samples = vec![BUSY; 3];
    samples.extend([QUIET; 60]);
    samples.extend([BUSY; 3]);
    samples.extend([QUIET; 10]);
    let found = judged(&mut budget, 10, &samples);
    let away: Vec<_> = found.iter().map(|(at_s, ..)| *at_s).collect();
    assert_eq!(away, [30, 90, 660, 720], "a minute both times");
}

#[test]
fn the_longest_time_away_is_about_an_hour() {
    let mut budget = budget();
    let mut at_s = 0;
    let mut pauses_s = Vec::new();
    while pauses_s.len() < 9 {
        at_s += 10;
        let is_away = matches!(budget.states[0].place, Place::Detached { .. });
        let percent = if is_away { [0, 0, 0] } else { [5, 0, 0] };
        if let Some(event) = budget.judge(&sample(at_s, percent, 0))
            && event.change == Change::Detached
        {
            pauses_s.push(event.pause_ns / S);
        }
    }
    assert_eq!(pauses_s, [60, 120, 240, 480, 960, 1920, 3840, 3840, 3840]);
}

#[test]
fn nothing_comes_back_into_a_busy_time_and_the_cheapest_first() {
    let mut budget = budget();
    judged(&mut budget, 10, &[BUSY; 3]);
    judged(&mut budget, 40, &[([0, 1, 2], 0); 3]);
    // Still over, by what can't be taken away.
    let found = judged(&mut budget, 70, &[([0, 0, 0], 5); 30]);
    assert_eq!(found, [(90, Change::Exceeded, None)]);
    let found = judged(&mut budget, 400, &[QUIET; 3]);
    assert_eq!(
        found,
        [
            (400, Change::Attached, Some(Group::Waits)),
            (410, Change::Attached, Some(Group::Producers)),
        ]
    );
}

#[test]
fn what_is_not_there_is_not_taken_away() {
    let mut budget = Budget::new(LIMIT_PPM, PERIOD_NS, &[Group::Waits]);
    let found = judged(&mut budget, 10, &[([50, 50, 20], 0); 3]);
    assert_eq!(found, [(30, Change::Detached, Some(Group::Waits))]);
    let mut budget = Budget::new(LIMIT_PPM, PERIOD_NS, &[]);
    let found = judged(&mut budget, 10, &[([50, 50, 20], 0); 9]);
    assert_eq!(found, [(30, Change::Exceeded, None)]);
}

#[test]
fn a_refusal_keeps_it_away_for_longer() {
    let mut budget = budget();
    judged(&mut budget, 10, &[BUSY; 3]);
    let event = budget.judge(&sample(90, [0, 0, 0], 0)).expect("it is time");
    assert_eq!((event.change, event.away_ns), (Change::Attached, 60 * S));
    let event = budget.refused(&event, "no".to_owned());
    assert_eq!((event.change, event.pause_ns), (Change::Refused, 120 * S));
    let found = judged(&mut budget, 100, &[QUIET; 20]);
    assert_eq!(found, [(210, Change::Attached, Some(Group::Producers))]);
}

#[test]
fn nonsense_is_survived() {
    let mut budget = budget();
    let most = Sample {
        at_ns: u64::MAX,
        measured_ns: 0,
        run_ns: [u64::MAX; 3],
        others_ns: u64::MAX,
        own_measured_ns: 0,
        own_ns: u64::MAX,
    };
    for _ in 0..20 {
        budget.judge(&most);
        budget.judge(&Sample::default());
    }
}

fn change(at_s: u64, change: Change, group: Group) -> BudgetEvent {
    BudgetEvent {
        at_ns: at_s * S,
        change,
        group: Some(group),
        cpu_ppm: 0,
        group_ppm: 0,
        own_ppm: 0,
        budget_ppm: 0,
        pause_ns: 0,
        away_ns: 0,
        reason: None,
    }
}

#[test]
fn an_incident_says_what_it_lacks_and_only_that() {
    let mut absences = Absences::default();
    let count = |absences: &Absences, from_s, to_s| absences.degraded(from_s * S, to_s * S).len();
    assert_eq!(count(&absences, 0, 1_000), 0);
    absences.note(&change(100, Change::Detached, Group::Waits));
    assert_eq!(count(&absences, 90, 99), 0);
    assert_eq!(count(&absences, 90, 101), 1);
    assert_eq!(count(&absences, 500, 501), 1);
    absences.note(&change(200, Change::Refused, Group::Waits));
    assert_eq!(count(&absences, 500, 501), 1);
    absences.note(&change(600, Change::Attached, Group::Waits));
    assert_eq!(count(&absences, 599, 601), 1);
    assert_eq!(count(&absences, 601, 602), 0);
    absences.note(&change(700, Change::Detached, Group::Producers));
    absences.note(&change(760, Change::Attached, Group::Producers));
    let said = absences.degraded(10_000 * S, 10_001 * S);
    assert_eq!(
        said,
        [
            "producers: not counted for 60 s in sum, their probes were detached to keep the CPU budget"
        ]
    );
}

#[test]
fn programs_have_their_group_by_name() {
    for (name, group) in [
        ("produce_splice", Some(Group::Producers)),
        ("stall_switch", Some(Group::Stalls)),
        ("wait_native_fexit", Some(Group::Waits)),
        ("walk_fexit", None),
        ("call_inotify_fentry", None),
        ("", None),
    ] {
        assert_eq!(Group::of_program(name), group, "{name}");
    }
}
