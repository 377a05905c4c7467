//! What `fslockup check` found.

use std::io::{self, Write};

use serde::Serialize;

use super::{Format, json};
use crate::{
    escape::escape,
    facts::{Answer, DentryState, Facts},
    plan::{Exposure, Plan, exposure},
    probes::PROBES,
    report::AttachReport,
};

/// How much of the work can be done here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every probe sits where it should.
    Full,
    /// Something is lost or replaced: the report says what.
    Degraded,
    /// A required probe can't be attached.
    CannotRun,
}

/// Everything that `check` prints.
#[derive(Serialize)]
pub struct CheckReport {
    /// The verdict.
    pub verdict: Verdict,
    /// The facts.
    #[serde(flatten)]
    pub facts: Facts,
    /// What these facts mean.
    pub exposure: Exposure,
    /// What was planned; none where no plan is possible.
    pub plan: Option<Plan>,
    /// What the kernel let be attached; none where a required probe was refused.
    pub attached: Option<AttachReport>,
    /// Why not, in one line.
    pub error: Option<String>,
    /// Struct fields that the kernel's type information doesn't have.
    pub missing_fields: Vec<String>,
    /// The dentry cache now.
    pub dentry_state: Option<DentryState>,
}

impl CheckReport {
    /// Judges what was tried.
    #[must_use]
    pub fn new(
        facts: Facts,
        plan: Option<Plan>,
        attached: Result<AttachReport, String>,
        dentry_state: Option<DentryState>,
    ) -> Self {
        let missing_fields = crate::facts::missing_offsets(&facts);
        let verdict = match &attached {
            Err(_) => Verdict::CannotRun,
            Ok(report)
                if report.is_full()
                    && missing_fields.is_empty()
                    && facts.may_read_kernel_log == Answer::Yes
                    && facts.has_symbol_addresses == Answer::Yes =>
            {
                Verdict::Full
            }
            Ok(_) => Verdict::Degraded,
        };
        let (attached, error) = match attached {
            Ok(report) => (Some(report), None),
            Err(error) => (None, Some(error)),
        };
        Self {
            verdict,
            exposure: exposure(&facts),
            facts,
            plan,
            attached,
            error,
            missing_fields,
            dentry_state,
        }
    }

    /// Prints it.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn print(&self, to: &mut impl Write, format: Format) -> io::Result<()> {
        match format {
            Format::Text => self.text(to),
            Format::Json => json::line(
                to,
                &Typed {
                    r#type: "facts",
                    report: self,
                },
            ),
        }
    }

    fn text(&self, to: &mut impl Write) -> io::Result<()> {
        let facts = &self.facts;
        writeln!(to, "host        {}", escape(facts.host.as_bytes()))?;
        writeln!(to, "kernel      {} {}", facts.kernel_release, facts.machine)?;
        writeln!(to, "types       {}", escape(facts.btf.source.as_bytes()))?;
        writeln!(
            to,
            "lockdown    {}",
            facts.lockdown.as_deref().unwrap_or("could not tell")
        )?;
        for (name, function) in &facts.functions {
            let told = format!(
                "BTF {}, symbols {}",
                answer(&function.in_btf),
                answer(&function.in_symbols)
            );
            let parts = function.split_symbols.join(" ");
            writeln!(
                to,
                "function    {name}: {told}{}{parts}",
                if parts.is_empty() { "" } else { ", parts " }
            )?;
        }
        for (name, is_there) in &facts.tracepoints {
            writeln!(to, "tracepoint  {name}: {}", answer(is_there))?;
        }
        writeln!(
            to,
            "spinlocks   who waits for one sleeps (PREEMPT_RT): {}",
            answer(&facts.spinlocks_sleep)
        )?;
        writeln!(
            to,
            "kernel log  may be read: {}",
            answer(&facts.may_read_kernel_log)
        )?;
        writeln!(
            to,
            "symbols     have addresses, for stacks of waiters: {}",
            answer(&facts.has_symbol_addresses)
        )?;
        for field in &self.missing_fields {
            writeln!(to, "no field    {field}: what it gives is left out")?;
        }
        self.probes_text(to)?;
        let Exposure {
            walk_on_first_watch,
            walk_on_every_watch,
            walk_on_removal,
            herd,
        } = &self.exposure;
        writeln!(
            to,
            "exposure    a first watch for events on children walks them all: {}",
            answer(walk_on_first_watch)
        )?;
        writeln!(
            to,
            "            so does every other watch and change of one: {}",
            answer(walk_on_every_watch)
        )?;
        writeln!(
            to,
            "            so does the first access after a watch went: {}",
            answer(walk_on_removal)
        )?;
        writeln!(
            to,
            "            and that on many CPUs in turn (herd): {}",
            answer(herd)
        )?;
        match &self.dentry_state {
            Some(state) => writeln!(
                to,
                "dentries    {} cached, {} unused, {} of them negative",
                state.dentries_count, state.unused_count, state.negative_count
            )?,
            None => writeln!(to, "dentries    could not tell")?,
        }
        let verdict = match self.verdict {
            Verdict::Full => "full: everything can be seen",
            Verdict::Degraded => "degraded: works, with the losses named above",
            Verdict::CannotRun => "cannot run",
        };
        writeln!(to, "verdict     {verdict}")
    }

    fn probes_text(&self, to: &mut impl Write) -> io::Result<()> {
        let Some(report) = &self.attached else {
            return match &self.error {
                Some(error) => writeln!(to, "probe       {error}"),
                None => Ok(()),
            };
        };
        for probe in &report.probes {
            let targets: Vec<_> = probe.targets.iter().map(ToString::to_string).collect();
            writeln!(to, "probe       {}: {}", probe.probe, targets.join(", "))?;
            if let Some(row) = PROBES.iter().find(|row| row.name == probe.probe) {
                writeln!(to, "            {}", row.question)?;
            }
            for refused in &probe.refused {
                writeln!(to, "            refused: {refused}")?;
            }
            for lost in &probe.lost {
                writeln!(to, "            lost: {lost}")?;
            }
        }
        for missing in &report.missing {
            writeln!(
                to,
                "probe       {}: none; lost: {}",
                missing.probe, missing.lost
            )?;
            for refused in &missing.refused {
                writeln!(to, "            refused: {refused}")?;
            }
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Typed<'a> {
    r#type: &'static str,
    #[serde(flatten)]
    report: &'a CheckReport,
}

fn answer(answer: &Answer) -> String {
    match answer {
        Answer::Yes => "yes".to_owned(),
        Answer::No => "no".to_owned(),
        Answer::Unknown(reason) => format!("could not tell ({reason})"),
    }
}
