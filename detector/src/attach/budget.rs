//! Groups of probes that go and come back while the others stay.
//!
//! Only links go: a program stays loaded, so that its return needs neither the verifier nor the kernel's
//! type information. Before f3a95075549e ("bpf: Allow trampoline re-attach for tracing and lsm programs",
//! 5.13) a program can't be attached a second time: there it is loaded again.

use std::{
    collections::HashMap,
    io,
    thread::{self, JoinHandle},
};

use super::{Attached, chain, load_program, types, unload};
use crate::{clock, model::budget::Group};
use aya::{
    Btf,
    programs::{
        Program, ProgramError, fentry::FEntryLinkId, fexit::FExitLinkId,
        tp_btf::BtfTracePointLinkId,
    },
};

/// Where a program is attached, and what by.
pub(super) struct Link {
    pub(super) function: String,
    pub(super) id: LinkId,
}

pub(super) enum LinkId {
    Entry(FEntryLinkId),
    Exit(FExitLinkId),
    Tracepoint(BtfTracePointLinkId),
}

/// The links of programs that may be detached for a while, by the program's name. Breakpoints are in none of
/// the groups.
pub(super) type Links = HashMap<String, Link>;

/// Programs of groups that are away, with where they were.
pub(super) type Detached = HashMap<String, String>;

impl Attached {
    /// The groups of which programs are attached.
    #[must_use]
    pub fn groups(&self) -> Vec<Group> {
        Group::ALL
            .into_iter()
            .filter(|group| !self.names_of(*group).is_empty())
            .collect()
    }

    fn names_of(&self, group: Group) -> Vec<String> {
        let mut names: Vec<_> = self
            .links
            .keys()
            .chain(self.detached.keys())
            .filter(|name| Group::of_program(name) == Some(group))
            .cloned()
            .collect();
        names.sort_unstable();
        names
    }

    /// Takes the links of a group away, entries first: an exit without an entry says nothing, while an
    /// entry without an exit would look like a wait that never ends.
    ///
    /// In a thread of its own: on 6.1 and 6.12 each function takes the kernel a grace period of Tasks RCU
    /// (`ftrace_shutdown`, one after another under `direct_mutex`), on a busy host seconds of it, in which the
    /// loop would report nothing.
    pub fn detach_group(&mut self, group: Group) {
        let mut names = self.names_of(group);
        names.sort_by_key(|name| name.ends_with("_fexit") || name.ends_with("_end_tp"));
        let mut going: Vec<Box<dyn Send>> = Vec::new();
        for name in names {
            let Some(link) = self.links.remove(&name) else {
                continue;
            };
            let Some(program) = self.programs.program_mut(&name) else {
                continue;
            };
            going.extend(take_link(program, link.id));
            self.detached.insert(name, link.function);
        }
        // A link is gone when its descriptor is closed. Where there is no thread to be had, that is here.
        let thread = thread::Builder::new().name("detach".to_owned());
        self.going.extend(thread.spawn(move || drop(going)).ok());
    }

    /// Attaches a group again, all of it or nothing.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn attach_group(&mut self, group: Group) -> Result<(), String> {
        // A program that is still attached can't be attached.
        if !self.going.iter().all(JoinHandle::is_finished) {
            return Err("the kernel has not let go of it yet".to_owned());
        }
        self.going.clear();
        if group == Group::Waits {
            self.forget_waits().map_err(|error| error.to_string())?;
        }
        let mut names = self.names_of(group);
        names.sort_by_key(|name| !(name.ends_with("_fexit") || name.ends_with("_end_tp")));
        let mut kernel_btf = None;
        for name in names {
            if let Err(reason) = self.attach_again(&name, &mut kernel_btf) {
                self.detach_group(group);
                return Err(format!("{name}: {reason}"));
            }
        }
        Ok(())
    }

    fn attach_again(&mut self, name: &str, kernel_btf: &mut Option<Btf>) -> Result<(), String> {
        let (Some(program), Some(function)) =
            (self.programs.program_mut(name), self.detached.get(name))
        else {
            // It has stayed.
            return Ok(());
        };
        let id = attach_loaded(program).or_else(|_| {
            let btf = match kernel_btf {
                Some(btf) => btf,
                None => kernel_btf
                    .insert(types::numbered(&self.type_ids).map_err(|error| chain(&error))?),
            };
            unload(program);
            load_program(program, function, btf)
                .and_then(|()| attach_loaded(program))
                .map_err(|error| chain(&error))
        })?;
        let function = function.clone();
        self.detached.remove(name);
        self.links
            .extend(id.map(|id| (name.to_owned(), Link { function, id })));
        Ok(())
    }

    /// Waits that began while the programs were attached before: their ends were not seen. A word of the programs says since
    /// when waits count; no CPU's state is written, only its own programs may.
    fn forget_waits(&mut self) -> io::Result<()> {
        let now_ns = clock::monotonic_ns();
        self.waits_since_ns
            .set(0, now_ns, 0)
            .map_err(io::Error::other)?;
        let sleepers: Vec<_> = self.sleepers.keys().filter_map(Result::ok).collect();
        for tid in sleepers {
            // One that is gone meanwhile is what is wanted.
            let _ = self.sleepers.remove(&tid);
        }
        Ok(())
    }
}

/// What keeps a program attached until it is dropped.
fn take_link(program: &mut Program, id: LinkId) -> Option<Box<dyn Send>> {
    Some(match (program, id) {
        (Program::FEntry(program), LinkId::Entry(id)) => Box::new(program.take_link(id).ok()?),
        (Program::FExit(program), LinkId::Exit(id)) => Box::new(program.take_link(id).ok()?),
        (Program::BtfTracePoint(program), LinkId::Tracepoint(id)) => {
            Box::new(program.take_link(id).ok()?)
        }
        _ => return None,
    })
}

/// Attaches a program that is loaded; none for kinds that stay.
pub(super) fn attach_loaded(program: &mut Program) -> Result<Option<LinkId>, ProgramError> {
    Ok(match program {
        Program::FEntry(program) => Some(LinkId::Entry(program.attach()?)),
        Program::FExit(program) => Some(LinkId::Exit(program.attach()?)),
        Program::BtfTracePoint(program) => Some(LinkId::Tracepoint(program.attach()?)),
        _ => None,
    })
}
