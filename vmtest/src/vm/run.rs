//! Runs QEMU and listens to the guest.

use std::{
    fs,
    io::Read,
    os::unix::net::UnixStream,
    path::Path,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use fslockup::recording::frame::Resync;

use super::{
    End, Request, VmError, disk,
    end::{Evidence, QemuEnd, decide},
    host::Sample,
    limits::{Limits, Overrun, Stage, overrun},
    root,
};
use crate::{
    image::initramfs,
    leftovers::Private,
    protocol::{Job, Message},
    qemu::{
        argv::{self, Accelerator, Console, Disk},
        process::Qemu,
    },
};

/// How often limits and interruptions are looked at.
const TICK: Duration = Duration::from_millis(100);
/// What is kept of a guest's console, and of what QEMU itself says. A kernel that prints all the time would
/// fill the disk.
const LOG_BYTES_MAX: u64 = 64 << 20;
/// Chunks of the result channel that wait to be looked at; then QEMU waits, and the guest with it.
const CHUNKS_WAITING_MAX: usize = 64;
/// Shorter ones are between two heartbeats.
const SILENCE_MIN: Duration = Duration::from_secs(10);
/// QEMU closes the channel a moment before it has ended.
const QEMU_END_WAIT: Duration = Duration::from_secs(5);

/// Runs the guest to its end, passing each of its messages on as it comes. Ends early when
/// `is_interrupted` becomes true.
///
/// Whatever happens, QEMU has ended and the run's private files are gone when this returns.
///
/// # Errors
/// When the guest can't be started; how a started one ends is no error.
pub fn run(
    request: &Request,
    is_interrupted: &AtomicBool,
    mut sink: impl FnMut(Message),
) -> Result<End, VmError> {
    let io = |what: &str| {
        let what = what.to_owned();
        move |error| VmError::Io { what, error }
    };
    let directory = Private::temporary().map_err(io("private directory of the run"))?;
    let initramfs = directory.path().join("initramfs.cpio");
    let job = Job {
        disk_fs: disk_fs(request),
        has_own_init: request.spec.root.is_some(),
        mode: request.spec.mode.name().to_owned(),
        modules: request.spec.modules.clone(),
        ..request.job.clone()
    };
    let image = initramfs::build(request.content, job, request.kernel.modules_dir.as_deref())?;
    fs::write(&initramfs, image).map_err(io("write the guest's image"))?;
    let disk = if let Some(suite) = &request.spec.root {
        Some(argv::disk(&root::image(suite)?, Disk::Scratch))
    } else if let Some(spec) = &request.spec.disk {
        let image = directory.path().join("disk.img");
        disk::make(&image, spec.fs, spec.size_mib)?;
        Some(argv::disk(&image, Disk::Own))
    } else {
        None
    };
    let is_shell = request.job.shell.is_some();
    let console = if is_shell {
        Console::Terminal
    } else {
        Console::File(&request.console)
    };
    let mut arguments = argv::machine();
    arguments.extend(argv::cpu(
        request.accelerator,
        request.spec.mode,
        request.spec.cpus_count,
    ));
    arguments.extend(argv::memory(request.spec.memory_mib));
    let clock_words = argv::clock_words(request.accelerator, request.spec.mode);
    let mut kernel_args = request.spec.kernel_args.clone();
    if request.spec.root.is_some() {
        kernel_args.push(root::no_login());
    }
    arguments.extend(argv::kernel(
        &request.kernel.vmlinuz,
        &initramfs,
        clock_words,
        &kernel_args,
    ));
    arguments.extend(argv::console(console));
    arguments.extend(disk.into_iter().flatten());
    log::debug!("qemu: {arguments:?}");
    let messages = directory.path().join("qemu.log");
    let (qemu, socket) = Qemu::start(&arguments, &messages, is_shell).map_err(io("start QEMU"))?;
    let mut listener = Listener::new(request, qemu);
    listener.listen(
        &read_in_thread(socket),
        is_interrupted,
        [&request.console, &messages],
        &mut sink,
    );
    Ok(listener.end(&request.console, &messages))
}

fn flood(log: &Path) -> Option<String> {
    // A shell's console is a terminal and no file.
    let length_bytes = fs::metadata(log).ok()?.len();
    (length_bytes > LOG_BYTES_MAX).then(|| {
        format!(
            "{} has more than {} MiB",
            log.file_name().unwrap_or_default().display(),
            LOG_BYTES_MAX >> 20
        )
    })
}

/// A root is ext2, which its driver mounts too.
fn disk_fs(request: &Request) -> Option<String> {
    let own = request.spec.disk.as_ref().map(|disk| disk.fs);
    let root = request.spec.root.as_ref().map(|_| disk::FileSystem::Ext4);
    own.or(root).map(|fs| fs.name().to_owned())
}

/// The socket's bytes as they come; the channel's end is the socket's.
fn read_in_thread(mut socket: UnixStream) -> Receiver<Vec<u8>> {
    let (sender, receiver) = sync_channel(CHUNKS_WAITING_MAX);
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        loop {
            match socket.read(&mut buffer) {
                Ok(length) if length > 0 => {
                    if sender.send(buffer[..length].to_vec()).is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                _ => return,
            }
        }
    });
    receiver
}

