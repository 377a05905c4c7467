//! Which scenarios run in which guests: a pure function of kernels, scenarios, and how long they took before.

use sha2::{Digest as _, Sha256};

use crate::{
    digest::hex,
    kernel::KernelWord,
    manifest::{kernels::Kernels, scenarios::Scenario},
    matrix::durations::Durations,
};

/// A kernel as the plan needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedKernel {
    /// The word that names it.
    pub word: KernelWord,
    /// What it is called in results and directories.
    pub label: String,
    /// Tags of the manifest; none for a kernel given as a file.
    pub tags: Vec<String>,
    /// Words for its command line, beside those of each scenario.
    pub kernel_args: Vec<String>,
}

impl PlannedKernel {
    /// The kernel that this word names, called by its name.
    #[must_use]
    pub fn new(word: KernelWord, tags: &[String]) -> Self {
        Self {
            label: word.label().to_owned(),
            word,
            tags: tags.to_vec(),
            kernel_args: Vec::new(),
        }
    }
}

/// One boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedGuest {
    /// Position of its kernel in the list.
    pub kernel: usize,
    /// Its name, unique among the guests of that kernel.
    pub name: String,
    /// What runs in it, one after another; all need the same guest.
    pub scenarios: Vec<Scenario>,
}

/// A guest that is expected to take longer is shared by fewer: the last one to end is what a run waits for, and
/// what shards are dealt in. A boot costs a sixtieth of it.
pub const GUEST_MS_MAX: u64 = 300_000;

/// Plans: scenarios that can share a guest do, in the order that they ask for, and the longest guests come first, so
/// that the last one to end starts as early as possible.
#[must_use]
pub fn plan(
    kernels: &[PlannedKernel],
    scenarios: &[Scenario],
    durations: &Durations,
) -> Vec<PlannedGuest> {
    let mut guests: Vec<PlannedGuest> = Vec::new();
    for (index, kernel) in kernels.iter().enumerate() {
        let mut of_kernel: Vec<PlannedGuest> = Vec::new();
        for scenario in scenarios
            .iter()
            .filter(|scenario| scenario.runs_on(kernel.word.as_str(), &kernel.tags))
        {
            let roommate = of_kernel.iter_mut().find(|guest| {
                let first = &guest.scenarios[0];
                scenario.is_shared && first.is_shared && first.guest() == scenario.guest()
            });
            if let Some(guest) = roommate {
                guest.scenarios.push(scenario.clone());
                continue;
            }
            of_kernel.push(PlannedGuest {
                kernel: index,
                name: String::new(),
                scenarios: vec![scenario.clone()],
            });
        }
        let mut parts: Vec<_> = of_kernel
            .into_iter()
            .flat_map(|guest| split(kernels, guest, durations))
            .collect();
        name_all(&mut parts);
        guests.extend(parts);
    }
    guests.sort_by_key(|guest| std::cmp::Reverse(duration_ms(kernels, guest, durations)));
    guests
}

/// Its scenarios in order, in as many guests as it takes for none to be too long.
fn split(
    kernels: &[PlannedKernel],
    mut guest: PlannedGuest,
    durations: &Durations,
) -> Vec<PlannedGuest> {
    guest.scenarios.sort_by_key(|scenario| scenario.order);
    let whole_ms = duration_ms(kernels, &guest, durations);
    let part_ms = whole_ms / whole_ms.div_ceil(GUEST_MS_MAX).max(1);
    let kernel = kernels[guest.kernel].word.as_str();
    let mut parts: Vec<PlannedGuest> = Vec::new();
    let mut done_ms = 0;
    for scenario in guest.scenarios {
        let duration_ms = durations.scenario_ms(kernel, &scenario);
        // By where its middle lies.
        let wanted_count = (done_ms + duration_ms / 2) / part_ms.max(1) + 1;
        done_ms += duration_ms;
        let parts_count = parts.len() as u64;
        match parts.last_mut() {
            Some(last) if parts_count >= wanted_count => last.scenarios.push(scenario),
            _ => parts.push(PlannedGuest {
                kernel: guest.kernel,
                name: String::new(),
                scenarios: vec![scenario],
            }),
        }
    }
    parts
}

/// What distinguishes one plan from another: 12 hexadecimal digits of the SHA-256 of its kernels with their
/// pinned packages and words, its guests, and all that is said of their scenarios.
#[must_use]
pub fn digest(kernels: &[PlannedKernel], guests: &[PlannedGuest], manifest: &Kernels) -> String {
    let mut hash = Sha256::new();
    for kernel in kernels {
        let pin = manifest.pin(kernel.word.as_str());
        hash.update(format!("{kernel:?}\0{pin:?}\0"));
    }
    for guest in guests {
        hash.update(format!("{guest:?}\0"));
    }
    hex(&hash.finalize()[..6])
}

/// One that is alone goes by its scenario, all others are counted.
fn name_all(guests: &mut [PlannedGuest]) {
    let mut shared_count = 0;
    for guest in guests {
        let first = &guest.scenarios[0];
        if !first.is_shared {
            guest.name.clone_from(&first.name);
            continue;
        }
        shared_count += 1;
        guest.name = match shared_count {
            1 => "shared".to_owned(),
            count => format!("shared-{count}"),
        };
    }
}

