//! Which scenarios run in which guests: a pure function of kernels and scenarios.

use sha2::{Digest as _, Sha256};

use crate::{digest::hex, kernel, kernels::Kernels, scenarios::Scenario};

/// A kernel as the plan needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedKernel {
    /// Name or path.
    pub name: String,
    /// What it is called in results and directories.
    pub label: String,
    /// Tags of the manifest; none for a kernel given as a file.
    pub tags: Vec<String>,
    /// Words for its command line, beside those of each scenario.
    pub kernel_args: Vec<String>,
}

impl PlannedKernel {
    /// The kernel of this name or path, called by its name.
    #[must_use]
    pub fn new(name: &str, tags: &[String]) -> Self {
        Self {
            name: name.to_owned(),
            label: kernel::label(name).to_owned(),
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

/// Plans: scenarios that can share a guest do, and the longest guests come first, so that the
/// last one to end starts as early as possible.
#[must_use]
pub fn plan(kernels: &[PlannedKernel], scenarios: &[Scenario]) -> Vec<PlannedGuest> {
    let mut guests: Vec<PlannedGuest> = Vec::new();
    for (index, kernel) in kernels.iter().enumerate() {
        let mut of_kernel: Vec<PlannedGuest> = Vec::new();
        for scenario in scenarios
            .iter()
            .filter(|scenario| scenario.runs_on(&kernel.name, &kernel.tags))
        {
            let roommate = of_kernel.iter_mut().find(|guest| {
                let first = &guest.scenarios[0];
                scenario.is_shared && first.is_shared && first.guest() == scenario.guest()
            });
            if let Some(guest) = roommate {
                guest.scenarios.push(scenario.clone());
                continue;
            }
            let name = if scenario.is_shared {
                shared_name(&of_kernel)
            } else {
                scenario.name.clone()
            };
            of_kernel.push(PlannedGuest {
                kernel: index,
                name,
                scenarios: vec![scenario.clone()],
            });
        }
        guests.extend(of_kernel);
    }
    guests.sort_by_key(|guest| std::cmp::Reverse(weight(guest)));
    guests
}

/// What distinguishes one plan from another: 12 hexadecimal digits of the SHA-256 of its kernels with their
/// pinned packages and words, its guests, and all that is said of their scenarios.
#[must_use]
pub fn digest(kernels: &[PlannedKernel], guests: &[PlannedGuest], manifest: &Kernels) -> String {
    let mut hash = Sha256::new();
    for kernel in kernels {
        hash.update(format!("{kernel:?}\0{:?}\0", manifest.pin(&kernel.name)));
    }
    for guest in guests {
        hash.update(format!("{guest:?}\0"));
    }
    hex(&hash.finalize()[..6])
}

fn shared_name(guests: &[PlannedGuest]) -> String {
    let count = guests
        .iter()
        .filter(|guest| guest.scenarios[0].is_shared)
        .count();
    if count == 0 {
        "shared".to_owned()
    } else {
        format!("shared-{}", count + 1)
    }
}

/// How long a guest may take, in the host's time: to compare with others.
#[must_use]
pub fn weight(guest: &PlannedGuest) -> u64 {
    guest
        .scenarios
        .iter()
        .map(|scenario| scenario.time_limit_s * u64::from(scenario.mode.slowness()))
        .sum()
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
        PlannedKernel::new(name, &[tag.into()])
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

    #[test]
    fn equal_needs_share_a_boot_and_others_do_not() {
        let all = [
            scenario("a", true, Mode::Multi),
            scenario("b", false, Mode::Multi),
            scenario("c", true, Mode::Icount),
            scenario("d", true, Mode::Multi),
        ];
        let guests = plan(&[kernel("6.1", "lts")], &all);
        assert_eq!(
            described(&guests),
            ["0 shared-2: c", "0 shared: a+d", "0 b: b"]
        );
    }

    #[test]
    fn a_restricted_scenario_runs_only_where_it_says() {
        let mut only_rt = scenario("rt", false, Mode::Multi);
        only_rt.tags = vec!["rt".into()];
        let guests = plan(&[kernel("6.1", "lts"), kernel("7.3-rt", "rt")], &[only_rt]);
        assert_eq!(described(&guests), ["1 rt: rt"]);
    }

    #[test]
    fn another_definition_is_another_plan() {
        let manifest = Kernels::load(None).expect("built in");
        let of = |kernel: PlannedKernel, scenario: Scenario| {
            let kernels = [kernel];
            digest(&kernels, &plan(&kernels, &[scenario]), &manifest)
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
        assert!(plan(&[], &[scenario("a", true, Mode::Multi)]).is_empty());
    }
}
