//! Errors as users meet them: one line on stderr that names the object and the way out, exit 2.

use std::{fs, io, os::unix::process::CommandExt as _, path::PathBuf, process::Command};

use anyhow::Context as _;
use nix::{
    mount::{MsFlags, mount, umount},
    sched::{CloneFlags, unshare},
};

use crate::stage::{
    checks::Checks,
    detector::{self, one_line},
    kernel,
};

const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    not_root(checks)?;
    no_type_information(checks)?;
    no_walker(checks)?;
    record_to_nowhere(checks)
}

fn not_root(checks: &mut Checks) -> anyhow::Result<()> {
    let mut command = Command::new("fslockup");
    command.args(["run", "--duration", "1s"]);
    let output = detector::output(command.uid(65_534).gid(65_534))?;
    one_line(
        checks,
        "not root",
        &output,
        &["fslockup: missing CAP_BPF and CAP_PERFMON"],
    );
    Ok(())
}

/// The kernel's type information is hidden, then given by a file.
fn no_type_information(checks: &mut Checks) -> anyhow::Result<()> {
    let copy = PathBuf::from("/tmp/vmlinux.btf");
    fs::copy(KERNEL_BTF, &copy)?;
    let copy = copy.to_str().context("a path of ours")?.to_owned();
    let (hidden, given) = without_btf(|| {
        let hidden = detector::call(&["run", "--duration", "1s"])?;
        let given = detector::call(&["run", "--duration", "100ms", "--btf", &copy])?;
        Ok((hidden, given))
    })?;
    one_line(checks, "no BTF", &hidden, &[KERNEL_BTF, "--btf FILE"]);
    checks.equal("with --btf: exit code", given.status.code(), Some(0));
    fs::write("/tmp/broken.btf", b"not type information")?;
    let broken = detector::call(&["run", "--btf", "/tmp/broken.btf"])?;
    one_line(
        checks,
        "broken BTF",
        &broken,
        &["/tmp/broken.btf: not usable as BTF"],
    );
    fs::remove_file(&copy)?;
    Ok(())
}

/// Runs something in a mount namespace where nothing lies under /sys/kernel/btf.
fn without_btf<T>(run: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T>
where
    T: Send,
{
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).context("unshare")?;
            mount(
                None::<&str>,
                "/",
                None::<&str>,
                MsFlags::MS_REC | MsFlags::MS_PRIVATE,
                None::<&str>,
            )
            .context("private mounts")?;
            mount(
                Some("tmpfs"),
                "/sys/kernel/btf",
                Some("tmpfs"),
                MsFlags::empty(),
                None::<&str>,
            )
            .context("hide the BTF")?;
            let outcome = run();
            umount("/sys/kernel/btf").context("show the BTF")?;
            outcome
        });
        thread
            .join()
            .map_err(|_| io::Error::other("the thread panicked"))?
    })
}

/// Type information whose walker has another name stands for a kernel without one.
fn no_walker(checks: &mut Checks) -> anyhow::Result<()> {
    let mut btf = fs::read(KERNEL_BTF)?;
    for name in [
        "fsnotify_set_children_dentry_flags",
        "__fsnotify_update_child_dentry_flags",
    ] {
        let places: Vec<_> = btf
            .windows(name.len())
            .enumerate()
            .filter(|(_, bytes)| *bytes == name.as_bytes())
            .map(|(at, _)| at)
            .collect();
        for at in places {
            btf[at] = b'X';
        }
    }
    let path = "/tmp/no-walker.btf";
    fs::write(path, btf)?;
    // Without the forced kind the symbol table would still have it, rightly.
    let output = detector::call(&["run", "--btf", path, "--force-target", "fentry"])?;
    one_line(
        checks,
        "no walker",
        &output,
        &[
            "walk: ",
            "looked for fsnotify_set_children_dentry_flags, __fsnotify_update_child_dentry_flags",
        ],
    );
    fs::remove_file(path)?;
    Ok(())
}

fn record_to_nowhere(checks: &mut Checks) -> anyhow::Result<()> {
    let output = detector::call(&["run", "--record", "/nowhere/recording"])?;
    one_line(
        checks,
        "no place for the recording",
        &output,
        &["/nowhere/recording: "],
    );
    checks.equal(
        "left in the kernel after all this",
        kernel::leftovers()?,
        Vec::new(),
    );
    Ok(())
}
