//! What there was too much of to tell it, as text.

use std::io::{self, Write};

use super::{duration, layout::shorten};
use crate::{escape::escape, model::SuppressedFinding, schema::values::time};

/// A path may take this much of a line.
const PATH_COLUMNS: usize = 48;

pub fn write_suppressed(to: &mut impl Write, found: &SuppressedFinding) -> io::Result<()> {
    let length_ns = found.end_ns.saturating_sub(found.start_ns);
    writeln!(
        to,
        "{}  suppressed in {}, too much came at once:",
        time(found.realtime_ns),
        duration::text(length_ns),
    )?;
    for (what, some) in [
        ("incidents", &found.incidents),
        ("walks", &found.walks),
        ("slow system calls", &found.syscalls),
    ] {
        if some.count == 0 {
            continue;
        }
        write!(
            to,
            "    {} {what}, {} in sum, {} at most",
            some.count,
            duration::text(some.ns_total),
            duration::text(some.ns_max),
        )?;
        if let Some(worst) = &some.worst {
            let path = worst.path.as_deref();
            write!(
                to,
                ": {} by {} (pid {})",
                path.map_or_else(
                    || "a directory".to_owned(),
                    |path| shorten(&escape(path), PATH_COLUMNS)
                ),
                escape(&worst.walk.comm),
                worst.walk.pid,
            )?;
        }
        writeln!(to)?;
    }
    Ok(())
}
