//! Lookups that miss: each leaves a negative dentry on a disk file system.

use std::{ffi::OsString, io, path::PathBuf};

use anyhow::Context as _;
use fslockup_tests::names::flood_names;
use nix::{
    fcntl::{AT_FDCWD, AtFlags},
    sys::stat::fstatat,
};

#[derive(clap::Args)]
pub struct Args {
    /// The directory; made if it is not there
    #[arg(long)]
    dir: PathBuf,
    /// How many names
    #[arg(long)]
    count: u64,
    /// What each name begins with; 16 random hexadecimal digits follow
    #[arg(long, default_value = "null")]
    prefix: OsString,
    /// Seed of the names: the same seed gives the same names
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub fn flood(args: &Args) -> anyhow::Result<()> {
    let Args {
        dir,
        count,
        prefix,
        seed,
    } = args;
    std::fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
    // A relative lookup: the path of the directory is not walked again for every name.
    std::env::set_current_dir(dir).with_context(|| format!("enter {}", dir.display()))?;
    let count_max = usize::try_from(*count)?;
    for name in flood_names(prefix, *seed).take(count_max) {
        match fstatat(AT_FDCWD, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(nix::Error::ENOENT) => {}
            Ok(_) => anyhow::bail!("{} exists", name.display()),
            Err(errno) => {
                return Err(io::Error::from(errno))
                    .with_context(|| format!("look up {}", name.display()));
            }
        }
    }
    println!("{count} names looked up in {}", dir.display());
    Ok(())
}
