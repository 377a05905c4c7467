//! Where the files of packages go: which of them, under which names, and how much they may be.
//!
//! Packages are not trusted. Nothing is made but directories and regular files, below one new
//! directory, so no link can lead out of it.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Component, Path, PathBuf},
};

use nix::sys::statvfs::statvfs;

/// Distributions' kernels take 40 to 600 MB; modules with their debug information some GB.
const MAX_BYTES: u64 = 8 << 30;
/// What stays free on the disk.
const RESERVE_BYTES: u64 = 256 << 20;
/// Distributions' kernels have 500 to 8,000.
const MAX_FILES: u32 = 100_000;

/// Takes the files of one kernel, in as many packages as it has.
pub struct Sink {
    directory: PathBuf,
    release: Option<String>,
    limit_bytes: u64,
    left_bytes: u64,
    left_files: u32,
}

impl Sink {
    /// For files below this new and empty directory.
    ///
    /// # Errors
    /// When its disk can't be asked for the room that is left.
    pub fn new(directory: &Path) -> io::Result<Self> {
        let disk = statvfs(directory)?;
        let free_bytes = disk.blocks_available() * disk.fragment_size();
        let limit_bytes = MAX_BYTES.min(free_bytes.saturating_sub(RESERVE_BYTES));
        Ok(Self::with_limits(directory, limit_bytes, MAX_FILES))
    }

    fn with_limits(directory: &Path, limit_bytes: u64, left_files: u32) -> Self {
        Self {
            directory: directory.to_owned(),
            release: None,
            limit_bytes,
            left_bytes: limit_bytes,
            left_files,
        }
    }

    /// Writes a package's file of this path (relative to the root) as `vmlinuz`, `config` or
    /// `modules/…`, or passes it over.
    ///
    /// # Errors
    /// When it can't be read or written, is of another kernel than those before, or is too much.
    pub fn take(&mut self, path: &Path, content: &mut dyn Read) -> io::Result<()> {
        let Some((place, release)) = place(path) else {
            return Ok(());
        };
        match &self.release {
            Some(before) if *before != release => {
                return Err(io::Error::other(format!(
                    "it is of kernel {release}, and what came before of {before} (give the packages of one kernel)"
                )));
            }
            _ => self.release = Some(release),
        }
        let fewer = self.left_files.checked_sub(1);
        self.left_files = fewer.ok_or_else(|| io::Error::other("too many files"))?;
        let target = self.directory.join(place);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        // One byte more shows that there is more.
        let limit = self.left_bytes.saturating_add(1);
        let count = io::copy(&mut content.take(limit), &mut File::create(target)?)?;
        self.left_bytes = self.left_bytes.checked_sub(count).ok_or_else(|| {
            io::Error::other(format!(
                "its files take more than {} MiB, which is the limit (or all the room on the disk)",
                self.limit_bytes >> 20
            ))
        })?;
        Ok(())
    }

    /// The kernel's release, when anything of one has come.
    #[must_use]
    pub fn into_release(self) -> Option<String> {
        self.release
    }
}

