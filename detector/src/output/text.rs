//! Findings for people.

use std::io::{self, Write};

use super::{device, duration, json::time, syscall_name};
use crate::{
    escape::escape,
    pipeline::{Finding, Session, Summary, WalkFinding},
};

pub fn session(to: &mut impl Write, session: &Session) -> io::Result<()> {
    let targets: Vec<_> = session
        .attached
        .probes
        .iter()
        .flat_map(|probe| {
            probe
                .targets
                .iter()
                .map(move |target| format!("{} at {target}", probe.probe))
        })
        .collect();
    writeln!(
        to,
        "{} {}: {}; walks of {} and more are reported",
        escape(session.facts.host.as_bytes()),
        session.facts.kernel_release,
        targets.join(", "),
        duration::text(session.walk_threshold_ns),
    )
}

pub fn finding(to: &mut impl Write, finding: &Finding) -> io::Result<()> {
    match finding {
        Finding::Walk(found) => walk(to, found),
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
    for reason in degraded {
        writeln!(to, "    not known: {reason}")?;
    }
    Ok(())
}

fn summary(to: &mut impl Write, found: &Summary) -> io::Result<()> {
    let Summary {
        duration_ns,
        counts,
        reported_count,
        bad_records_count,
    } = found;
    write!(
        to,
        "{}: {} walks, {reported_count} over the threshold, {} lost",
        duration::text(*duration_ns),
        counts.walks_count,
        counts.lost_count(),
    )?;
    if *bad_records_count > 0 {
        write!(to, ", {bad_records_count} bad records")?;
    }
    writeln!(to)
}
