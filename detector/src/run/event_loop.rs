//! What happens between the start of a run and its end: whatever comes first is taken first.

use std::{
    fmt::Display,
    fs::File,
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use aya::maps::{MapData, RingBuf};
use tokio::{
    io::{
        Interest,
        unix::{AsyncFd, AsyncFdReadyMutGuard},
    },
    time::{MissedTickBehavior, interval},
};

use super::{
    maps::Maps,
    metering::Metering,
    origins::Origins,
    overseer::Overseer,
    reload::{self, Reload},
    runtime::{Signals, after, watch},
    stacks::Stacks,
    timing::Timing,
    troubles::Troubles,
};
use crate::{
    cli::{RunArgs, nanoseconds},
    clock,
    daemon::{journald::Journald, privileges, service::Service, state::Begun},
    error::{CommandError, OUTPUT},
    event::{self, Event},
    evidence::{self, Ending},
    host::{kmsg::KernelLog, mountinfo::MountTable},
    logging,
    model::{Input, Session},
    output::{Printer, wants_colour},
    pipeline::{Pipeline, is_kernel_report},
    recording,
};

/// A period of nothing would never end.
const POLL_PERIOD_MIN: Duration = Duration::from_millis(1);

/// How often time passes for the pipeline while it has something to wait for.
const TICK_PERIOD: Duration = Duration::from_millis(20);

/// Times of day are told to the millisecond. The two clocks are not read at the same moment, and a busy
/// host can take the CPU away in between.
const CLOCK_TOLERANCE_NS: u64 = 10_000_000;

/// NTP slews a clock by 500 ppm at most: 5 ms in this time.
const COMPARE_PERIOD: Duration = Duration::from_secs(10);

/// How often the counts of producers are read: so exact is the time when they were last seen.
const COUNT_PERIOD: Duration = Duration::from_secs(2);

/// Readings of the mount table are no closer together: each takes the kernel's lock of all mounts.
const MOUNTS_PERIOD: Duration = Duration::from_secs(1);

/// How often it is asked whether something for the metrics is due.
const METER_PERIOD: Duration = Duration::from_secs(1);

/// Records, or lines of the kernel's log, that one turn takes: with these the rest waits for some milliseconds at most.
const TURN_MAX: usize = 1_024;
/// As many as the ring buffer has room for (512 KiB, the smallest record has 24 bytes and a header of 8): all that was
/// there when the turn began.
const RING_MAX: usize = 16_384;

/// Everything that an input goes through.
pub struct Loop<W: Write> {
    pipeline: Pipeline,
    printer: Printer<W>,
    recorder: Option<recording::Writer<File>>,
    record_name: String,
    stacks: Stacks,
    origins: Origins,
    pub metering: Option<Metering>,
    evidence: Option<evidence::Ring>,
    journald: Option<Journald>,
    realtime_offset_ns: i64,
    /// What was suppressed is to be told at the next tick.
    is_report_due: bool,
    mounts: MountTable,
    /// The mount table has changed.
    are_mounts_due: bool,
    troubles: Troubles,
    /// Of the last time that the counters could be read.
    lost_count: u64,
}

impl Loop<io::Stdout> {
    pub fn new(
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
            journald: Journald::open(args.format, &session),
            realtime_offset_ns: session.realtime_offset_ns,
            pipeline: Pipeline::new(session),
            printer,
            recorder,
            record_name,
            stacks,
            origins,
            metering: None,
            evidence: None,
            is_report_due: false,
            mounts: MountTable::of_host()?,
            are_mounts_due: false,
            troubles: Troubles::default(),
            lost_count: 0,
        })
    }
}

