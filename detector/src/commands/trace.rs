//! `fslockup trace`: the programs that tell of each change, for as long as it runs.

use std::{
    io::{self, BufWriter, Write},
    os::fd::AsRawFd as _,
    path::Path,
    process::ExitCode,
};

use aya::maps::{MapData, RingBuf};
use fslockup_ebpf::TraceFilter;
use nix::{
    fcntl::{OFlag, open},
    sys::stat::Mode,
};
use tokio::io::Interest;

use super::wishes;
use crate::{
    attach::{Tracing, attach_trace},
    cli::TraceArgs,
    clock,
    daemon::memory,
    error::{CommandError, OUTPUT},
    escape::escape,
    event::{self, Event},
    facts::Kernel,
    host::mountinfo::MountTable,
    mounts::{Mounts, device_of_mount},
    output::{TracePrinter, TraceSession, TraceSummary},
    plan::plan_trace,
    run::runtime::{Signals, after, block_on, watch},
};

pub fn trace(args: &TraceArgs) -> Result<ExitCode, CommandError> {
    let directory = args.dir.as_deref().map(Directory::find).transpose()?;
    let filter = TraceFilter {
        directory_ino: directory.as_ref().map_or(0, |found| found.ino),
        dev: directory.as_ref().map_or(0, |found| found.dev.into()),
        comm: args.comm.as_ref().map_or([0; 2], |comm| comm.words()),
        only_negative: args.negative.into(),
        rate: args.rate.0.into(),
    };
    let Kernel {
        facts, type_ids, ..
    } = Kernel::read(args.kernel.btf.clone())?;
    let plan = plan_trace(&facts, &wishes(&args.kernel))?;
    let (tracing, records) = attach_trace(&plan, &facts, &type_ids, &filter)?;
    let session = TraceSession {
        host: facts.host,
        kernel: facts.kernel_release,
        attached: tracing.report.clone(),
        directory: directory.map(|found| found.path),
        comm: args.comm.as_ref().map(|comm| comm.bytes().to_vec()),
        only_negative: args.negative,
        rate: filter.rate,
        start_ns: clock::monotonic_ns(),
        realtime_offset_ns: clock::realtime_offset_ns(),
    };
    memory::give_back();
    block_on(async {
        // Before the first line, as in `run`.
        let signals = Signals::catch().map_err(CommandError::io("signals"))?;
        let start_ns = session.start_ns;
        let printer = TracePrinter::start(BufWriter::new(io::stdout()), args.format, session)
            .map_err(CommandError::io(OUTPUT))?;
        let stream = Stream {
            printer,
            mounts: Mounts::default(),
            summary: TraceSummary::default(),
        };
        stream.run(tracing, records, signals, args, start_ns).await
    })
}

/// Where the children come and go that are asked for.
struct Directory {
    /// Its path, absolute and without links.
    path: Vec<u8>,
    /// As the kernel's own inode has it.
    ino: u64,
    /// Device of its superblock, as the kernel packs it.
    dev: u32,
}

impl Directory {
    /// Asks the kernel for the numbers of its own inode and superblock: stat(2) gives others on btrfs and
    /// overlayfs.
    fn find(path: &Path) -> Result<Self, CommandError> {
        let name = escape(path.as_os_str().as_encoded_bytes());
        let fail = || CommandError::io(name.clone());
        let resolved = path.canonicalize().map_err(fail())?;
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory =
            open(&resolved, flags, Mode::empty()).map_err(|errno| fail()(errno.into()))?;
        let fdinfo = format!("/proc/self/fdinfo/{}", directory.as_raw_fd());
        let fdinfo = std::fs::read_to_string(&fdinfo).map_err(CommandError::io(fdinfo.clone()))?;
        let stat = nix::sys::stat::fstat(&directory).map_err(|errno| fail()(errno.into()))?;
        let mountinfo = MountTable::own()?.read()?;
        let dev = fdinfo_value(&fdinfo, "mnt_id")
            .and_then(|id| device_of_mount(&mountinfo, id))
            .ok_or_else(|| fail()(io::Error::other("its mount is not in the mount table")))?;
        Ok(Self {
            path: resolved.into_os_string().into_encoded_bytes(),
            // 3845f256a8b5, 5.14; before it, what stat says is right on most file systems.
            ino: fdinfo_value(&fdinfo, "ino").unwrap_or(stat.st_ino),
            dev,
        })
    }
}

