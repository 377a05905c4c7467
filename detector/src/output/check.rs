//! What `fslockup check` found.

use std::io::{self, Write};

use serde::Serialize;

use super::{Dangers, Format};
use crate::{
    escape::escape,
    facts::{Answer, DentryState, Facts, Sysctl},
    model::AttachReport,
    plan::{Exposure, Plan, Setting, exposure, settings},
    probes::PROBES,
    schema,
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
    /// What settings would help and what not.
    pub settings: Vec<Setting>,
    /// The dentry cache now.
    pub dentry_state: Option<DentryState>,
    /// The directories to be afraid of now.
    #[serde(flatten)]
    pub dangers: Dangers,
}

impl CheckReport {
    /// Judges what was tried.
    #[must_use]
    pub fn new(
        facts: Facts,
        plan: Option<Plan>,
        attached: Result<AttachReport, String>,
        dentry_state: Option<DentryState>,
        dangers: Dangers,
    ) -> Self {
        let missing_fields = crate::facts::missing_offsets(&facts);
        let verdict = match &attached {
            Err(_) => Verdict::CannotRun,
            Ok(report)
                if report.is_full()
                    && missing_fields.is_empty()
                    && facts.may_read_kernel_log == Answer::Yes
                    && facts.sees_host_pids != Answer::No
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
            settings: settings(&facts),
            facts,
            plan,
            attached,
            error,
            missing_fields,
            dentry_state,
            dangers,
        }
    }

    /// Prints it.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn print(&self, to: &mut impl Write, format: Format) -> io::Result<()> {
        match format {
            Format::Text => self.text(to),
            Format::Json => schema::line(
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
            "ring buffer its lock sleeps: {}",
            answer(&facts.ring_lock_sleeps)
        )?;
        writeln!(
            to,
            "kernel log  may be read: {}",
            answer(&facts.may_read_kernel_log)
        )?;
        writeln!(
            to,
            "processes   have the ids here that the programs see: {}",
            answer(&facts.sees_host_pids)
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
        self.exposure_text(to)?;
        self.dangers.text(to)?;
        self.cache_text(to)?;
        let verdict = match self.verdict {
            Verdict::Full => "full: everything can be seen",
            Verdict::Degraded => "degraded: works, with the losses named above",
            Verdict::CannotRun => "cannot run",
        };
        writeln!(to, "verdict     {verdict}")
    }

    fn exposure_text(&self, to: &mut impl Write) -> io::Result<()> {
        let Exposure {
            walk_on_first_watch,
            walk_on_every_watch,
            walk_on_removal,
            herd,
        } = &self.exposure;
        let lines = [
            (
                "a first watch for events on children walks them all",
                walk_on_first_watch,
            ),
            (
                "so does every other watch and change of one",
                walk_on_every_watch,
            ),
            (
                "so does the first access after a watch went",
                walk_on_removal,
            ),
            ("and that on many CPUs in turn (herd)", herd),
        ];
        for (number, (what, whether)) in lines.into_iter().enumerate() {
            let label = if number == 0 { "exposure" } else { "" };
            writeln!(to, "{label:<12}{what}: {}", answer(whether))?;
        }
        let what = if self.exposure.herd == Answer::Yes {
            "a kernel with commit 172e422ffea2 walks for a first watch only"
        } else {
            "`fslockup top` goes on looking for directories that are dangerous"
        };
        writeln!(to, "{:<12}{what}", "")
    }

    fn cache_text(&self, to: &mut impl Write) -> io::Result<()> {
        match &self.dentry_state {
            Some(state) => {
                let share = state
                    .negative_percent()
                    .map(|percent| format!(" ({percent} % of all)"));
                writeln!(
                    to,
                    "dentries    {} cached, {} unused, {} of them negative{}",
                    state.dentries_count,
                    state.unused_count,
                    state.negative_count,
                    share.unwrap_or_default(),
                )?;
            }
            None => writeln!(to, "dentries    could not tell")?,
        }
        for setting in &self.settings {
            let name = setting.name;
            match &setting.value {
                Sysctl::Value(value) => writeln!(to, "setting     {name} = {value}")?,
                Sysctl::Absent => {
                    writeln!(to, "setting     {name}: not in this kernel")?;
                    continue;
                }
                Sysctl::Unknown(reason) => {
                    let reason = escape(reason.as_bytes());
                    writeln!(to, "setting     {name}: could not tell ({reason})")?;
                }
            }
            if let Some(warning) = &setting.warning {
                writeln!(to, "            {warning}")?;
            }
            writeln!(to, "            helps: {}", setting.helps)?;
            writeln!(to, "            doesn't: {}", setting.does_not_help)?;
        }
        writeln!(
            to,
            "cgroups     the dentries of one can be freed alone (memory.reclaim): {}",
            answer(&self.facts.has_memory_reclaim)
        )
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

#[cfg(test)]
mod tests;
