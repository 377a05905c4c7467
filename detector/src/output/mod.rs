//! Findings as text for people and as JSON for programs. Nothing here asks the system anything.

mod budget;
mod census;
mod check;
mod check_dangers;
mod duration;
pub mod history_json;
pub mod history_text;
pub mod html;
mod incident_text;
pub mod journald;
mod layout;
mod origin;
pub mod perfetto;
mod storm;
#[cfg(test)]
mod tests;
mod text;
mod timeline;
mod top_cells;
mod top_json;
mod top_text;
mod trace;

use std::io::Write;

pub use census::CensusReport;
pub use check::{CheckReport, Verdict};
pub use check_dangers::Dangers;
pub use text::thresholds_text;
pub use top_json::write_top;
pub use top_text::{Screen, top_lines};
pub use trace::{TracePrinter, TraceSession, TraceSummary};

use crate::{
    model::{Finding, Session},
    schema,
};

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: one object a line, each with `schema` and `type`.
    Json,
}

/// Prints findings as they come.
pub struct Printer<W: Write> {
    to: W,
    format: Format,
    session: Session,
    is_coloured: bool,
}

impl<W: Write> Printer<W> {
    /// Prints what is fixed for the run, then is ready for findings.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn start(to: W, format: Format, session: &Session) -> std::io::Result<Self> {
        let mut printer = Self {
            to,
            format,
            session: session.clone(),
            is_coloured: false,
        };
        match format {
            Format::Text => text::session(&mut printer.to, session)?,
            Format::Json => schema::line(&mut printer.to, &schema::facts(session))?,
        }
        printer.to.flush()?;
        Ok(printer)
    }

    /// Text gets colour: see [`wants_colour`].
    #[must_use]
    pub fn coloured(mut self, is_coloured: bool) -> Self {
        self.is_coloured = is_coloured;
        self
    }

    /// Prints one finding.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn print(&mut self, finding: &Finding) -> std::io::Result<()> {
        match self.format {
            Format::Text => text::finding(&mut self.to, &self.session, finding, self.is_coloured)?,
            Format::Json => schema::line(&mut self.to, &schema::finding(&self.session, finding))?,
        }
        self.to.flush()
    }
}

impl Printer<Vec<u8>> {
    /// What was printed since the last call.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.to)
    }
}

/// Standard output is a terminal, and the user has not said no to colour (`NO_COLOR`).
#[must_use]
pub fn wants_colour() -> bool {
    anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never
}
