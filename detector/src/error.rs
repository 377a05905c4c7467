//! What ends a command early.

use crate::{
    attach::{AttachError, census::CensusError},
    facts::FactsError,
    plan::PlanError,
    recording::RecordingError,
};

/// What ends a command early. The text is one line that names the object and the way out.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The kernel could not be asked.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// The kernel has nothing to attach to.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The kernel refused.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The census program can't be loaded.
    #[error(transparent)]
    Census(#[from] CensusError),
    /// A directory's children can't be counted.
    #[error("{name}: {source}")]
    Directory {
        /// The directory.
        name: String,
        /// Why.
        source: CensusError,
    },
    /// A recording can't be read.
    #[error("{file}: {source}")]
    Recording {
        /// The file.
        file: String,
        /// Why.
        source: RecordingError,
    },
    /// The address for metrics can't be had.
    #[error("--metrics {address}: {source} (is another fslockup running? choose another port)")]
    Metrics {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A state directory has no such incident.
    #[error("--id {id}: no such incident in {name} (fslockup report lists them)")]
    NoIncident {
        /// What was asked for.
        id: String,
        /// The directory.
        name: String,
    },
    /// Reading or writing failed.
    #[error("{what}: {source}")]
    Io {
        /// The object.
        what: String,
        /// Why.
        source: std::io::Error,
    },
}

impl CommandError {
    /// An error of the system, with the object that it is about.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// The reader of our output went away (`fslockup run | head`): not worth a word.
    pub(crate) fn is_closed_output(&self) -> bool {
        matches!(self, Self::Io { what, source } if what == OUTPUT && source.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

/// The object in errors about our own output.
pub const OUTPUT: &str = "output";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{facts::Answer, logging::complaint};

    /// A recording from elsewhere: its header has a word that no version knows.
    #[test]
    fn what_a_parser_quotes_of_a_file_moves_no_cursor() {
        let word = format!("\\u001b]0;owned\\u0007\\n{}", "A".repeat(3_000));
        let source = serde_json::from_str::<Answer>(&format!("\"{word}\"")).expect_err("unknown");
        let error = CommandError::Recording {
            file: "sent.recording".to_owned(),
            source: RecordingError::Corrupt(format!("header: {source}")),
        };
        assert!(error.to_string().contains('\x1b'), "or this shows nothing");
        let line = complaint(&error.to_string());
        assert!(line.starts_with("sent.recording: "), "{line}");
        assert!(
            !line.contains(char::is_control) && line.len() < 1_100,
            "{line}"
        );
    }
}
