//! What the kernel's own clock says of the programs, sampled: while statistics are on each run costs two
//! more looks at the clock, so they are on for a small share of the time.

use std::collections::BTreeMap;

/// What the kernel counted for one program since it was loaded, as long as anybody had statistics on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// Runs.
    pub runs_count: u64,
    /// How long they took.
    pub run_ns: u64,
}

/// The figures of a program's file in `/proc/self/fdinfo` (`bpf_prog_show_fdinfo`, 492ecee892c2, 5.1).
#[must_use]
pub fn parse_runs(fdinfo: &str) -> Option<Runs> {
    let field = |name: &str| {
        fdinfo
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    };
    Some(Runs {
        runs_count: field("run_cnt:")?,
        run_ns: field("run_time_ns:")?,
    })
}

/// Sums over all samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sampled {
    /// By program.
    pub programs: BTreeMap<String, Runs>,
    /// How long statistics were on.
    pub sampled_ns: u64,
}

impl Sampled {
    /// Adds what happened between two readings. Somebody else may have had statistics on before and
    /// after: only the difference counts.
    pub fn add(
        &mut self,
        before: &BTreeMap<String, Runs>,
        after: &BTreeMap<String, Runs>,
        elapsed_ns: u64,
    ) {
        for (program, after) in after {
            let before = before.get(program).copied().unwrap_or_default();
            let sum = self.programs.entry(program.clone()).or_default();
            sum.runs_count += after.runs_count.saturating_sub(before.runs_count);
            sum.run_ns += after.run_ns.saturating_sub(before.run_ns);
        }
        self.sampled_ns += elapsed_ns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_figures_are_read() {
        let fdinfo =
            "pos:\t0\nprog_type:\t26\nrun_time_ns:\t1234\nrun_cnt:\t5\nrecursion_misses:\t3\n";
        let runs = Runs {
            runs_count: 5,
            run_ns: 1_234,
        };
        assert_eq!(parse_runs(fdinfo), Some(runs));
        assert_eq!(parse_runs("pos:\t0\nrun_cnt:\t5\n"), None);
    }

    #[test]
    fn only_what_happened_in_a_sample_counts() {
        let runs =
            |runs_count, run_ns| BTreeMap::from([("a".to_owned(), Runs { runs_count, run_ns })]);
        let mut sampled = Sampled::default();
        sampled.add(&runs(1_000, 50_000), &runs(1_010, 50_700), 1_000);
        sampled.add(&BTreeMap::new(), &runs(5, 100), 1_000);
        assert_eq!(sampled.programs, runs(15, 800));
        assert_eq!(sampled.sampled_ns, 2_000);
    }
}
