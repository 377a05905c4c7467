//! Names that exist: children of a directory whose locks a walk takes, which makes it several times
//! as long as over names that don't.

use std::{fs::File, path::PathBuf};

use anyhow::Context as _;

#[derive(clap::Args)]
pub struct Args {
    /// The directory; made if it is not there
    #[arg(long)]
    dir: PathBuf,
    /// How many names, all of the same empty file
    #[arg(long)]
    count: u64,
    /// The number that the first name is; those below it are there
    #[arg(long, default_value_t = 0)]
    first: u64,
}

pub fn files(args: &Args) -> anyhow::Result<()> {
    let Args { dir, count, first } = args;
    std::fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
    std::env::set_current_dir(dir).with_context(|| format!("enter {}", dir.display()))?;
    if *first == 0 {
        File::create("0").context("make file 0")?;
    }
    for number in (*first).max(1)..first + count {
        // A link costs a third of what a file does.
        std::fs::hard_link("0", number.to_string())
            .with_context(|| format!("make link {number}"))?;
    }
    println!("{count} names made in {}", dir.display());
    Ok(())
}
