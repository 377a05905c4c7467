//! Findings for people.

use std::io::{self, Write};

use super::{
    budget::write_budget, device, duration, incident_text::incident, json::time,
    storm::write_suppressed, syscall_name,
};
use crate::{
    escape::escape,
    incident::mask_names,
    pipeline::{Finding, Session, Summary, SyscallFinding, WalkFinding},
    report::AttachReport,
};

pub fn session(to: &mut impl Write, session: &Session) -> io::Result<()> {
    let attached = &session.attached;
    writeln!(
        to,
        "{} {}: walks of {} and more are reported, incidents from {} on",
        escape(session.facts.host.as_bytes()),
        session.facts.kernel_release,
        duration::text(session.walk_threshold_ns),
        duration::text(session.incident_threshold_ns),
    )?;
    not_seen(to, attached)
}

/// What the kernel doesn't show.
pub fn not_seen(to: &mut impl Write, attached: &AttachReport) -> io::Result<()> {
    for missing in &attached.missing {
        write!(to, "    not seen: {}", missing.lost)?;
        for refused in &missing.refused {
            write!(to, " ({refused})")?;
        }
        writeln!(to)?;
    }
    for lost in attached.probes.iter().flat_map(|probe| &probe.lost) {
        writeln!(to, "    not seen: {lost}")?;
    }
    Ok(())
}

pub fn finding(to: &mut impl Write, finding: &Finding, is_coloured: bool) -> io::Result<()> {
    match finding {
        Finding::Walk(found) => walk(to, found),
        Finding::Incident(found) => incident(to, found, is_coloured),
        Finding::Syscall(found) => syscall(to, found),
        Finding::Suppressed(found) => write_suppressed(to, found),
        Finding::Budget(found) => write_budget(to, found),
        Finding::Summary(found) => summary(to, found),
        Finding::BadRecord(error) => writeln!(to, "bad record: {error}"),
    }
}

fn walk(to: &mut impl Write, found: &WalkFinding) -> io::Result<()> {
    let WalkFinding {
        walk,
        walk_ns,
        realtime_ns,
        function,
        path,
        waiters,
        identity: _,
        degraded,
    } = found;
    let path = path
        .as_deref()
        .map_or_else(|| "a directory".to_owned(), escape);
    let length = duration::text(*walk_ns);
    let headline = if walk.end_ns.is_some() {
        format!("walk of {path} took {length}")
    } else {
        format!("walk of {path} RUNNING for {length}")
    };
    writeln!(to, "{}  {headline}", time(*realtime_ns))?;
    let trigger = walk
        .syscall_nr
        .map_or_else(|| "a system call".to_owned(), syscall_name);
    writeln!(
        to,
        "    by {} (pid {}, tid {}) in {trigger} on CPU {}",
        escape(&walk.comm),
        walk.pid,
        walk.tid,
        walk.start_cpu,
    )?;
    let fstype = escape(&walk.fstype);
    let function = function.as_deref().unwrap_or("an unknown function");
    writeln!(
        to,
        "    {fstype} {} inode {}, {function}",
        device(walk.dev),
        walk.ino
    )?;
    for waiter in waiters {
        let comm = waiter.comm.as_deref().map(escape);
        writeln!(
            to,
            "    waiting for {} {} for {} so far: {} (pid {}, tid {})",
            waiter.lock.name(),
            waiter
                .cpu
                .map_or_else(|| "asleep".to_owned(), |cpu| format!("on CPU {cpu}")),
            duration::text(waiter.wait_ns),
            comm.as_deref().unwrap_or("a task"),
            waiter.pid,
            waiter.tid,
        )?;
    }
    for reason in degraded {
        writeln!(to, "    not known: {reason}")?;
    }
    Ok(())
}

fn syscall(to: &mut impl Write, found: &SyscallFinding) -> io::Result<()> {
    let syscall = &found.syscall;
    let argument = syscall.path.as_deref().map(escape);
    let why = match found.walk_ns {
        0 => "without a walk over the threshold".to_owned(),
        walk_ns => format!("{} of it in walks told above", duration::text(walk_ns)),
    };
    writeln!(
        to,
        "{}  {}({}) by {} (pid {}, tid {}) took {}, {why}; mask {}",
        time(found.realtime_ns),
        syscall.call.name(),
        argument
            .map(|path| format!("\"{path}\""))
            .unwrap_or_default(),
        escape(&syscall.comm),
        syscall.pid,
        syscall.tid,
        duration::text(syscall.syscall_ns()),
        mask_names(syscall.call, syscall.mask),
    )
}

fn summary(to: &mut impl Write, found: &Summary) -> io::Result<()> {
    let Summary {
        duration_ns,
        counts,
        reported_count,
        incidents_count,
        suppressed,
        bad_records_count,
        ..
    } = found;
    write!(
        to,
        "{}: {} walks, {reported_count} over the threshold, {incidents_count} incidents, {} lost",
        duration::text(*duration_ns),
        counts.walks_count,
        counts.lost_count(),
    )?;
    if suppressed.suppressed_count() > 0 {
        write!(to, ", {} suppressed", suppressed.suppressed_count())?;
    }
    if *bad_records_count > 0 {
        write!(to, ", {bad_records_count} bad records")?;
    }
    writeln!(to)
}
