//! `vmtest clean`: removes what the cache has for nothing.

use std::env;

use anyhow::{Context as _, Result};

use crate::{
    cli::CleanArgs,
    leftovers,
    manifest::{kernels::Kernels, scenarios::Scenarios},
    packages::{
        cache,
        clean::{self, InUse},
    },
    vm::root,
};

/// Runs it; returns the exit code.
///
/// # Errors
/// When the cache is in use or can't be written.
pub fn run(arguments: &CleanArgs, kernels: &Kernels) -> Result<i32> {
    let directory = cache::directory();
    let _nobody = InUse::nobody(&directory).with_context(|| directory.display().to_string())?;
    let scenarios = Scenarios::load(None)?;
    let roots: Vec<String> = scenarios
        .entries
        .iter()
        .filter_map(|scenario| scenario.root.as_deref())
        .map(root::file_name)
        .collect();
    if !arguments.dry_run {
        for path in leftovers::sweep(&env::temp_dir()) {
            println!("removed {}, which a killed run left", path.display());
        }
    }
    let verb = if arguments.dry_run {
        "would remove"
    } else {
        "removed"
    };
    let mut exit_code = 0;
    let (mut count, mut total_bytes) = (0, 0);
    for one in clean::unneeded(&directory, kernels, &roots, arguments.all) {
        if !arguments.dry_run
            && let Err(error) = clean::remove(&one.path)
        {
            complain!("{}: {error}", one.path.display());
            exit_code = 1;
            continue;
        }
        count += 1;
        total_bytes += one.size_bytes;
        println!("{verb} {} ({} bytes)", one.path.display(), one.size_bytes);
    }
    println!(
        "{verb} {count} in {} ({total_bytes} bytes)",
        directory.display()
    );
    Ok(exit_code)
}