impl<W: Write> Loop<W> {
    pub async fn run(
        mut self,
        mut maps: Maps,
        records: RingBuf<MapData>,
        mut signals: Signals,
        mut service: Service,
        evidence: Option<Begun>,
        args: &RunArgs,
    ) -> Result<ExitCode, CommandError> {
        let event_loop = || CommandError::io("event loop");
        let mut poll = interval(args.poll_period.max(POLL_PERIOD_MIN));
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut records = watch(records, Interest::READABLE).map_err(event_loop())?;
        let mut mounts = watch(MountTable::of_host()?, Interest::PRIORITY).map_err(event_loop())?;
        self.read_mounts()?;
        let mut kernel_log = KernelLog::open()
            .map(|log| watch(log, Interest::READABLE))
            .transpose()
            .map_err(event_loop())?;
        let mut tick = interval(TICK_PERIOD);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut count = interval(COUNT_PERIOD);
        count.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut meter = interval(METER_PERIOD);
        meter.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut mounting = interval(MOUNTS_PERIOD);
        mounting.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut compare = interval(COMPARE_PERIOD);
        compare.reset();
        let (limit_ppm, period_ns) = (args.cpu_budget.0, nanoseconds(args.budget_period));
        let mut overseer = Overseer::new(limit_ppm, period_ns, &maps.groups());
        let mut timing = Timing::new(is_timed(args), period_ns);
        let end = after(args.duration);
        tokio::pin!(end);
        let mut reload = Reload::new(args, &service).map_err(CommandError::io("signals"))?;
        self.give_up_privileges(&maps, args)?;
        self.stacks.begin_reading();
        self.evidence = evidence.map(Begun::hand_over).transpose()?;
        service.ready(reload::status(args));
        let mut ping = interval(service.period());
        loop {
            tokio::select! {
                ready = records.readable_mut() => {
                    let mut ready = ready.map_err(event_loop())?;
                    if self.drain(ready.get_inner_mut(), TURN_MAX)? < TURN_MAX {
                        ready.clear_ready();
                    }
                }
                ready = mounts.ready_mut(Interest::PRIORITY) => {
                    ready.map_err(event_loop())?.clear_ready();
                    self.are_mounts_due = true;
                }
                // At once where it was quiet. Whoever starts containers by the hundred makes hundreds of changes a second.
                _ = mounting.tick(), if self.are_mounts_due => self.read_mounts()?,
                ready = readable(kernel_log.as_mut()) => {
                    let mut ready = ready.map_err(event_loop())?;
                    if self.read_kernel_log(ready.get_inner_mut())? < TURN_MAX {
                        ready.clear_ready();
                    }
                }
                _ = poll.tick() => {
                    let running = maps.running();
                    let is_quiet = !running.is_recent && !self.pipeline.is_pending();
                    if let Some((thresholds, change)) = reload.read(is_quiet, &mut service) {
                        let set = maps.set_thresholds(&thresholds);
                        if self.outlive("thresholds", set).is_some() {
                            self.feed(&Input::Thresholds(change))?;
                        }
                    }
                    for input in &running.inputs {
                        self.feed(input)?;
                    }
                    if !running.is_recent {
                        self.keep_budget(&mut maps, &mut timing, &mut overseer)?;
                    }
                    self.look_at_clock()?;
                    self.is_report_due = self.pipeline.is_report_due(clock::monotonic_ns());
                }
                _ = ping.tick() => service.ping(),
                () = reload.signalled() => {}
                // An incident waits for the names in its stacks while the symbol table is read, right after the start.
                _ = tick.tick(), if (self.pipeline.is_pending() || self.is_report_due) && !self.stacks.are_names_due() => {
                    // The time first: what had come by then is in what is drained.
                    let now_ns = clock::monotonic_ns();
                    if let Some(log) = &mut kernel_log {
                        self.read_kernel_log(log.get_mut())?;
                    }
                    self.drain(records.get_mut(), RING_MAX)?;
                    if self.stacks.are_names_due() {
                        continue;
                    }
                    if let Some(symbols) = self.stacks.names() {
                        self.feed(&Input::Symbols(symbols))?;
                    }
                    self.tell_children(&mut maps)?;
                    if let Some(lost_count) = self.outlive("counters", maps.lost_count()) {
                        self.lost_count = lost_count;
                    }
                    let lost_count = self.lost_count;
                    self.feed(&Input::Tick { now_ns, lost_count })?;
                }
                _ = count.tick() => {
                    let updated = self.origins.update(&mut maps);
                    self.outlive("producers", updated);
                }
                _ = compare.tick() => {
                    self.outlive("clocks", maps.compare_clocks());
                }
                _ = meter.tick(), if self.metering.is_some() => {
                    if let Some(metering) = &mut self.metering {
                        metering.tick(&mut maps, &mut self.origins);
                    }
                }
                () = &mut end => break,
                _ = signals.interrupt.recv() => break,
                _ = signals.terminate.recv() => break,
            }
        }
        service.stopping();
        self.drain(records.get_mut(), RING_MAX)?;
        if let Some(symbols) = self.stacks.wait_for_names() {
            self.feed(&Input::Symbols(symbols))?;
        }
        self.tell_children(&mut maps)?;
        let counts = maps.counts().map_err(CommandError::io("counters"))?;
        self.feed(&Input::End(counts))?;
        if let Some(evidence) = &mut self.evidence {
            evidence.end(Ending::Stopped);
        }
        // All that is printed and written comes first: the kernel can take seconds to let go of the programs, and
        // who loses patience with it shall take nothing away.
        drop(self);
        drop(maps);
        Ok(ExitCode::SUCCESS)
    }

    fn give_up_privileges(&mut self, maps: &Maps, args: &RunArgs) -> Result<(), CommandError> {
        let mut works = || (maps.lost_count().is_ok(), self.origins.can_count());
        let as_before = works();
        privileges::give_up(is_timed(args), || works() == as_before)
            .map_err(|error| CommandError::io("capabilities")(io::Error::other(error)))
    }

