//! A small Debian with systemd for guests that need one: made once, kept in the cache.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use sha2::{Digest as _, Sha256};

use super::disk::administrators_path;
use crate::{
    arch::GUEST,
    digest::hex,
    leftovers::Private,
    packages::{
        apt::{AptError, last_words},
        cache,
        mirrors::Mirrors,
    },
};

/// What makes it, in a file system without any program of this machine's: `ext2` is made from the
/// archive by genext2fs, which needs neither root nor a mount. Kernels mount it as ext4.
const RECIPE: [&str; 3] = [
    "--variant=essential",
    "--include=systemd,systemd-sysv",
    "--format=ext2",
];
/// Sparse, so what isn't used takes no room.
const SIZE: &str = "1G";

/// There is no udev, so a login on the console would wait for its device, and the start of everything for
/// that login, until a time-out of 90 s.
#[must_use]
pub fn no_login() -> String {
    format!("systemd.mask=serial-getty@{}.service", GUEST.console)
}

/// Why there is no root.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// The machine's apt doesn't know the archive.
    #[error("root {suite}: {error}")]
    Apt {
        /// The suite.
        suite: String,
        /// What happened.
        error: AptError,
    },
    /// A program isn't there or can't be started.
    #[error("{program}: {error} (install mmdebstrap, genext2fs and e2fsprogs)")]
    NotStarted {
        /// The program.
        program: &'static str,
        /// What happened.
        error: io::Error,
    },
    /// A program failed.
    #[error("root {suite}: {program}: {reason}")]
    Failed {
        /// The suite.
        suite: String,
        /// The program.
        program: &'static str,
        /// Its own last words.
        reason: String,
    },
    /// The cache can't be written.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
}

/// The image of a suite's root, made if need be (some ten seconds, 170 MB). It must
/// not be written to.
///
/// # Errors
/// When it can't be made.
pub fn image(suite: &str) -> Result<PathBuf, RootError> {
    let directory = cache::directory().join(cache::ROOTS);
    let image = directory.join(file_name(suite));
    if image.is_file() {
        return Ok(image);
    }
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| RootError::Io { path, error }
    };
    fs::create_dir_all(&directory).map_err(failed(&directory))?;
    let work = Private::below(&directory).map_err(failed(&directory))?;
    let made = work.path().join("root.img");
    log::info!("making a root of {suite} (once)");
    run(suite, "mmdebstrap", &arguments(suite, &made)?)?;
    run(
        suite,
        "resize2fs",
        &[made.display().to_string(), SIZE.into()],
    )?;
    // Another process may have been quicker; its result is as good.
    fs::rename(&made, &image).map_err(failed(&image))?;
    Ok(image)
}

/// The image's name in the cache: it changes with the recipe.
#[must_use]
pub fn file_name(suite: &str) -> String {
    let digest = Sha256::digest(format!("{}\n{SIZE}", RECIPE.join("\n")));
    format!("{suite}-{}.img", hex(&digest[..4]))
}

fn arguments(suite: &str, image: &Path) -> Result<Vec<String>, RootError> {
    let named = |error| RootError::Apt {
        suite: suite.to_owned(),
        error,
    };
    let mirrors = Mirrors::of_this_machine().map_err(named)?;
    let source = mirrors
        .source_line(suite, &format!("arch={}", GUEST.debian))
        .map_err(named)?;
    let mut arguments: Vec<_> = RECIPE.map(str::to_owned).to_vec();
    // As for package lists: nobody renews the file of an old suite.
    arguments.push("--aptopt=Acquire::Check-Valid-Until \"false\"".to_owned());
    arguments.extend([suite.to_owned(), image.display().to_string(), source]);
    Ok(arguments)
}

fn run(suite: &str, program: &'static str, arguments: &[String]) -> Result<(), RootError> {
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", administrators_path())
        .env("LC_ALL", "C")
        .output()
        .map_err(|error| RootError::NotStarted { program, error })?;
    if output.status.success() {
        return Ok(());
    }
    Err(RootError::Failed {
        suite: suite.to_owned(),
        program,
        reason: last_words(&String::from_utf8_lossy(&output.stderr)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_suite_has_another_image() {
        assert!(file_name("bookworm").starts_with("bookworm-"));
        assert_ne!(file_name("bookworm"), file_name("trixie"));
    }

    #[test]
    fn a_program_that_fails_is_named_with_its_last_words() {
        let error = run("x", "resize2fs", &["/no/such/file".into()])
            .expect_err("no such file")
            .to_string();
        assert!(error.starts_with("root x: resize2fs: "), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}