struct Listener<'a> {
    request: &'a Request<'a>,
    job: &'a Job,
    qemu: Qemu,
    stage: Stage,
    stage_began: Instant,
    last_sign: Instant,
    frames_count: u64,
    has_hello: bool,
    has_bye: bool,
    is_interrupted: bool,
    broken: Option<String>,
    overrun: Option<Overrun>,
    flooded: Option<String>,
    /// What QEMU had had when the stage began, and a moment after the last sign of life.
    at_stage: Option<Sample>,
    at_sign: Option<(Instant, Option<Sample>)>,
}

impl<'a> Listener<'a> {
    fn new(request: &'a Request<'a>, qemu: Qemu) -> Self {
        let now = Instant::now();
        Self {
            request,
            job: &request.job,
            qemu,
            stage: Stage::Boot,
            stage_began: now,
            last_sign: now,
            frames_count: 0,
            has_hello: false,
            has_bye: false,
            is_interrupted: false,
            broken: None,
            overrun: None,
            flooded: None,
            at_stage: None,
            at_sign: None,
        }
    }

    fn listen(
        &mut self,
        bytes: &Receiver<Vec<u8>>,
        is_interrupted: &AtomicBool,
        logs: [&Path; 2],
        sink: &mut impl FnMut(Message),
    ) {
        let mode = self.request.spec.mode;
        let mut limits = Limits::of(mode);
        limits.boot = self.request.boot_limit.unwrap_or(limits.boot);
        let mut frames = Resync::default();
        let mut looked = Instant::now();
        while !self.has_bye {
            match bytes.recv_timeout(TICK) {
                Ok(chunk) => {
                    frames.push(&chunk);
                    while let Some(frame) = frames.next_frame() {
                        self.frames_count += 1;
                        match Message::decode(frame) {
                            Ok(message) => self.take(message, sink),
                            Err(error) => {
                                sink(Message::Trouble(format!("result channel: {error}")))
                            }
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if is_interrupted.load(Ordering::Relaxed) {
                self.is_interrupted = true;
                break;
            }
            // A shell is as long as its user likes.
            if self.job.shell.is_none() || self.stage == Stage::Boot {
                self.overrun = overrun(
                    &limits,
                    mode,
                    self.stage,
                    self.last_sign.elapsed(),
                    self.stage_began.elapsed(),
                );
            }
            if looked.elapsed() >= TICK {
                looked = Instant::now();
                self.look_at_host();
                self.flooded = logs.into_iter().find_map(flood);
            }
            if self.overrun.is_some() || self.flooded.is_some() {
                break;
            }
        }
        if frames.skipped_bytes > 0 {
            sink(Message::Trouble(format!(
                "result channel: {} bytes were no frame",
                frames.skipped_bytes
            )));
        }
    }

    fn take(&mut self, message: Message, sink: &mut impl FnMut(Message)) {
        self.last_sign = Instant::now();
        match &message {
            Message::Hello(_) => {
                self.has_hello = true;
                self.enter(Stage::Between);
            }
            Message::Started(index) => {
                let limit_ms = self
                    .job
                    .commands
                    .get(*index)
                    .map_or(0, |command| command.time_limit_ms);
                self.enter(Stage::Command(Duration::from_millis(limit_ms)));
            }
            Message::Ended(_) => self.enter(Stage::Between),
            Message::Broken(why) => self.broken = Some(why.clone()),
            Message::Bye(sent_count) => {
                self.has_bye = true;
                // The goodbye itself is not among those it counts.
                let lost_count = sent_count.saturating_sub(self.frames_count - 1);
                if lost_count > 0 {
                    sink(Message::Trouble(format!(
                        "result channel: {lost_count} frames were lost"
                    )));
                }
            }
            _ => {}
        }
        sink(message);
    }

    fn enter(&mut self, stage: Stage) {
        self.stage = stage;
        self.stage_began = Instant::now();
        self.at_stage = Sample::of(self.qemu.id());
    }

    /// Once for each sign of life, so that the time of silence after it can be judged.
    fn look_at_host(&mut self) {
        if self
            .at_sign
            .as_ref()
            .is_none_or(|(sign, _)| *sign != self.last_sign)
        {
            self.at_sign = Some((self.last_sign, Sample::of(self.qemu.id())));
        }
    }

    /// Why the host is to blame for the overrun, if it is.
    fn host_fault(&self) -> Option<String> {
        let now = Sample::of(self.qemu.id())?;
        let silence = self.at_sign.as_ref().and_then(|(_, at)| at.as_ref());
        // With signs of life it is the stage that is too long, and the last of them says nothing.
        let since = [silence, self.at_stage.as_ref()];
        since
            .into_iter()
            .flatten()
            .filter(|then| then.age() >= SILENCE_MIN)
            .find_map(|then| then.host_fault(&now))
    }

    fn end(mut self, console: &Path, messages: &Path) -> End {
        let is_over =
            self.has_bye || self.is_interrupted || self.overrun.is_some() || self.flooded.is_some();
        let qemu_end = if is_over { None } else { self.wait_for_qemu() };
        let host_fault = self.overrun.and_then(|_| self.host_fault());
        self.qemu.kill();
        if self.is_interrupted {
            return End::Interrupted;
        }
        if self.has_bye && self.broken.is_none() {
            return End::Finished;
        }
        if let Some(what) = self.flooded {
            return End::Flooded(what);
        }
        decide(&Evidence {
            has_hello: self.has_hello,
            broken: self.broken.clone(),
            overrun: self.overrun,
            host_fault,
            is_emulated: self.request.accelerator == Accelerator::Tcg,
            qemu_end,
            qemu_messages: &fs::read(messages).unwrap_or_default(),
            console: &fs::read(console).unwrap_or_default(),
        })
    }

    fn wait_for_qemu(&mut self) -> Option<QemuEnd> {
        let deadline = Instant::now() + QEMU_END_WAIT;
        while Instant::now() < deadline {
            if let Some(status) = self.qemu.try_wait() {
                return Some(status.into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_grows_too_large_is_a_flood() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("console.log");
        assert_eq!(flood(&log), None, "a terminal has no file");
        let file = fs::File::create(&log).expect("made");
        file.set_len(LOG_BYTES_MAX).expect("sparse");
        assert_eq!(flood(&log), None);
        file.set_len(LOG_BYTES_MAX + 1).expect("sparse");
        assert_eq!(
            flood(&log).as_deref(),
            Some("console.log has more than 64 MiB")
        );
    }
}
