//! Findings for people.

use std::io::{self, Write};

use super::{
    budget::write_budget,
    duration,
    incident_text::{counted, incident},
    storm::write_suppressed,
};
use crate::{
    escape::escape,
    incident::mask_names,
    model::{AttachReport, Finding, Session, Summary, SyscallFinding, ThresholdsFinding},
    schema::{
        self,
        values::time,
        walk::{WalkBody, WalkState},
    },
};

pub fn session(to: &mut impl Write, session: &Session) -> io::Result<()> {
    let attached = &session.attached;
    writeln!(
        to,
        "{} {}: {}",
        escape(session.facts.host.as_bytes()),
        session.facts.kernel_release,
        thresholds_text(session.walk_threshold_ns, session.incident_threshold_ns),
    )?;
    not_seen(to, attached)
}

/// What comes out.
#[must_use]
pub fn thresholds_text(walk_ns: u64, incident_ns: u64) -> String {
    format!(
        "walks of {} and more are reported, incidents from {} on",
        duration::text(walk_ns),
        duration::text(incident_ns),
    )
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

pub fn finding(
    to: &mut impl Write,
    session: &Session,
    finding: &Finding,
    is_coloured: bool,
) -> io::Result<()> {
    match finding {
        Finding::Walk(found) => walk(to, &schema::walk::walk(session, found)),
        Finding::Incident(found) => {
            incident(to, &schema::incident::incident(session, found), is_coloured)
        }
        Finding::Syscall(found) => syscall(to, found),
        Finding::Thresholds(found) => thresholds(to, found),
        Finding::Suppressed(found) => write_suppressed(to, found),
        Finding::Budget(found) => write_budget(to, found),
        Finding::Summary(found) => summary(to, found),
        Finding::BadRecord(error) => writeln!(to, "bad record: {error}"),
    }
}

/// A walk, ended or running.
pub fn walk(to: &mut impl Write, found: &WalkBody) -> io::Result<()> {
    let walk = &found.walk;
    let path = walk.path.as_deref().unwrap_or("a directory");
    let length = duration::text(walk.walk_ns);
    let headline = match found.state {
        WalkState::Finished => format!("walk of {path} took {length}"),
        WalkState::Running => format!("walk of {path} RUNNING for {length}"),
    };
    writeln!(to, "{}  {headline}", found.at)?;
    writeln!(
        to,
        "    by {} (pid {}, tid {}) in {} on CPU {}",
        walk.comm,
        walk.pid,
        walk.tid,
        walk.trigger.as_deref().unwrap_or("a system call"),
        walk.cpu,
    )?;
    if walk.scheduled_out_ns > 0 {
        let away = duration::text(walk.scheduled_out_ns);
        writeln!(to, "    and {away} without a CPU, before or after")?;
    }
    let function = walk.function.as_deref().unwrap_or("an unknown function");
    writeln!(
        to,
        "    {} {} inode {}, {function}",
        walk.fstype, walk.dev, walk.ino
    )?;
    for waiter in found.waiters.iter().flatten() {
        writeln!(
            to,
            "    waiting for {} {} for {} so far: {} (pid {}, tid {})",
            waiter.lock.name(),
            waiter
                .cpu
                .map_or_else(|| "asleep".to_owned(), |cpu| format!("on CPU {cpu}")),
            duration::text(waiter.wait_ns),
            waiter.comm.as_deref().unwrap_or("a task"),
            waiter.pid,
            waiter.tid,
        )?;
    }
    for reason in &found.degraded {
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

fn thresholds(to: &mut impl Write, found: &ThresholdsFinding) -> io::Result<()> {
    writeln!(
        to,
        "{}  from now on {}; waits from {}, stalls from {}",
        time(found.realtime_ns),
        thresholds_text(
            found.change.walk_threshold_ns,
            found.change.incident_threshold_ns
        ),
        duration::text(found.change.wait_threshold_ns),
        duration::text(found.change.stall_threshold_ns),
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
        "{}: {}, {reported_count} over the threshold, {}, {} lost",
        duration::text(*duration_ns),
        counted(counts.walks_count, "walk"),
        counted(*incidents_count, "incident"),
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
