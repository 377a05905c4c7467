//! `fslockup run`: the loop between the kernel and the output.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, Write},
    os::fd::{AsFd, AsRawFd},
    process::ExitCode,
    time::Duration,
};

use aya::maps::{MapData, RingBuf};
use tokio::{
    io::{
        Interest,
        unix::{AsyncFd, AsyncFdReadyMutGuard},
    },
    signal::unix::{Signal, SignalKind, signal},
    time::{MissedTickBehavior, interval},
};

use super::{
    CommandError, OUTPUT, after, block_on, kernel_log::KernelLog, make_plan, maps::Maps,
    origin::Origins, read_facts, stacks::Stacks,
};
use crate::{
    attach::{self, Thresholds},
    cli::RunArgs,
    clock,
    event::{self, Event},
    output::{Printer, wants_colour},
    pipeline::{Input, Pipeline, Session, is_kernel_report},
    recording,
};

/// A period of nothing would never end.
const POLL_PERIOD_MIN: Duration = Duration::from_millis(1);

/// How often time passes for the pipeline while it has something to wait for.
const TICK_PERIOD: Duration = Duration::from_millis(20);

/// NTP slews a clock by 500 ppm at most: 5 ms in this time.
const COMPARE_PERIOD: Duration = Duration::from_secs(10);

/// How often the counts of producers are read: so exact is the time when they were last seen.
const COUNT_PERIOD: Duration = Duration::from_secs(2);

/// The mount table (proc_pid_mountinfo(5)).
pub(super) const MOUNTINFO: &str = "/proc/self/mountinfo";

pub fn run(args: &RunArgs) -> Result<ExitCode, CommandError> {
    let (facts, symbols) = read_facts(&args.kernel)?;
    let plan = make_plan(&args.kernel, &facts)?;
    let thresholds = Thresholds {
        walk_ns: nanoseconds(args.walk_threshold),
        wait_ns: nanoseconds(args.wait_threshold),
        stall_ns: nanoseconds(args.stall_threshold),
        producer_children_min: args.producer_children_min,
    };
    // Before attaching: a file that can't be made is the cheaper mistake.
    let record = args
        .record
        .as_ref()
        .map(|path| File::create(path).map_err(CommandError::io(path.display().to_string())));
    let record = record.transpose()?;
    let (attached, records) = attach::attach(&plan, &facts, &thresholds, args.ring_bytes)?;
    let session = Session {
        fslockup_version: env!("CARGO_PKG_VERSION").to_owned(),
        facts,
        attached: attached.report.clone(),
        realtime_offset_ns: clock::realtime_offset_ns(),
        start_ns: clock::monotonic_ns(),
        walk_threshold_ns: thresholds.walk_ns,
        incident_threshold_ns: nanoseconds(args.incident_threshold),
        wait_threshold_ns: thresholds.wait_ns,
        stall_threshold_ns: thresholds.stall_ns,
    };
    let origins = Origins::new(&session.facts).map_err(CommandError::io("/proc"))?;
    let mut maps = Maps::new(attached).map_err(CommandError::io("/proc"))?;
    maps.compare_clocks_now()
        .map_err(CommandError::io("clocks"))?;
    give_back_memory();
    block_on(async {
        // Before the first line says that everything is attached: from then on a signal means a
        // clean stop.
        let signals = Signals::catch().map_err(CommandError::io("signals"))?;
        Loop::new(args, session, Stacks::new(symbols), origins, record)?
            .run(maps, records, signals, args)
            .await
    })
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Parsing the kernel's type information leaves some 25 MiB of freed heap behind, which the
/// allocator would keep for the rest of a run of months.
pub(super) fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) may be called at any time.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}

/// The signals that end a run.
pub(super) struct Signals {
    pub(super) interrupt: Signal,
    pub(super) terminate: Signal,
}

impl Signals {
    pub(super) fn catch() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }
}

/// Everything that an input goes through.
struct Loop<W: Write> {
    pipeline: Pipeline,
    printer: Printer<W>,
    recorder: Option<recording::Writer<File>>,
    record_name: String,
    stacks: Stacks,
    origins: Origins,
}

impl Loop<io::Stdout> {
    fn new(
        args: &RunArgs,
        session: Session,
        stacks: Stacks,
        origins: Origins,
        record: Option<File>,
    ) -> Result<Self, CommandError> {
        let record_name = args
            .record
            .as_ref()
            .map(|path| path.display().to_string())
            .unwrap_or_default();
        let recorder = record
            .map(|file| recording::Writer::start(file, &session))
            .transpose()
            .map_err(CommandError::io(&record_name))?;
        let printer = Printer::start(io::stdout(), args.format, &session)
            .map_err(CommandError::io(OUTPUT))?
            .coloured(wants_colour());
        Ok(Self {
            pipeline: Pipeline::new(session),
            printer,
            recorder,
            record_name,
            stacks,
            origins,
        })
    }
}

