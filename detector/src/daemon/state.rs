//! `--state-dir`: from the options to the evidence of a run.

use std::process;

use super::memory;
use crate::{
    cli::StateArgs,
    clock,
    error::CommandError,
    escape::escape,
    evidence::{
        Ring, Store,
        line::{RunBody, RunState},
        rotation::Limits,
    },
    host::boot_id::boot_id,
    model::Session,
    schema,
};

/// The directory, open, and nothing written yet: attaching can still fail.
pub struct State {
    store: Store,
    name: String,
}

impl State {
    /// None where none was asked for.
    pub fn open(args: &StateArgs) -> Result<Option<Self>, CommandError> {
        let Some(path) = &args.state_dir else {
            return Ok(None);
        };
        let name = escape(path.as_os_str().as_encoded_bytes());
        let limits = Limits {
            total_bytes: args.state_bytes,
            age_max: args.state_age,
        };
        let store =
            Store::open(path, limits).map_err(CommandError::io(format!("--state-dir {name}")))?;
        Ok(Some(Self { store, name }))
    }

    /// Locks the memory and writes that the run has started.
    pub fn begin(mut self, session: &Session) -> Begun {
        if let Err(reason) = memory::lock() {
            log::warn!("{reason}");
        }
        let run = RunBody {
            state: RunState::Started,
            at: schema::values::time(clock::realtime_ns()),
            started_at: None,
            host: escape(session.facts.host.as_bytes()),
            kernel: session.facts.kernel_release.clone(),
            boot_id: boot_id(),
            fslockup_version: session.fslockup_version.clone(),
            pid: process::id(),
            reason: None,
        };
        self.store.run(run.clone());
        Begun { state: self, run }
    }
}

/// A run of which the directory knows.
pub struct Begun {
    state: State,
    run: RunBody,
}

impl Begun {
    /// Starts the thread that writes. It has the capabilities that this one has now: give them up before.
    pub fn hand_over(self) -> Result<Ring, CommandError> {
        Ring::start(self.state.store, self.state.name, self.run)
            .map_err(CommandError::io("thread for evidence"))
    }
}
