//! `vmtest fetch`: downloads kernels, and pins newer ones.

use std::{collections::BTreeSet, sync::Mutex, thread};

use anyhow::Result;

use crate::{
    cli::FetchArgs,
    kernels::{KernelEntry, Kernels},
    packages::{
        apt::{Lists, Mirrors},
        cache,
        store::Store,
        update,
    },
};

/// Runs it; returns the exit code.
///
/// # Errors
/// When a name is unknown, or the lock can't be updated.
pub fn run(arguments: &FetchArgs, mut kernels: Kernels) -> Result<i32> {
    for name in &arguments.names {
        kernels.get(name)?;
    }
    let is_chosen =
        |entry: &&KernelEntry| arguments.names.is_empty() || arguments.names.contains(&entry.name);
    let chosen: Vec<KernelEntry> = kernels.entries.iter().filter(is_chosen).cloned().collect();
    if arguments.update {
        update(&chosen, &mut kernels)?;
    }
    Ok(fetch_all(&chosen, &kernels))
}

fn update(chosen: &[KernelEntry], kernels: &mut Kernels) -> Result<()> {
    // Before anything is downloaded: is there a place to write to?
    kernels.lock_path()?;
    let suites: BTreeSet<&str> = chosen.iter().map(|entry| entry.suite.as_str()).collect();
    let suites: Vec<&str> = suites.into_iter().collect();
    let lists = Lists::fetch(
        &cache::directory().join("apt"),
        &Mirrors::of_this_machine()?,
        &suites,
    )?;
    for suite in suites {
        let packages = lists.packages(suite)?;
        for entry in chosen.iter().filter(|entry| entry.suite == suite) {
            let pin = match update::choose(entry, &packages) {
                Ok(pin) => pin,
                // Its old pin stays: a cache may still have it.
                Err(error) if entry.may_be_unavailable => {
                    eprintln!("vmtest: {error}");
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if kernels.pin(&entry.name) != Some(&pin) {
                println!(
                    "{}: pinned {} {}",
                    entry.name, pin.package[0].name, pin.package[0].version
                );
            }
            kernels.set_pin(pin);
        }
    }
    let path = kernels.write_lock()?;
    println!("wrote {}", path.display());
    Ok(())
}

/// Fetches with as many threads as CPUs: unpacking is most of the work.
fn fetch_all(chosen: &[KernelEntry], kernels: &Kernels) -> i32 {
    let store = Store::default();
    let waiting = Mutex::new(chosen.iter());
    let exit_code = Mutex::new(0);
    let lock = std::sync::PoisonError::into_inner;
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(entry) = { waiting.lock().unwrap_or_else(lock).next() } {
                    match store.get(kernels, entry) {
                        Ok(kernel) => {
                            println!("{}: {}", entry.name, kernel.release.unwrap_or_default())
                        }
                        Err(error) if error.is_unavailable() && entry.may_be_unavailable => {
                            eprintln!(
                                "vmtest: {error}: unavailable, which is no failure for this one"
                            );
                        }
                        Err(error) => {
                            eprintln!("vmtest: {error}");
                            *exit_code
                                .lock()
                                .unwrap_or_else(|poisoned| poisoned.into_inner()) = 1;
                        }
                    }
                }
            });
        }
    });
    exit_code.into_inner().unwrap_or(1)
}
