//! The scenario that ended last in a guest: what comes before the next one begins, or before the guest's end, is its
//! own. Only then is its result made.

use std::path::PathBuf;

use crate::{
    kernel_log::{Report, ReportKind},
    matrix::judgement::{Judgement, Suspicions},
    protocol::Findings,
    report::Outcome,
};

/// The scenario that ended last.
pub struct Last {
    /// Its place in the guest.
    pub index: usize,
    /// How it ended, as far as it alone goes.
    pub judgement: Judgement,
    /// Guest time that it took, where it ended.
    pub duration_ms: Option<u64>,
    /// Host time that it took.
    pub host_ms: Option<u64>,
    /// What it says of itself.
    pub findings: Findings,
    /// What the kernel reported meanwhile.
    pub reports: Vec<Report>,
    /// Files that it left.
    pub files: Vec<String>,
    /// What did not work around it.
    pub troubles: Vec<String>,
    /// Where its files are.
    pub directory: PathBuf,
    /// What the kernel's log had since.
    pub suspicions: Suspicions,
}

impl Last {
    /// How it ended, with what came behind its end: the guest's death, reports of the kernel.
    pub fn judgement(&self, death: Option<&Judgement>, expects: &[ReportKind]) -> Judgement {
        let own = self.judgement.clone();
        let with_death = match death {
            None => own,
            Some(death) => {
                let why = format!("the guest ended after this scenario: {}", death.detail);
                let detail = match own.outcome {
                    Outcome::Passed => why,
                    _ => format!("{why}; {}", own.detail),
                };
                Judgement::new(death.outcome, detail).final_if(own.is_final || death.is_final)
            }
        };
        self.suspicions
            .added_to(with_death, "after it had ended: ", expects)
    }
}
