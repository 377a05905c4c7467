//! `vmtest fetch`: downloads kernels, and pins newer ones.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    thread,
};

use anyhow::Result;

use crate::{
    cli::FetchArgs,
    manifest::kernels::{KernelEntry, Kernels},
    packages::{StoreError, apt::AptError, cache, lists, mirrors::Mirrors, store::Store, update},
};

/// Runs it; returns the exit code.
///
/// # Errors
/// When a name is unknown, or the lock can't be written.
pub fn run(arguments: &FetchArgs, mut kernels: Kernels) -> Result<i32> {
    for name in &arguments.names {
        kernels.get(name)?;
    }
    let named = |entry: &KernelEntry| arguments.names.contains(&entry.name);
    let is_all = arguments.names.is_empty();
    let entries = kernels.entries.clone();
    let mut exit_code = 0;
    if arguments.update {
        let chosen: Vec<&KernelEntry> = entries
            .iter()
            .filter(|entry| is_all || named(entry))
            .collect();
        exit_code = update(&chosen, is_all, &mut kernels)?;
    }
    let chosen: Vec<&KernelEntry> = entries
        .iter()
        .filter(|entry| named(entry) || is_all && !entry.is_optional)
        .collect();
    Ok(exit_code.max(fetch_all(&chosen, &kernels)))
}

/// Pins what the archive has now. What can't be pinned keeps its old pin, and the others go on.
fn update(chosen: &[&KernelEntry], is_all: bool, kernels: &mut Kernels) -> Result<i32> {
    // Before anything is downloaded: is there a place to write to?
    kernels.lock_path()?;
    let mirrors = Mirrors::of_this_machine()?;
    let mut of_suite: BTreeMap<&str, Vec<&KernelEntry>> = BTreeMap::new();
    for entry in chosen {
        of_suite.entry(&entry.suite).or_default().push(entry);
    }
    let directory = cache::directory().join(cache::LISTS);
    let mut exit_code = 0;
    let mut found_count = 0;
    for (suite, entries) in of_suite {
        let list = match lists::packages(&directory, &mirrors, suite) {
            Ok(list) => list,
            Err(error) => {
                let names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
                let reason = match error {
                    AptError::Gone(what) => format!("{what} is no longer in the archive"),
                    error => error.to_string(),
                };
                complain!("kernel {}: {reason}", names.join(", "));
                exit_code = 1;
                continue;
            }
        };
        for entry in entries {
            match update::choose(entry, &list) {
                Ok(pin) => {
                    if kernels.pin(&entry.name) != Some(&pin) {
                        println!(
                            "{}: pinned {} {}",
                            entry.name, pin.package[0].name, pin.package[0].version
                        );
                    }
                    kernels.set_pin(pin);
                    found_count += 1;
                }
                Err(error) => {
                    complain!("{error}");
                    // Of some there is nothing for a while: a release candidate after the release.
                    if !(entry.is_optional && is_all) {
                        exit_code = 1;
                    }
                }
            }
        }
    }
    if found_count > 0 {
        let path = kernels.write_lock()?;
        let built_in = if kernels.is_built_in() {
            " (build vmtest again: it has the lock built in)"
        } else {
            ""
        };
        println!("wrote {}{built_in}", path.display());
    }
    Ok(exit_code)
}

/// What came out for all kernels.
#[derive(Default)]
struct Fetched {
    had_count: usize,
    unavailable_count: usize,
    is_failed: bool,
    /// Kernels by what is the matter with all of them.
    in_common: BTreeMap<String, Vec<String>>,
}

/// Fetches with as many threads as CPUs: unpacking is most of the work.
fn fetch_all(chosen: &[&KernelEntry], kernels: &Kernels) -> i32 {
    let store = Store::default();
    let waiting = Mutex::new(chosen.iter());
    let fetched = Mutex::new(Fetched::default());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(entry) = {
                    let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                    waiting.next()
                } {
                    let result = store.get(kernels, entry);
                    let mut fetched = fetched.lock().unwrap_or_else(PoisonError::into_inner);
                    match result {
                        Ok(kernel) => {
                            if let Some(note) = kernel.note() {
                                complain!("{note}");
                            }
                            println!("{}: {}", entry.name, kernel.release.unwrap_or_default());
                            fetched.had_count += 1;
                        }
                        Err(error) => fetched.fail(&error, kernels.is_locked),
                    }
                }
            });
        }
    });
    let mut fetched = fetched.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (reason, names) in &mut fetched.in_common {
        names.sort();
        complain!("kernel {}: {reason}", names.join(", "));
    }
    // That nothing is to be had is no small loss.
    let is_empty = fetched.had_count == 0 && fetched.unavailable_count > 0;
    i32::from(fetched.is_failed || is_empty)
}

impl Fetched {
    fn fail(&mut self, error: &StoreError, is_locked: bool) {
        if error.is_unavailable() && !is_locked {
            self.unavailable_count += 1;
            complain!("{error}: unavailable");
            return;
        }
        self.is_failed = true;
        match error.in_common() {
            Some((kernel, reason)) => {
                let names = self.in_common.entry(reason).or_default();
                names.push(kernel.to_owned());
            }
            None => complain!("{error}"),
        }
    }
}
