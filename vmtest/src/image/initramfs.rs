//! Puts an image together.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    Archive, ArchiveError, busybox, elf,
    libraries::{self, LibraryError},
};
use crate::{
    arch::GUEST,
    image::modules::{ModuleError, ModuleTree},
    protocol::{JOB_PATH, Job},
};

/// The disk's driver, where it is not built in.
const DISK_MODULE: &str = GUEST.disk.module;

/// What goes into an image besides PID 1.
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// Static programs, copied to `/bin` without their debug information.
    pub programs: Vec<PathBuf>,
    /// Programs of this host, copied with their libraries: path here, path in the guest.
    pub host_programs: Vec<(PathBuf, String)>,
    /// Files and directories: path here, path in the guest.
    pub copies: Vec<(PathBuf, String)>,
    /// Whether busybox and its applets are there, under the names the others left free.
    pub has_busybox: bool,
    /// Modules to load, by name, where the kernel has them.
    pub modules: Vec<String>,
}

/// Why an image can't be made.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A file can't be read or written.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// A program can't be copied.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// The archive can't take something.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The kernel's modules can't be read.
    #[error(transparent)]
    Module(#[from] ModuleError),
}

fn read(path: &Path) -> Result<Vec<u8>, ImageError> {
    fs::read(path).map_err(|error| ImageError::Io {
        path: path.to_owned(),
        error,
    })
}

/// The image's bytes, uncompressed: an emulated CPU unpacks slower than it copies.
///
/// `modules_dir` is the kernel's module directory (`kernel/…`, `modules.builtin`), when it has
/// one; a kernel without it must have everything built in. The job's list of modules comes with
/// names and is filled in with paths.
///
/// # Errors
/// When something that belongs into it can't be read.
pub fn build(
    content: &Content,
    mut job: Job,
    modules_dir: Option<&Path>,
) -> Result<Vec<u8>, ImageError> {
    let mut archive = Archive::default();
    // The kernel opens it for PID 1 before anything is mounted.
    archive.character_device("/dev/console", 5, 1)?;
    // Not by its path: a build may have replaced the file since this process started.
    archive.file(
        "/init",
        true,
        &elf::strip(read(Path::new("/proc/self/exe"))?),
    )?;
    for program in &content.programs {
        let name = program
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        archive.file(&format!("/bin/{name}"), true, &elf::strip(read(program)?))?;
    }
    for (program, guest_path) in &content.host_programs {
        libraries::copy(&mut archive, program, guest_path)?;
    }
    for (path, guest_path) in &content.copies {
        copy_tree(&mut archive, path, guest_path)?;
    }
    if content.has_busybox {
        busybox::copy(
            &mut archive,
            &busybox::find(&std::env::var("PATH").unwrap_or_default())?,
        )?;
    }
    if let Some(directory) = modules_dir {
        let of_disk = job.disk_fs.as_deref().map(|fs| [DISK_MODULE, fs]);
        let wanted: Vec<_> = of_disk
            .into_iter()
            .flatten()
            .chain(job.modules.iter().map(String::as_str))
            .collect();
        job.modules = add_modules(&mut archive, directory, wanted, &content.modules)?;
    } else {
        job.modules.clear();
    }
    let job = serde_json::to_vec(&job).expect("plain structs always serialize");
    archive.file(JOB_PATH, false, &job)?;
    Ok(archive.finish()?)
}

fn add_modules<'a>(
    archive: &mut Archive,
    directory: &Path,
    mut wanted: Vec<&'a str>,
    welcome: &'a [String],
) -> Result<Vec<String>, ImageError> {
    let tree = ModuleTree::read(directory)?;
    for name in welcome {
        match tree.load_order(&[name]) {
            Ok(_) => wanted.push(name),
            // Who needs it says so.
            Err(ModuleError::Missing { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut paths = Vec::new();
    for module in tree.load_order(&wanted)? {
        let path = format!("/lib/modules/{}.ko", module.name);
        archive.file(&path, false, &module.content)?;
        paths.push(path);
    }
    Ok(paths)
}

/// Copies a file, a link or a directory with what is in it.
fn copy_tree(archive: &mut Archive, path: &Path, guest_path: &str) -> Result<(), ImageError> {
    use std::os::unix::fs::PermissionsExt;
    let failed = |error| ImageError::Io {
        path: path.to_owned(),
        error,
    };
    let meta = fs::metadata(path).map_err(failed)?;
    if meta.is_dir() {
        archive.directory(guest_path)?;
        for entry in fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            copy_tree(
                archive,
                &entry.path(),
                &format!("{}/{name}", guest_path.trim_end_matches('/')),
            )?;
        }
    } else {
        archive.file(
            guest_path,
            meta.permissions().mode() & 0o111 != 0,
            &read(path)?,
        )?;
    }
    Ok(())
}
