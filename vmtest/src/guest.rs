//! A guest as the command line describes it, for `exec` and `shell`.

use std::{
    env,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use anyhow::{Context, Result};

use crate::{
    cli::{FsChoice, GuestArgs, HarnessArgs},
    image::{Content, busybox},
    kernel, leftovers,
    manifest::{kernels::Kernels, scenarios::Scenarios},
    packages::{Kernel, store::Store},
    protocol::Job,
    qemu::{argv::Mode, version},
    vm::{
        DiskSpec, GuestSpec, Request,
        accel::{self, Chosen},
        disk::FileSystem,
    },
};

const DISK_MIB: u64 = 1024;

/// Where the guest's own programs are.
pub fn bin_dir(arguments: &HarnessArgs) -> Result<PathBuf> {
    match &arguments.bin_dir {
        Some(directory) => Ok(directory.clone()),
        None => {
            let own = env::current_exe().context("where this program is")?;
            Ok(own.parent().unwrap_or(Path::new("/")).to_owned())
        }
    }
}

/// A guest from the command line.
pub struct Guest {
    pub kernel: Kernel,
    pub spec: GuestSpec,
    pub chosen: Chosen,
    pub content: Content,
}

impl Guest {
    /// This guest with something to do; the console's log goes to that file.
    pub fn request(&self, job: Job, console: PathBuf) -> Request<'_> {
        Request {
            kernel: &self.kernel,
            spec: &self.spec,
            accelerator: self.chosen.accelerator,
            content: &self.content,
            job,
            console,
            boot_limit: None,
        }
    }
}

/// Makes ready what the arguments ask for; programs of the guest that aren't built are left out.
pub fn prepare(
    arguments: &GuestArgs,
    kernels: &Kernels,
    is_interrupted: &AtomicBool,
) -> Result<Guest> {
    version::probe()?;
    leftovers::sweep(&env::temp_dir());
    let kernel = kernel::resolve(
        &arguments.kernel,
        arguments.harness.modules.as_deref(),
        kernels,
        &Store::default(),
    )?;
    if let Some(note) = kernel.note() {
        complain!("{note}");
    }
    let chosen = match arguments.mode {
        Mode::Icount => Chosen::for_instruction_time(),
        Mode::Multi => accel::choose(arguments.harness.accel, &kernel, is_interrupted)?,
    };
    let directory = bin_dir(&arguments.harness)?;
    let scenarios = Scenarios::load(arguments.harness.scenarios.as_deref())?;
    let programs = scenarios
        .guest
        .programs
        .iter()
        .map(|name| directory.join(name))
        .filter(|path| path.is_file())
        .collect();
    let search_path = env::var("PATH").unwrap_or_default();
    let content = Content {
        programs,
        host_programs: Vec::new(),
        copies: arguments.copy.clone(),
        has_busybox: busybox::find(&search_path).is_ok(),
        modules: Vec::new(),
    };
    Ok(Guest {
        kernel,
        spec: spec(arguments),
        chosen,
        content,
    })
}

fn spec(arguments: &GuestArgs) -> GuestSpec {
    let fs = match (arguments.fs, arguments.disk) {
        (Some(choice), _) => choice.file_system(),
        (None, Some(_)) => Some(FileSystem::Ext4),
        (None, None) => FsChoice::None.file_system(),
    };
    GuestSpec {
        mode: arguments.mode,
        cpus_count: arguments.cpus,
        memory_mib: u32::try_from(arguments.memory).unwrap_or(u32::MAX),
        disk: fs.map(|fs| DiskSpec {
            fs,
            size_mib: arguments.disk.unwrap_or(DISK_MIB),
        }),
        root: arguments.root.clone(),
        kernel_args: arguments.kernel_arg.clone(),
        modules: arguments.module.clone(),
    }
}
