//! `fslockup run`: what is opened, read and attached before the loop between the kernel and the output.

mod event_loop;

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd},
    process::ExitCode,
    time::Duration,
};

use tokio::{
    io::{Interest, unix::AsyncFd},
    signal::unix::{Signal, SignalKind, signal},
};

use super::{
    CommandError, block_on, make_plan,
    maps::Maps,
    memory,
    metering::Metering,
    origin::Origins,
    read_kernel, reload,
    service::{NOTIFY_SOCKET, Service},
    stacks::Stacks,
    state::State,
};
use crate::{
    attach::{self, Started},
    cli::RunArgs,
    clock,
    facts::Kernel,
    http,
    model::Session,
};
use event_loop::Loop;

pub fn run(args: &RunArgs) -> Result<ExitCode, CommandError> {
    let listener = args.metrics.map(|address| {
        http::listen(address).map_err(|source| CommandError::Metrics { address, source })
    });
    let listener = listener.transpose()?;
    let state = State::open(&args.state)?;
    let Kernel {
        facts,
        type_ids,
        symbols,
    } = read_kernel(&args.kernel)?;
    let plan = make_plan(&args.kernel, &facts)?;
    let thresholds = reload::thresholds(args);
    let service = Service::from_environment().map_err(CommandError::io(NOTIFY_SOCKET))?;
    // Before attaching: a file that can't be made is the cheaper mistake.
    let record = args
        .record
        .as_ref()
        .map(|path| File::create(path).map_err(CommandError::io(path.display().to_string())));
    let record = record.transpose()?;
    let Started {
        attached,
        records,
        censor,
    } = attach::attach(&plan, &facts, &type_ids, &thresholds, args.ring_bytes)?;
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
        limits: args.limits(),
    };
    let origins = Origins::new(&session.facts, censor).map_err(CommandError::io("/proc"))?;
    let mut maps = Maps::new(attached).map_err(CommandError::io("/proc"))?;
    maps.compare_clocks_now()
        .map_err(CommandError::io("clocks"))?;
    memory::give_back();
    let evidence = state.map(|state| state.begin(&session));
    block_on(async {
        // Before the first line says that everything is attached: from then on a signal means a
        // clean stop.
        let signals = Signals::catch().map_err(CommandError::io("signals"))?;
        let metering = listener
            .map(|listener| Metering::start(listener, &session, args.metrics_period))
            .transpose()
            .map_err(CommandError::io("metrics"))?;
        let mut run = Loop::new(args, session, Stacks::new(symbols), origins, record)?;
        run.metering = metering;
        run.run(maps, records, signals, service, evidence, args)
            .await
    })
}

pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
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

pub(super) fn watch<T: AsFd + AsRawFd>(inner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // SAFETY: each kind of `inner` owns its file descriptor and never exchanges it.
    unsafe { AsyncFd::register_with_interest(inner, interest) }.map_err(io::Error::from)
}
