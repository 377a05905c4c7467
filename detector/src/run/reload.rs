//! SIGHUP: the configuration file is read again, and the thresholds in it hold from then on.
//!
//! Reading it looks up a path, so it waits until no walk runs.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    attach::Thresholds,
    cli::{
        Command, RunArgs,
        config::{self, Config, Failure},
        first_line,
    },
    clock,
    daemon::service::Service,
    logging,
    model::ThresholdsChange,
    output::thresholds_text,
};

/// What the programs are told.
pub fn thresholds(args: &RunArgs) -> Thresholds {
    Thresholds {
        walk_ns: crate::cli::nanoseconds(args.walk_threshold),
        wait_ns: crate::cli::nanoseconds(args.wait_threshold),
        stall_ns: crate::cli::nanoseconds(args.stall_threshold),
        producer_children_min: args.producer_children_min,
    }
}

/// What the service manager shows.
pub fn status(args: &RunArgs) -> String {
    thresholds_text(
        crate::cli::nanoseconds(args.walk_threshold),
        crate::cli::nanoseconds(args.incident_threshold),
    )
}

/// Waits for the signal and knows what was read last.
pub struct Reload {
    hangup: Option<Signal>,
    is_wanted: bool,
    /// As it was at the start.
    file: Config,
    status: String,
    last: ThresholdsChange,
}

impl Reload {
    /// Catches SIGHUP where there is a file to read again, or a manager that may send it. Without, it
    /// ends the process as ever: its terminal was closed.
    pub fn new(args: &RunArgs, service: &Service) -> io::Result<Self> {
        let is_caught = args.file.file.is_some() || service.is_there();
        Ok(Self {
            hangup: is_caught
                .then(|| signal(SignalKind::hangup()))
                .transpose()?,
            is_wanted: false,
            file: args.file.clone(),
            status: status(args),
            last: change(args),
        })
    }

    /// Returns when the signal came.
    pub async fn signalled(&mut self) {
        match &mut self.hangup {
            Some(hangup) => {
                hangup.recv().await;
            }
            None => std::future::pending().await,
        }
        self.is_wanted = true;
    }

    /// Reads the file again if that is wanted and now is a time for it. What came of it: other
    /// thresholds, if any.
    pub fn read(
        &mut self,
        is_quiet: bool,
        service: &mut Service,
    ) -> Option<(Thresholds, ThresholdsChange)> {
        if !self.is_wanted || !is_quiet {
            return None;
        }
        self.is_wanted = false;
        service.reloading();
        let refused = |mistake: String| {
            let what = format!("{mistake}; the old settings stay");
            logging::complain(logging::PROGRAM, what);
            None
        };
        let args = match config::parse(std::env::args_os()) {
            Ok(cli) => match cli.command {
                Command::Run(args) => Some(args),
                _ => None,
            },
            Err(Failure::File(error)) => refused(error.to_string()),
            // It was right at the start: a value of the file and one of the command line exclude each other now.
            Err(Failure::CommandLine(error)) => refused(first_line(&error)),
        };
        let changed = args.and_then(|args| self.take(&args));
        service.ready(self.status.clone());
        changed
    }

    fn take(&mut self, args: &RunArgs) -> Option<(Thresholds, ThresholdsChange)> {
        for key in self.file.changes_for_restart(&args.file) {
            logging::complain(
                logging::PROGRAM,
                format_args!("{key}: the change takes a restart"),
            );
        }
        self.status = status(args);
        let change = change(args);
        let is_same = ThresholdsChange {
            at_ns: self.last.at_ns,
            ..change
        } == self.last;
        self.last = change;
        (!is_same).then(|| (thresholds(args), change))
    }
}

fn change(args: &RunArgs) -> ThresholdsChange {
    let thresholds = thresholds(args);
    ThresholdsChange {
        at_ns: clock::monotonic_ns(),
        walk_threshold_ns: thresholds.walk_ns,
        incident_threshold_ns: crate::cli::nanoseconds(args.incident_threshold),
        wait_threshold_ns: thresholds.wait_ns,
        stall_threshold_ns: thresholds.stall_ns,
    }
}
