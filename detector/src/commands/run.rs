//! `fslockup run`: what is opened, read and attached before the loop between the kernel and the output.

use std::{fs::File, process::ExitCode};

use super::{make_plan, read_kernel};
use crate::{
    attach::{self, Started},
    cli::{RunArgs, nanoseconds},
    clock,
    daemon::{
        memory,
        service::{NOTIFY_SOCKET, Service},
        state::State,
    },
    error::CommandError,
    facts::Kernel,
    metrics::http,
    model::Session,
    run::{
        event_loop::Loop,
        maps::Maps,
        metering::Metering,
        origins::Origins,
        reload,
        runtime::{Signals, block_on},
        stacks::Stacks,
    },
};

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
    let mut maps = Maps::new(attached, &session.facts).map_err(CommandError::io("/proc"))?;
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
