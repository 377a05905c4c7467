//! Copies a program of this host into the image together with what it needs to run: the dynamic
//! linker and the shared libraries of an ELF program, the interpreter of a script.
//!
//! Which libraries those are is asked of the program's own dynamic linker (`--list`): it alone
//! knows the search paths of this host.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Archive, ArchiveError, elf};

/// The linker's table of library paths; without it, libraries outside the default directories
/// would not be found in the guest.
const LINKER_CACHE: &str = "/etc/ld.so.cache";
/// A script's interpreter may be a script; deeper than this is a mistake.
const SCRIPT_DEPTH_MAX: u32 = 4;

/// Why a program can't be copied.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// The name leads to no program.
    #[error("{0}: not found on this host (neither a path nor a name in PATH)")]
    NotFound(String),
    /// A file can't be read.
    #[error("{path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// The dynamic linker says that the program can't run here either.
    #[error("{program}: its libraries can't be found: {reason}")]
    Unlinkable {
        /// The program.
        program: PathBuf,
        /// The linker's own words.
        reason: String,
    },
    /// The image can't take it.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// Where a program is: `name` itself when it has a slash, else the first executable of that name
/// in `search_path` (colon-separated, as in `PATH`).
///
/// # Errors
/// When there is no such program.
pub fn find(name: &str, search_path: &str) -> Result<PathBuf, LibraryError> {
    let candidates: Vec<PathBuf> = if name.contains('/') {
        vec![PathBuf::from(name)]
    } else {
        search_path
            .split(':')
            .filter(|directory| !directory.is_empty())
            .map(|directory| Path::new(directory).join(name))
            .collect()
    };
    candidates
        .into_iter()
        .find(|path| is_executable(path))
        .ok_or_else(|| LibraryError::NotFound(name.to_owned()))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Copies `program` to `guest_path`, and what it needs to the paths it expects.
///
/// # Errors
/// When something of it can't be read or found.
pub fn copy(archive: &mut Archive, program: &Path, guest_path: &str) -> Result<(), LibraryError> {
    copy_to_depth(archive, program, guest_path, SCRIPT_DEPTH_MAX)
}

fn copy_to_depth(
    archive: &mut Archive,
    program: &Path,
    guest_path: &str,
    depth: u32,
) -> Result<(), LibraryError> {
    let content = read(program)?;
    if let Some(interpreter) = elf::interpreter(&content) {
        for library in list(program, &interpreter)? {
            archive.file(&library, true, &read(Path::new(&library))?)?;
        }
        archive.file(&interpreter, true, &read(Path::new(&interpreter))?)?;
        if let Ok(cache) = fs::read(LINKER_CACHE) {
            archive.file(LINKER_CACHE, false, &cache)?;
        }
    } else if let Some(interpreter) = script_interpreter(&content).filter(|_| depth > 0) {
        copy_to_depth(archive, Path::new(&interpreter), &interpreter, depth - 1)?;
    }
    archive.file(guest_path, true, &content)?;
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, LibraryError> {
    fs::read(path).map_err(|error| LibraryError::Read {
        path: path.to_owned(),
        error,
    })
}

fn script_interpreter(content: &[u8]) -> Option<String> {
    let line = content
        .strip_prefix(b"#!")?
        .split(|byte| *byte == b'\n')
        .next()?;
    let line = std::str::from_utf8(line).ok()?;
    line.split_whitespace().next().map(str::to_owned)
}

fn list(program: &Path, interpreter: &str) -> Result<Vec<String>, LibraryError> {
    let unlinkable = |reason: String| LibraryError::Unlinkable {
        program: program.to_owned(),
        reason,
    };
    let output = Command::new(interpreter)
        .arg("--list")
        .arg(program)
        .output()
        .map_err(|error| unlinkable(format!("{interpreter}: {error}")))?;
    if !output.status.success() {
        return Err(unlinkable(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ));
    }
    Ok(parse_list(&String::from_utf8_lossy(&output.stdout)))
}

/// The paths in the linker's list: lines `NAME => PATH (ADDRESS)`; the vDSO and the linker itself
/// have no arrow.
fn parse_list(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.split_once(" => "))
        .filter_map(|(_, found)| found.rsplit_once(" ("))
        .map(|(path, _)| path.trim().to_owned())
        .filter(|path| path.starts_with('/'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linkers_list_gives_paths() {
        let text = "\tlinux-vdso.so.1 (0x00007ffc)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        assert_eq!(parse_list(text), ["/lib/x86_64-linux-gnu/libc.so.6"]);
    }

    #[test]
    fn a_scripts_first_line_names_its_interpreter() {
        assert_eq!(
            script_interpreter(b"#! /bin/sh -e\necho"),
            Some("/bin/sh".to_owned())
        );
        assert_eq!(script_interpreter(b"\x7fELF"), None);
        assert_eq!(script_interpreter(b"#!\n"), None);
    }

    #[test]
    fn a_name_that_is_nowhere_is_an_error_that_names_it() {
        let error = find("no-such-program", "/bin:/usr/bin")
            .expect_err("nowhere")
            .to_string();
        assert!(error.starts_with("no-such-program: not found"), "{error}");
        assert!(find("sh", "::/bin").is_ok());
    }
}