    /// Measures what the detector costs, and takes probes away or puts them back.
    fn keep_budget(
        &mut self,
        maps: &mut Maps,
        timing: &mut Timing,
        overseer: &mut Overseer,
    ) -> Result<(), CommandError> {
        let Some(measured) = timing.step(maps).transpose() else {
            return Ok(());
        };
        if let Some(metering) = &self.metering {
            metering.sampled(timing.sampled());
        }
        let event = privileges::raised(|| overseer.judge(maps, measured));
        match event {
            Some(event) => self.feed(&Input::Budget(Box::new(event))),
            None => Ok(()),
        }
    }

    /// Takes so many records at most; returns how many there were.
    fn drain(
        &mut self,
        records: &mut RingBuf<MapData>,
        most: usize,
    ) -> Result<usize, CommandError> {
        for count in 0..most {
            let Some(record) = records.next() else {
                return Ok(count);
            };
            let bytes = record.to_vec();
            drop(record);
            let event = event::decode(&bytes);
            match &event {
                // Only sums of these are told, and only where they matter.
                Ok(event) if self.origins.take(event) => continue,
                Ok(Event::Walk(walk)) => {
                    // Its path is looked for in the table as it is.
                    if self.are_mounts_due {
                        self.read_mounts()?;
                    }
                    let (pid, identity) = (walk.pid, self.origins.walker(walk));
                    self.feed(&Input::Identity { pid, identity })?;
                }
                _ => {}
            }
            self.stacks.note(&bytes);
            if let Some(symbols) = self.stacks.names() {
                self.feed(&Input::Symbols(symbols))?;
            }
            self.feed(&Input::Record(bytes))?;
        }
        Ok(most)
    }

    /// Tells what is in the directories of the walks that will come out as incidents.
    fn tell_children(&mut self, maps: &mut Maps) -> Result<(), CommandError> {
        let wanted = self.pipeline.wanted();
        for children in self.origins.children_of(maps, &wanted) {
            self.feed(&Input::Children(Box::new(children)))?;
        }
        Ok(())
    }

    /// Tells when CLOCK_REALTIME was set, or when NTP has slewed it away.
    fn look_at_clock(&mut self) -> Result<(), CommandError> {
        let realtime_offset_ns = clock::realtime_offset_ns();
        if realtime_offset_ns.abs_diff(self.realtime_offset_ns) < CLOCK_TOLERANCE_NS {
            return Ok(());
        }
        self.realtime_offset_ns = realtime_offset_ns;
        self.feed(&Input::Clock { realtime_offset_ns })
    }

    /// Takes one turn's lines at most, or a storm of them would keep everything else waiting; returns how many there were.
    fn read_kernel_log(&mut self, log: &mut KernelLog) -> Result<usize, CommandError> {
        for count in 0..TURN_MAX {
            let Some(line) = log.read() else {
                return Ok(count);
            };
            if is_kernel_report(&line) {
                let read_ns = clock::monotonic_ns();
                self.feed(&Input::KernelLog { read_ns, line })?;
            }
        }
        Ok(TURN_MAX)
    }

    /// The value, or none after a word about why: an error that may be over soon ends nothing.
    fn outlive<T, E: Display>(&mut self, what: &'static str, outcome: Result<T, E>) -> Option<T> {
        self.troubles.outlive(what, outcome, clock::monotonic_ns())
    }

    fn read_mounts(&mut self) -> Result<(), CommandError> {
        self.are_mounts_due = false;
        let read = self.mounts.read();
        let Some(text) = self.outlive("mounts", read) else {
            return Ok(());
        };
        self.origins.mounts(&text);
        if let Some(metering) = &mut self.metering {
            metering.mounts(&text);
        }
        self.feed(&Input::Mounts(text))
    }

    fn feed(&mut self, input: &Input) -> Result<(), CommandError> {
        let findings = self.pipeline.feed(input);
        // Running walks are read ten times a second: only a reading that led to something is kept.
        let is_kept = self.pipeline.has_changed();
        if let (Some(recorder), true) = (&mut self.recorder, is_kept)
            && let Err(error) = recorder.write(input)
        {
            // Behind half a frame nothing could be read any more.
            let what = format!("{}: {error}; the recording ends here", self.record_name);
            logging::complain(logging::PROGRAM, what);
            self.recorder = None;
        }
        for finding in findings {
            if let Some(evidence) = &mut self.evidence {
                evidence.note(self.pipeline.session(), &finding);
            }
            if let Some(metering) = &mut self.metering {
                metering.take(&self.origins, &finding);
            }
            let journald = self.journald.as_mut();
            if !journald.is_some_and(|journald| journald.take(&finding)) {
                self.printer
                    .print(&finding)
                    .map_err(CommandError::io(OUTPUT))?;
            }
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

/// Whether anybody wants to know what the programs take.
fn is_timed(args: &RunArgs) -> bool {
    args.cpu_budget.0 > 0 || args.metrics.is_some()
}
