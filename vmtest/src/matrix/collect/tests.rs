//! What each message of a guest, and its death, does to results.

use super::*;
use crate::{
    manifest::{kernels::Kernels, scenarios::Scenarios},
    matrix::plan::PlannedKernel,
    ui::progress::Progress,
    vm::artifacts::FILE_BYTES_MAX,
};

const WARNING: &[u8] = b"4,9,1,-;WARNING: CPU: 0 PID: 1 at fs/dcache.c:1 d_x+0x1/0x2";
const LOCKUP: &[u8] = b"0,9,1,-;watchdog: BUG: soft lockup - CPU#1 stuck for 22s!";

fn ended(index: usize) -> Message {
    Message::Ended(Ended {
        index,
        code: Some(0),
        signal: None,
        is_timed_out: false,
        duration_ms: 5,
    })
}

fn kmsg(record: &[u8]) -> Message {
    Message::Kmsg(record.to_vec())
}

/// Two scenarios, a and b, that share a guest.
fn two_scenarios(directory: &Path) -> Vec<Scenario> {
    let manifest = directory.join("scenarios.toml");
    let entry = "[[scenario]]\nname = \"NAME\"\nsummary = \"s\"\nis_shared = true\ntime_limit_s = 9\n\
        expects = [\"soft-lockup\"]\n";
    let text = [entry.replace("NAME", "a"), entry.replace("NAME", "b")].concat();
    fs::write(&manifest, text).expect("written");
    Scenarios::load(Some(&manifest))
        .expect("a manifest")
        .entries
}

/// Two scenarios, a and b, in one guest that sends this; then it ends so.
fn results(
    messages: impl IntoIterator<Item = Message>,
    death: Option<&Judgement>,
) -> Vec<ScenarioResult> {
    let out = tempfile::tempdir().expect("a directory");
    let scenarios = two_scenarios(out.path());
    let kernels = Kernels::load(None).expect("built in");
    let slot = KernelSlot::new(PlannedKernel::new("6.1".into(), &[]), false, &kernels, None);
    let relative = Path::new("6.1/shared");
    let mut collector = Collector::new(
        &slot,
        &scenarios,
        "shared",
        relative,
        out.path(),
        Accelerator::Tcg,
    );
    let line = Progress::new().line("");
    let mut results = Vec::new();
    for message in messages {
        results.extend(collector.take(message, &line));
    }
    results.extend(match death {
        Some(judgement) => collector.die(judgement),
        None => collector.conclude(),
    });
    results
}

fn outcomes(results: &[ScenarioResult]) -> Vec<(&str, Outcome, bool)> {
    results
        .iter()
        .map(|one| (one.scenario.as_str(), one.outcome, one.is_final))
        .collect()
}

const PASSED: (Outcome, bool) = (Outcome::Passed, false);
const FOR_GOOD: (Outcome, bool) = (Outcome::Failed, true);

