//! Makes files: children of a directory that exist.

use std::{fs::File, path::PathBuf};

use anyhow::Context as _;

#[derive(clap::Args)]
pub struct Args {
    /// The directory; made if it is not there
    #[arg(long)]
    dir: PathBuf,
    /// How many files
    #[arg(long)]
    count: u64,
}

pub fn files(args: &Args) -> anyhow::Result<()> {
    let Args { dir, count } = args;
    std::fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
    std::env::set_current_dir(dir).with_context(|| format!("enter {}", dir.display()))?;
    for number in 0..*count {
        File::create(number.to_string()).with_context(|| format!("make file {number}"))?;
    }
    println!("{count} files made in {}", dir.display());
    Ok(())
}
