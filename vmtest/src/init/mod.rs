//! The guest's PID 1: this same binary, started by the kernel from the initramfs.
//!
//! It makes the file systems and modules ready, runs the job's commands and sends what comes of
//! them over the second serial port. What the host does with it is in `vm`.

mod channel;
mod command;
mod files;
mod handover;
mod kmsg;
mod modules;
mod mounts;
mod setup;
mod shell;

use std::sync::Arc;

use nix::sys::reboot::{RebootMode, reboot};

use self::{channel::Channel, kmsg::KernelLog};
use crate::protocol::{Job, Message};

/// What a guest can't go on without.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Broken(String);

impl Broken {
    fn new(what: impl std::fmt::Display, error: impl std::fmt::Display) -> Self {
        Self(format!("{what}: {error}"))
    }
}

/// Whether this process was started by a kernel as its first one.
#[must_use]
pub fn is_init() -> bool {
    // In a container vmtest may be PID 1 too; only the initramfs has the job.
    std::process::id() == 1 && std::path::Path::new(crate::protocol::JOB_PATH).exists()
}

/// Runs the job and powers the guest off.
pub fn main() -> ! {
    setup::block_child_signal();
    setup::set_path(command::PROGRAMS);
    // The console has one line of it, which the host takes into its account of the guest's end.
    std::panic::set_hook(Box::new(|panic| {
        complain!("{}", panic.to_string().replace('\n', " "));
    }));
    let mut unmounted = mounts::mount_all();
    match Channel::open() {
        Ok(channel) => {
            let channel = Arc::new(channel);
            let broken = unmounted.broken.take();
            let job = broken
                .map_or(Ok(()), Err)
                .and_then(|()| prepare(&mut unmounted.troubles));
            for trouble in unmounted.troubles {
                channel.send(&Message::Trouble(trouble));
            }
            if let Err(broken) = job.and_then(|job| run(&channel, &job)) {
                channel.send(&Message::Broken(broken.to_string()));
            }
            channel.finish();
        }
        // Only the console's log has it, which the host keeps for a guest that said nothing.
        Err(broken) => complain!("{broken}"),
    }
    nix::unistd::sync();
    match reboot(RebootMode::RB_POWER_OFF) {
        Ok(never) => match never {},
        Err(error) => panic!("power off: {error}"),
    }
}

/// Reads the job. With an init of its own the guest gets it here, before the first thread.
fn prepare(troubles: &mut Vec<String>) -> Result<Job, Broken> {
    let job = setup::read_job()?;
    if job.has_own_init {
        disk(&job, |trouble| troubles.push(trouble))?;
        handover::to_own_init()?;
        setup::set_path(command::PROGRAMS_BESIDE_INIT);
    }
    Ok(job)
}

fn disk(job: &Job, trouble: impl FnMut(String)) -> Result<(), Broken> {
    modules::load(&job.modules).into_iter().for_each(trouble);
    job.disk_fs.as_deref().map_or(Ok(()), mounts::mount_disk)
}

fn run(channel: &Arc<Channel>, job: &Job) -> Result<(), Broken> {
    channel.send(&Message::Hello(setup::hello()?));
    setup::start_heartbeat(channel);
    setup::raise_limits();
    let kernel_log = Arc::new(KernelLog::open(channel)?);
    kernel_log.start();
    let done = if job.has_own_init {
        Ok(())
    } else {
        disk(job, |trouble| channel.send(&Message::Trouble(trouble)))
    }
    .and_then(|()| work(channel, &kernel_log, job));
    if done.is_err() {
        kernel_log.drain();
        kernel_log.send_all();
    }
    done
}

fn work(channel: &Arc<Channel>, kernel_log: &KernelLog, job: &Job) -> Result<(), Broken> {
    if let Some(shell) = &job.shell {
        return shell::run(shell);
    }
    // What came up to here belongs to the boot, and must not arrive in the first command's time.
    let mut suspicions_count = kernel_log.drain();
    let mut is_log_wanted = job.keeps_all || suspicions_count > 0;
    for (index, command) in job.commands.iter().enumerate() {
        channel.send(&Message::Started(index));
        let ended = command::run(channel, index, command, job);
        // What the command used is freed behind its end, after a grace period: reports of that are its own.
        wait_for_grace_period();
        let before = std::mem::replace(&mut suspicions_count, kernel_log.drain());
        let out_dir = command::out_dir(command);
        let has_passed = ended.code == Some(0)
            && !ended.is_timed_out
            && before == suspicions_count
            && files::are_findings_good(&out_dir);
        is_log_wanted |= !has_passed;
        let troubles = if has_passed && !job.keeps_all {
            files::send_findings(channel, &out_dir)
        } else {
            files::send(channel, &out_dir)
        };
        for trouble in troubles {
            channel.send(&Message::Trouble(trouble));
        }
        // Reports of this command's time must not arrive in the next one's.
        kernel_log.drain();
        channel.send(&Message::Ended(ended));
    }
    wait_for_grace_period();
    is_log_wanted |= kernel_log.drain() > suspicions_count;
    if is_log_wanted {
        kernel_log.send_all();
    }
    Ok(())
}

/// Returns when all that RCU was to free at this moment has been: membarrier(2), which is there in every kernel
/// since 4.14, waits for one grace period, some ten milliseconds. A kernel that refuses (it does with
/// `nohz_full`) costs no report that comes before the next command or the goodbye.
fn wait_for_grace_period() {
    const MEMBARRIER_CMD_GLOBAL: nix::libc::c_int = 1;
    // SAFETY: takes numbers alone.
    unsafe {
        nix::libc::syscall(
            nix::libc::SYS_membarrier,
            MEMBARRIER_CMD_GLOBAL,
            0 as nix::libc::c_uint,
            0 as nix::libc::c_int,
        )
    };
}