fn both(a: (Outcome, bool), b: (Outcome, bool)) -> [(&'static str, Outcome, bool); 2] {
    [("a", a.0, a.1), ("b", b.0, b.1)]
}

#[test]
fn a_report_counts_whenever_it_comes() {
    // At boot, within a, between the two, within b, after the last.
    let expected = [
        both(FOR_GOOD, PASSED),
        both(FOR_GOOD, PASSED),
        both(FOR_GOOD, PASSED),
        both(PASSED, FOR_GOOD),
        both(PASSED, FOR_GOOD),
    ];
    for suspicion in [kmsg(WARNING), Message::KmsgLost(3)] {
        for (place, expected) in expected.iter().enumerate() {
            let mut messages = vec![Message::Started(0), ended(0), Message::Started(1), ended(1)];
            messages.insert(place, suspicion.clone());
            let results = results(messages, None);
            assert_eq!(outcomes(&results), expected, "{place}");
        }
    }
}

#[test]
fn what_is_said_names_the_time() {
    let at = |place: usize| {
        let mut messages = vec![Message::Started(0), ended(0)];
        messages.insert(place, kmsg(WARNING));
        results(messages, None).swap_remove(0).detail
    };
    assert!(at(0).starts_with("at boot: unexpected report"), "{}", at(0));
    assert!(at(1).starts_with("unexpected report"), "{}", at(1));
    assert!(
        at(2).starts_with("after it had ended: unexpected"),
        "{}",
        at(2)
    );
}

#[test]
fn what_a_scenario_expects_is_a_fault_at_boot_alone() {
    let within = [Message::Started(0), kmsg(LOCKUP), ended(0), kmsg(LOCKUP)];
    let found = results(within, None);
    assert_eq!(outcomes(&found), [("a", Outcome::Passed, false)]);
    assert_eq!(found[0].kernel_reports.len(), 2);
    let at_boot = results([kmsg(LOCKUP), Message::Started(0), ended(0)], None);
    assert_eq!(outcomes(&at_boot), [("a", Outcome::Failed, true)]);
}

#[test]
fn a_death_between_two_is_the_last_ones_and_hides_nothing() {
    let panic = Judgement::new(Outcome::Panicked, "Kernel panic").final_if(true);
    let died = results([Message::Started(0), ended(0)], Some(&panic));
    assert_eq!(outcomes(&died), [("a", Outcome::Panicked, true)]);
    assert!(
        died[0]
            .detail
            .starts_with("the guest ended after this scenario: ")
    );
    // QEMU's own death is excused, but not the report before it.
    let lost = Judgement::new(Outcome::Lost, "QEMU ended");
    let died = results([Message::Started(0)], Some(&lost));
    assert_eq!(outcomes(&died), [("a", Outcome::Lost, false)]);
    let died = results([Message::Started(0), kmsg(WARNING)], Some(&lost));
    assert_eq!(outcomes(&died), [("a", Outcome::Lost, true)]);
    let died = results([Message::Started(0), ended(0), kmsg(WARNING)], Some(&lost));
    assert_eq!(outcomes(&died), [("a", Outcome::Lost, true)]);
}

#[test]
fn a_stream_has_an_end_and_too_much_is_no_pass() {
    let flood = |bytes_count: u64| {
        let chunks = (0..bytes_count.div_ceil(1 << 20))
            .map(|_| Message::Output(Stream::Stdout, vec![b'x'; 1 << 20]));
        let all = std::iter::once(Message::Started(0))
            .chain(chunks)
            .chain([ended(0)]);
        results(all, None).swap_remove(0)
    };
    assert_eq!(flood(FILE_BYTES_MAX).outcome, Outcome::Passed);
    let result = flood(FILE_BYTES_MAX + 1);
    assert_eq!((result.outcome, result.is_final), (Outcome::Failed, false));
    assert_eq!(
        result.detail,
        "stdout: more than 64 MiB, the rest is not kept"
    );
}

#[test]
fn the_death_of_a_guest_is_not_excused_by_what_did_not_apply() {
    let out = tempfile::tempdir().expect("a directory");
    let scenarios = two_scenarios(out.path());
    let kernels = Kernels::load(None).expect("built in");
    let slot = KernelSlot::new(PlannedKernel::new("6.1".into(), &[]), true, &kernels, None);
    let relative = Path::new("6.1/shared");
    for (death, is_excused) in [(None, true), (Some(Outcome::Hung), false)] {
        let mut collector = Collector::new(
            &slot,
            &scenarios,
            "shared",
            relative,
            out.path(),
            Accelerator::Tcg,
        );
        collector.last = Some(Last {
            index: 0,
            judgement: Judgement::new(Outcome::NotApplicable, "no kprobes"),
            duration_ms: None,
            host_ms: None,
            findings: Findings::default(),
            reports: Vec::new(),
            files: Vec::new(),
            troubles: Vec::new(),
            directory: out.path().join("a"),
            suspicions: Suspicions::default(),
        });
        let result = match death {
            None => collector.conclude(),
            Some(outcome) => collector.die(&Judgement::new(outcome, "silent")),
        };
        let result = result.expect("it had ended");
        assert_eq!(result.is_excused, is_excused, "{:?}", result.outcome);
    }
}