/// One of the numbers in `/proc/PID/fdinfo/FD` (proc_pid_fdinfo(5)).
fn fdinfo_value(fdinfo: &str, key: &str) -> Option<u64> {
    fdinfo.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found == key).then(|| value.trim().parse().ok())?
    })
}

/// From the ring buffer to the output.
struct Stream<W: Write> {
    printer: TracePrinter<W>,
    mounts: Mounts,
    summary: TraceSummary,
}

impl<W: Write> Stream<W> {
    async fn run(
        mut self,
        mut tracing: Tracing,
        records: RingBuf<MapData>,
        mut signals: Signals,
        args: &TraceArgs,
        start_ns: u64,
    ) -> Result<ExitCode, CommandError> {
        let event_loop = || CommandError::io("event loop");
        let mut records = watch(records, Interest::READABLE).map_err(event_loop())?;
        let mut mounts = watch(MountTable::own()?, Interest::PRIORITY).map_err(event_loop())?;
        self.read_mounts(mounts.get_mut())?;
        let end = after(args.duration);
        tokio::pin!(end);
        loop {
            tokio::select! {
                // The end first: a flood must not keep it away.
                biased;
                () = &mut end => break,
                _ = signals.interrupt.recv() => break,
                _ = signals.terminate.recv() => break,
                ready = mounts.ready_mut(Interest::PRIORITY) => {
                    let mut ready = ready.map_err(event_loop())?;
                    ready.clear_ready();
                    self.read_mounts(ready.get_inner_mut())?;
                }
                ready = records.readable_mut() => {
                    let mut ready = ready.map_err(event_loop())?;
                    ready.clear_ready();
                    self.drain(ready.get_inner_mut())?;
                }
            }
        }
        let end_ns = clock::monotonic_ns();
        // Nothing is added from here on, so what was shown, left out and lost is all there was.
        tracing.detach().map_err(CommandError::io("/proc"))?;
        self.drain(records.get_mut())?;
        let counts = tracing.counts().map_err(CommandError::io("counters"))?;
        let summary = TraceSummary {
            duration_ns: end_ns.saturating_sub(start_ns),
            left_out_count: counts.left_out_count,
            ring_full_count: counts.ring_full_count,
            skipped_count: counts.skipped_count,
            ..self.summary
        };
        self.printer
            .end(&summary)
            .map_err(CommandError::io(OUTPUT))?;
        Ok(ExitCode::SUCCESS)
    }

    fn drain(&mut self, records: &mut RingBuf<MapData>) -> Result<(), CommandError> {
        while let Some(record) = records.next() {
            let Ok(Event::Dentry(found)) = event::decode(&record) else {
                self.summary.bad_records_count += 1;
                continue;
            };
            let path = found
                .directory
                .as_deref()
                .filter(|_| !found.is_path_cut)
                .and_then(|names| self.mounts.resolve(found.dev, names));
            self.summary.shown_count += 1;
            self.printer
                .print(&found, path.as_deref())
                .map_err(CommandError::io(OUTPUT))?;
        }
        self.printer.flush().map_err(CommandError::io(OUTPUT))
    }

    fn read_mounts(&mut self, table: &mut MountTable) -> Result<(), CommandError> {
        self.mounts = Mounts::parse(&table.read()?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_fdinfo() {
        let text = "pos:\t0\nflags:\t012200000\nmnt_id:\t29\nino:\t131\n";
        assert_eq!(fdinfo_value(text, "mnt_id"), Some(29));
        assert_eq!(fdinfo_value(text, "ino"), Some(131));
        assert_eq!(fdinfo_value("pos:\t0\nmnt_id:\tx\n", "mnt_id"), None);
        assert_eq!(fdinfo_value("", "ino"), None);
    }

    #[test]
    fn a_directory_of_this_machine_is_found() {
        let found = Directory::find(Path::new("/proc")).expect("it is mounted");
        assert_eq!(found.path, b"/proc");
        assert_ne!(found.ino, 0);
        let error = Directory::find(Path::new("/nowhere/\x1b")).err();
        let said = error.expect("not there").to_string();
        assert!(said.starts_with("/nowhere/\\x1b: "), "{said}");
        assert!(Directory::find(Path::new("/proc/version")).is_err());
    }
}
