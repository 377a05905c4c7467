//! The danger list as `fslockup check` shows it: the first few, once.

use std::io::{self, Write};

use serde::Serialize;

use super::{layout::WIDTH, top_json::DangerBody, top_text::danger_lines};
use crate::{
    directories::list::{Snapshot, SortKey, Top},
    escape::escape,
};

/// Directories shown: `top` shows them all.
const SHOWN_MAX: usize = 5;
/// Columns of the labels of `check`.
const LABEL_WIDTH: usize = 12;

/// Which directories a walk would freeze this host for.
#[derive(Serialize)]
pub struct Dangers {
    /// The first of the list; none where nobody could look.
    dangers: Option<Vec<DangerBody>>,
    /// Why not.
    dangers_unknown: Option<String>,
    #[serde(skip)]
    lines: Vec<String>,
}

impl Dangers {
    /// From one reading, or the reason why there is none.
    #[must_use]
    pub fn new(read: Result<Snapshot, String>) -> Self {
        let snapshot = match read {
            Ok(snapshot) => snapshot,
            Err(reason) => {
                return Self {
                    dangers: None,
                    lines: vec![format!("could not tell ({})", escape(reason.as_bytes()))],
                    dangers_unknown: Some(reason),
                };
            }
        };
        let mut top = Top::default();
        top.update(snapshot);
        let rows: Vec<_> = top.view(SortKey::default(), SHOWN_MAX).rows;
        let lines = if rows.is_empty() {
            vec!["none: no directory that was looked at has 1000 children in the cache".to_owned()]
        } else {
            danger_lines(&rows, WIDTH - LABEL_WIDTH)
        };
        Self {
            dangers: Some(rows.into_iter().map(DangerBody::of).collect()),
            dangers_unknown: None,
            lines,
        }
    }

    /// Prints it.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn text(&self, to: &mut impl Write) -> io::Result<()> {
        for (number, line) in self.lines.iter().enumerate() {
            let label = if number == 0 { "danger" } else { "" };
            writeln!(to, "{label:<LABEL_WIDTH$}{line}")?;
        }
        Ok(())
    }
}
