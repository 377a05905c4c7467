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
        // Nobody hears it but the console's log, which the host keeps for a guest that said nothing.
        Err(broken) => eprintln!("vmtest: {broken}"),
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
    if !job.has_own_init {
        disk(job, |trouble| channel.send(&Message::Trouble(trouble)))?;
    }
    work(channel, &kernel_log, job)?;
    kernel_log.send_all();
    Ok(())
}

fn work(channel: &Arc<Channel>, kernel_log: &KernelLog, job: &Job) -> Result<(), Broken> {
    if let Some(shell) = &job.shell {
        return shell::run(shell);
    }
    for (index, command) in job.commands.iter().enumerate() {
        channel.send(&Message::Started(index));
        let ended = command::run(channel, index, command, job);
        for trouble in files::send(channel, &command::out_dir(command)) {
            channel.send(&Message::Trouble(trouble));
        }
        // Reports of this command's time must not arrive in the next one's.
        kernel_log.drain();
        channel.send(&Message::Ended(ended));
    }
    Ok(())
}