impl<W: Write> Loop<W> {
    async fn run(
        mut self,
        mut maps: Maps,
        records: RingBuf<MapData>,
        mut signals: Signals,
        args: &RunArgs,
    ) -> Result<ExitCode, CommandError> {
        let event_loop = || CommandError::io("event loop");
        let mut poll = interval(args.poll_period.max(POLL_PERIOD_MIN));
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut records = watch(records, Interest::READABLE).map_err(event_loop())?;
        let mounts = File::open(MOUNTINFO).map_err(CommandError::io(MOUNTINFO))?;
        // The kernel tells of a change of the mount table as an exceptional condition
        // (proc_pid_mounts(5)), so the file stays open and no path is looked up during a walk.
        let mut mounts = watch(mounts, Interest::PRIORITY).map_err(event_loop())?;
        self.read_mounts(mounts.get_mut())?;
        let mut kernel_log = KernelLog::open()
            .map(|log| watch(log, Interest::READABLE))
            .transpose()
            .map_err(event_loop())?;
        let mut tick = interval(TICK_PERIOD);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut count = interval(COUNT_PERIOD);
        count.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut compare = interval(COMPARE_PERIOD);
        compare.reset();
        let end = after(args.duration);
        tokio::pin!(end);
        loop {
            tokio::select! {
                ready = records.readable_mut() => {
                    let mut ready = ready.map_err(event_loop())?;
                    ready.clear_ready();
                    self.drain(ready.get_inner_mut())?;
                }
                ready = mounts.ready_mut(Interest::PRIORITY) => {
                    let mut ready = ready.map_err(event_loop())?;
                    ready.clear_ready();
                    self.read_mounts(ready.get_inner_mut())?;
                }
                ready = readable(kernel_log.as_mut()) => {
                    let mut ready = ready.map_err(event_loop())?;
                    ready.clear_ready();
                    self.read_kernel_log(ready.get_inner_mut())?;
                }
                _ = poll.tick() => {
                    for input in maps.running() {
                        self.feed(&input)?;
                    }
                }
                _ = tick.tick(), if self.pipeline.is_pending() => {
                    // The time first: what had come by then is in what is drained.
                    let now_ns = clock::monotonic_ns();
                    if let Some(log) = &mut kernel_log {
                        self.read_kernel_log(log.get_mut())?;
                    }
                    self.drain(records.get_mut())?;
                    self.tell_children(&mut maps)?;
                    let lost_count = maps.lost_count().map_err(CommandError::io("counters"))?;
                    self.feed(&Input::Tick { now_ns, lost_count })?;
                }
                _ = count.tick() => self.origins.update(&mut maps).map_err(CommandError::io("producers"))?,
                _ = compare.tick() => maps.compare_clocks().map_err(CommandError::io("clocks"))?,
                () = &mut end => break,
                _ = signals.interrupt.recv() => break,
                _ = signals.terminate.recv() => break,
            }
        }
        self.drain(records.get_mut())?;
        self.tell_children(&mut maps)?;
        let counts = maps.counts().map_err(CommandError::io("counters"))?;
        self.feed(&Input::End(counts))?;
        Ok(ExitCode::SUCCESS)
    }

    fn drain(&mut self, records: &mut RingBuf<MapData>) -> Result<(), CommandError> {
        while let Some(record) = records.next() {
            let bytes = record.to_vec();
            drop(record);
            let event = event::decode(&bytes);
            match &event {
                // Only sums of these are told, and only where they matter.
                Ok(event) if self.origins.take(event) => continue,
                Ok(Event::Walk(walk)) => {
                    let (pid, identity) = (walk.pid, self.origins.walker(walk));
                    self.feed(&Input::Identity { pid, identity })?;
                }
                _ => {}
            }
            if let Some(symbols) = self.stacks.new_symbols(&bytes) {
                self.feed(&Input::Symbols(symbols))?;
            }
            self.feed(&Input::Record(bytes))?;
        }
        Ok(())
    }

    /// Tells what is in the directories of the walks that will come out as incidents.
    fn tell_children(&mut self, maps: &mut Maps) -> Result<(), CommandError> {
        for wanted in self.pipeline.wanted() {
            let children = self.origins.children(maps, &wanted);
            self.feed(&Input::Children(Box::new(children)))?;
        }
        Ok(())
    }

    fn read_kernel_log(&mut self, log: &mut KernelLog) -> Result<(), CommandError> {
        while let Some(line) = log.read() {
            if is_kernel_report(&line) {
                let read_ns = clock::monotonic_ns();
                self.feed(&Input::KernelLog { read_ns, line })?;
            }
        }
        Ok(())
    }

    fn read_mounts(&mut self, file: &mut File) -> Result<(), CommandError> {
        let mut text = Vec::new();
        file.rewind()
            .and_then(|()| file.read_to_end(&mut text))
            .map_err(CommandError::io(MOUNTINFO))?;
        self.origins.mounts(&text);
        self.feed(&Input::Mounts(text))
    }

    fn feed(&mut self, input: &Input) -> Result<(), CommandError> {
        let findings = self.pipeline.feed(input);
        // Running walks are read ten times a second: only a reading that was told is kept.
        let is_silent = matches!(input, Input::Running { .. } | Input::Tick { .. });
        let is_kept = !findings.is_empty() || !is_silent;
        if let (Some(recorder), true) = (&mut self.recorder, is_kept) {
            recorder
                .write(input)
                .map_err(CommandError::io(&self.record_name))?;
        }
        for finding in findings {
            self.printer
                .print(&finding)
                .map_err(CommandError::io(OUTPUT))?;
        }
        Ok(())
    }
}

/// Never ready where there is nothing to read.
async fn readable(
    from: Option<&mut AsyncFd<KernelLog>>,
) -> io::Result<AsyncFdReadyMutGuard<'_, KernelLog>> {
    match from {
        Some(from) => from.readable_mut().await,
        None => std::future::pending().await,
    }
}

pub(super) fn watch<T: AsFd + AsRawFd>(inner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // SAFETY: each kind of `inner` owns its file descriptor and never exchanges it.
    unsafe { AsyncFd::register_with_interest(inner, interest) }.map_err(io::Error::from)
}