/// How long a guest is expected to take from its boot to its end, in milliseconds of the host's time: to compare with
/// others.
#[must_use]
pub fn duration_ms(kernels: &[PlannedKernel], guest: &PlannedGuest, durations: &Durations) -> u64 {
    let kernel = kernels[guest.kernel].word.as_str();
    let of_scenarios = guest.scenarios.iter();
    let sum_ms: u64 = of_scenarios
        .map(|scenario| durations.scenario_ms(kernel, scenario))
        .sum();
    durations.boot_ms(guest.scenarios[0].mode) + sum_ms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qemu::argv::Mode;

    fn scenario(name: &str, is_shared: bool, mode: Mode) -> Scenario {
        Scenario {
            name: name.into(),
            summary: String::new(),
            command: Vec::new(),
            mode,
            cpus: 4,
            memory_mib: 1024,
            disk: None,
            root: None,
            files: Vec::new(),
            kernel_args: Vec::new(),
            modules: Vec::new(),
            is_shared,
            order: 0,
            is_optional: false,
            gates: false,
            time_limit_s: 60,
            expects: Vec::new(),
            kernels: Vec::new(),
            tags: Vec::new(),
            because: None,
        }
    }

    fn kernel(name: &str, tag: &str) -> PlannedKernel {
        PlannedKernel::new(name.into(), &[tag.into()])
    }

    fn described(guests: &[PlannedGuest]) -> Vec<String> {
        let names = |guest: &PlannedGuest| {
            guest
                .scenarios
                .iter()
                .map(|scenario| scenario.name.as_str())
                .collect::<Vec<_>>()
                .join("+")
        };
        guests
            .iter()
            .map(|guest| format!("{} {}: {}", guest.kernel, guest.name, names(guest)))
            .collect()
    }

    /// Each scenario takes 10 s in a row of 1 s less, a boot nothing.
    fn durations(all: &[Scenario]) -> Durations {
        let ms = (1..).map(|number| 11_000 - number * 1_000);
        let of_scenarios = all.iter().map(|scenario| scenario.name.clone()).zip(ms);
        Durations::of_scenarios(of_scenarios)
    }

    fn planned(kernels: &[PlannedKernel], all: &[Scenario]) -> Vec<String> {
        described(&plan(kernels, all, &durations(all)))
    }

    #[test]
    fn equal_needs_share_a_boot_and_others_do_not() {
        let all = [
            scenario("a", true, Mode::Multi),
            scenario("b", false, Mode::Multi),
            scenario("c", true, Mode::Icount),
            scenario("d", true, Mode::Multi),
        ];
        assert_eq!(
            planned(&[kernel("6.1", "lts")], &all),
            ["0 shared: a+d", "0 b: b", "0 shared-2: c"]
        );
    }

    #[test]
    fn what_leaves_another_guest_behind_runs_last() {
        let mut all = [
            scenario("a", true, Mode::Multi),
            scenario("b", true, Mode::Multi),
            scenario("c", true, Mode::Multi),
        ];
        (all[0].order, all[1].order) = (2, 1);
        let guests = planned(&[kernel("6.1", "lts")], &all);
        assert_eq!(guests, ["0 shared: c+b+a"]);
    }

    #[test]
    fn a_guest_that_takes_too_long_is_split_about_evenly() {
        let names: Vec<_> = ('a'..='f').map(String::from).collect();
        let all: Vec<_> = names
            .iter()
            .map(|name| scenario(name, true, Mode::Multi))
            .collect();
        let each_ms = GUEST_MS_MAX * 2 / 5;
        let durations = Durations::of_scenarios(names.into_iter().map(|name| (name, each_ms)));
        let guests = plan(&[kernel("6.1", "lts")], &all, &durations);
        assert_eq!(
            described(&guests),
            ["0 shared: a+b", "0 shared-2: c+d", "0 shared-3: e+f"]
        );
        let one = &all[..1];
        let durations = Durations::of_scenarios([("a".to_owned(), GUEST_MS_MAX * 5)]);
        let guests = plan(&[kernel("6.1", "lts")], one, &durations);
        assert_eq!(described(&guests), ["0 shared: a"], "one can't be split");
    }

    #[test]
    fn a_restricted_scenario_runs_only_where_it_says() {
        let mut only_rt = scenario("rt", false, Mode::Multi);
        only_rt.tags = vec!["rt".into()];
        let kernels = [kernel("6.1", "lts"), kernel("7.3-rt", "rt")];
        assert_eq!(planned(&kernels, &[only_rt]), ["1 rt: rt"]);
    }

    #[test]
    fn another_definition_is_another_plan() {
        let manifest = Kernels::load(None).expect("built in");
        let of = |kernel: PlannedKernel, scenario: Scenario| {
            let kernels = [kernel];
            let all = [scenario];
            digest(&kernels, &plan(&kernels, &all, &durations(&all)), &manifest)
        };
        let same = || of(kernel("6.1", "lts"), scenario("a", true, Mode::Multi));
        assert_eq!(same(), same());
        let mut words = kernel("6.1", "lts");
        words.kernel_args.push("nosmp".into());
        assert_ne!(of(words, scenario("a", true, Mode::Multi)), same());
        let changes: [fn(&mut Scenario); 5] = [
            |one| one.command.push("x".into()),
            |one| one.mode = Mode::Icount,
            |one| one.time_limit_s += 1,
            |one| one.kernel_args.push("quiet".into()),
            |one| one.expects.push(crate::kernel_log::ReportKind::Warning),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let mut changed = scenario("a", true, Mode::Multi);
            change(&mut changed);
            assert_ne!(of(kernel("6.1", "lts"), changed), same(), "{index}");
        }
        assert_ne!(
            of(kernel("6.12", "lts"), scenario("a", true, Mode::Multi)),
            same()
        );
    }

    #[test]
    fn nothing_to_run_is_an_empty_plan() {
        assert!(planned(&[], &[scenario("a", true, Mode::Multi)]).is_empty());
    }
}