/// Where a file of the package goes, and the release it belongs to; `None` for what no guest
/// needs. All layouts: `boot/vmlinuz-RELEASE` (Debian, Ubuntu), and all in `lib/modules/RELEASE` (Fedora, RHEL)
/// or `usr/lib/modules/RELEASE` (Debian since 7.1, SUSE).
fn place(path: &Path) -> Option<(PathBuf, String)> {
    let parts: Vec<&str> = path
        .components()
        .filter(|part| !matches!(part, Component::CurDir))
        .map(|part| match part {
            Component::Normal(name) => name.to_str(),
            _ => None,
        })
        .collect::<Option<_>>()?;
    let parts = parts.strip_prefix(&["usr"]).unwrap_or(&parts);
    let (place, release) = match parts {
        ["boot", file] => {
            let (name, release) = file.split_once('-')?;
            if !matches!(name, "vmlinuz" | "config") {
                return None;
            }
            (name.into(), release)
        }
        ["lib", "modules", release, file @ ("vmlinuz" | "config")] => {
            (PathBuf::from(file), *release)
        }
        ["lib", "modules", release, rest @ ..]
            if rest.first()? == &"kernel" || rest.first()?.starts_with("modules.") =>
        {
            let rest: PathBuf = rest.iter().collect();
            (Path::new("modules").join(rest), *release)
        }
        _ => return None,
    };
    // It is printed, and `uname -r` has no others.
    let is_release = release.bytes().all(|byte| byte.is_ascii_graphic());
    is_release.then(|| (place, release.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(path: &str) -> Option<(String, String)> {
        place(Path::new(path)).map(|(to, release)| (to.display().to_string(), release))
    }

    #[test]
    fn both_layouts_lead_to_the_same_places() {
        let expected = |to: &str| Some((to.to_owned(), "6.1.0-56-cloud-amd64".to_owned()));
        assert_eq!(
            placed("./boot/vmlinuz-6.1.0-56-cloud-amd64"),
            expected("vmlinuz")
        );
        assert_eq!(
            placed("./usr/lib/modules/6.1.0-56-cloud-amd64/vmlinuz"),
            expected("vmlinuz")
        );
        assert_eq!(
            placed("./lib/modules/6.1.0-56-cloud-amd64/kernel/fs/a.ko"),
            expected("modules/kernel/fs/a.ko")
        );
        assert_eq!(
            placed("usr/lib/modules/6.1.0-56-cloud-amd64/modules.builtin"),
            expected("modules/modules.builtin")
        );
        assert_eq!(
            placed("boot/config-6.1.0-56-cloud-amd64"),
            expected("config")
        );
    }

    #[test]
    fn other_files_and_ways_out_of_the_directory_are_passed_over() {
        for path in [
            "boot/System.map-6.1",
            "usr/share/doc/x",
            "/boot/vmlinuz-1",
            "lib/modules/1/../../x",
            "lib/modules/1/kernel/../../../x",
        ] {
            assert_eq!(placed(path), None, "{path}");
        }
    }

    #[test]
    fn a_release_has_no_characters_for_the_terminal() {
        assert_eq!(placed("boot/vmlinuz-6.1\x1b[2J"), None);
        assert_eq!(placed("lib/modules/6 1/vmlinuz"), None);
    }

    fn taken(sink: &mut Sink, path: &str, content: &[u8]) -> Result<(), String> {
        let mut content = content;
        sink.take(Path::new(path), &mut content)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn bytes_and_files_have_limits() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut sink = Sink::with_limits(directory.path(), 2 << 20, 3);
        taken(&mut sink, "boot/vmlinuz-6.1", &[0; 1 << 20]).expect("within");
        taken(&mut sink, "boot/config-6.1", &[0; 1 << 20]).expect("within");
        let error = taken(&mut sink, "lib/modules/6.1/modules.order", &[0]).expect_err("above");
        assert!(
            error.starts_with("its files take more than 2 MiB"),
            "{error}"
        );
        let written = fs::metadata(directory.path().join("modules/modules.order")).expect("there");
        assert_eq!(written.len(), 1, "no more than shows that it is too much");
        let error = taken(&mut sink, "lib/modules/6.1/modules.x", &[]).expect_err("a fourth");
        assert_eq!(error, "too many files");
    }

    #[test]
    fn the_files_are_of_one_kernel() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut sink = Sink::new(directory.path()).expect("room");
        taken(&mut sink, "boot/vmlinuz-6.1", b"x").expect("taken");
        taken(&mut sink, "usr/share/doc/6.2", b"x").expect("passed over");
        let error = taken(&mut sink, "lib/modules/6.2/kernel/a.ko", b"x").expect_err("another's");
        assert!(
            error.starts_with("it is of kernel 6.2, and what came before of 6.1"),
            "{error}"
        );
        assert_eq!(sink.into_release().as_deref(), Some("6.1"));
    }
}
