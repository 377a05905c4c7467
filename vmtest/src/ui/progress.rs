//! What the user sees of a run: on a terminal a line per guest that updates, elsewhere a plain
//! line per result.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// The run's display.
#[derive(Debug)]
pub struct Progress {
    lines: Option<MultiProgress>,
}

/// One guest's line.
#[derive(Debug)]
pub struct Line {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// A display for this standard output.
    #[must_use]
    pub fn new() -> Self {
        Self {
            lines: io::stderr().is_terminal().then(MultiProgress::new),
        }
    }

    /// A line for a guest, until it is dropped.
    #[must_use]
    pub fn line(&self, guest: &str) -> Line {
        let bar = self.lines.as_ref().map(|lines| {
            let bar = lines.add(ProgressBar::new_spinner());
            let style =
                ProgressStyle::with_template("{spinner} {prefix:<28} {elapsed:>4}  {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.set_prefix(guest.to_owned());
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Line { bar }
    }

    /// A line that stays.
    pub fn say(&self, text: &str) {
        match &self.lines {
            Some(lines) => lines.suspend(|| println!("{text}")),
            None => println!("{text}"),
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Line {
    /// What the guest does now.
    pub fn set(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
