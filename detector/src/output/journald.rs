//! Findings as entries of the journal: what was printed, with fields to search by.

use std::io::Write as _;

use crate::{
    escape::escape,
    model::{Finding, Incident, Severity, WalkFinding},
};

/// What all incidents are found by (`journalctl MESSAGE_ID=…`, see `MESSAGE_ID` in
/// systemd.journal-fields(7)). Drawn once by chance.
pub const INCIDENT_MESSAGE_ID: &str = "5cc4d0c7a5a94c3c8d86b8a1a2ef7f3b";

/// Levels of syslog(3).
mod priority {
    pub const CRITICAL: u8 = 2;
    pub const WARNING: u8 = 4;
    pub const NOTICE: u8 = 5;
    pub const INFO: u8 = 6;
}

/// One entry in the journal's own form (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>).
struct Entry(Vec<u8>);

impl Entry {
    /// A value that has a line feed in it goes with its length.
    fn field(&mut self, name: &str, value: &[u8]) {
        self.0.extend_from_slice(name.as_bytes());
        if value.contains(&b'\n') {
            self.0.push(b'\n');
            self.0
                .extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            self.0.push(b'=');
        }
        self.0.extend_from_slice(value);
        self.0.push(b'\n');
    }

    fn number(&mut self, name: &str, value: impl std::fmt::Display) {
        // Writing to memory doesn't fail.
        let _ = writeln!(self.0, "{name}={value}");
    }

    fn walk(&mut self, found: &WalkFinding) {
        let walk = &found.walk;
        if let Some(path) = &found.path {
            self.field("FSLOCKUP_PATH", escape(path).as_bytes());
        }
        self.field("FSLOCKUP_COMM", escape(&walk.comm).as_bytes());
        self.number("FSLOCKUP_PID", walk.pid);
        self.number("FSLOCKUP_TID", walk.tid);
        self.number("FSLOCKUP_CPU", walk.start_cpu);
        self.number("FSLOCKUP_WALK_NS", found.walk_ns);
        self.field(
            "FSLOCKUP_DEV",
            crate::schema::values::device(walk.dev).as_bytes(),
        );
        self.number("FSLOCKUP_INO", walk.ino);
        self.field("FSLOCKUP_FSTYPE", escape(&walk.fstype).as_bytes());
        if let Some(function) = &found.function {
            self.field("FSLOCKUP_FUNCTION", escape(function.as_bytes()).as_bytes());
        }
        let identity = found.identity.as_ref();
        if let Some(unit) = identity.and_then(|identity| identity.unit.as_deref()) {
            self.field("FSLOCKUP_UNIT", escape(unit.as_bytes()).as_bytes());
        }
        if let Some(container) = identity.and_then(|identity| identity.container.as_deref()) {
            self.field(
                "FSLOCKUP_CONTAINER",
                escape(container.as_bytes()).as_bytes(),
            );
        }
    }

    fn incident(&mut self, found: &Incident) {
        self.field("MESSAGE_ID", INCIDENT_MESSAGE_ID.as_bytes());
        self.field("FSLOCKUP_INCIDENT_ID", found.id().as_bytes());
        self.field("FSLOCKUP_SEVERITY", found.severity.name().as_bytes());
        self.walk(&found.walk);
        let impact = &found.impact;
        self.number("FSLOCKUP_CPUS_BLOCKED_MAX", impact.cpus_blocked_max);
        self.number("FSLOCKUP_WAITERS_COUNT", impact.waiters_count);
        self.number("FSLOCKUP_WAIT_NS_MAX", impact.wait_ns_max);
        self.number("FSLOCKUP_TASKS_STALLED_COUNT", impact.tasks_stalled_count);
        self.number("FSLOCKUP_STALL_NS_MAX", impact.stall_ns_max);
        if let Some(census) = &found.census {
            self.number("FSLOCKUP_CHILDREN_COUNT", census.children_count);
            self.number("FSLOCKUP_NEGATIVE_COUNT", census.negative_count);
        }
        if let Some(producer) = found.origin.first() {
            let comm = escape(&producer.identity.comm);
            self.field("FSLOCKUP_ORIGIN_COMM", comm.as_bytes());
            if let Some(unit) = &producer.identity.unit {
                self.field("FSLOCKUP_ORIGIN_UNIT", escape(unit.as_bytes()).as_bytes());
            }
        }
    }
}

/// A finding as an entry; `message` is what would be printed of it.
#[must_use]
pub fn entry(finding: &Finding, message: &[u8]) -> Vec<u8> {
    let (kind, priority) = match finding {
        Finding::Incident(found) => (
            "incident",
            match found.severity {
                Severity::Critical => priority::CRITICAL,
                Severity::Warning => priority::WARNING,
                Severity::Info => priority::NOTICE,
            },
        ),
        Finding::Walk(_) => ("walk", priority::INFO),
        Finding::Syscall(_) => ("syscall", priority::INFO),
        Finding::Thresholds(_) => ("thresholds", priority::INFO),
        Finding::Suppressed(_) => ("suppressed", priority::WARNING),
        Finding::Budget(_) => ("budget", priority::WARNING),
        Finding::Summary(_) => ("summary", priority::INFO),
        Finding::BadRecord(_) => ("bad_record", priority::WARNING),
    };
    let mut entry = Entry(Vec::new());
    entry.field("MESSAGE", message.trim_ascii_end());
    entry.number("PRIORITY", priority);
    entry.field("SYSLOG_IDENTIFIER", b"fslockup");
    entry.field("FSLOCKUP_TYPE", kind.as_bytes());
    match finding {
        Finding::Incident(found) => entry.incident(found),
        Finding::Walk(found) => entry.walk(found),
        _ => {}
    }
    entry.0
}

/// An entry about entries that are missing.
#[must_use]
pub fn lost_entry(lost_count: u64) -> Vec<u8> {
    let mut entry = Entry(Vec::new());
    let message =
        format!("{lost_count} entries found no room in the journal's socket and are missing");
    entry.field("MESSAGE", message.as_bytes());
    entry.number("PRIORITY", priority::WARNING);
    entry.field("SYSLOG_IDENTIFIER", b"fslockup");
    entry.field("FSLOCKUP_TYPE", b"journal_lost");
    entry.number("FSLOCKUP_LOST_COUNT", lost_count);
    entry.0
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        output::{Format, Printer},
        testing,
    };

    /// Reads an entry as journald does.
    pub fn fields(mut entry: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut fields = BTreeMap::new();
        while !entry.is_empty() {
            let end = entry
                .iter()
                .position(|byte| matches!(byte, b'=' | b'\n'))
                .expect("a name");
            let name = String::from_utf8(entry[..end].to_vec()).expect("a name");
            let (value, rest) = if entry[end] == b'=' {
                let rest = &entry[end + 1..];
                let end = rest.iter().position(|byte| *byte == b'\n').expect("an end");
                (&rest[..end], &rest[end + 1..])
            } else {
                let (length, rest) = entry[end + 1..].split_first_chunk().expect("a length");
                let length = usize::try_from(u64::from_le_bytes(*length)).expect("short");
                assert_eq!(rest[length], b'\n');
                (&rest[..length], &rest[length + 1..])
            };
            let is_name =
                |byte: u8| byte.is_ascii_uppercase() || byte == b'_' || byte.is_ascii_digit();
            assert!(name.bytes().all(is_name), "{name}");
            assert!(fields.insert(name, value.to_vec()).is_none());
            entry = rest;
        }
        fields
    }

    /// An incident whose names were made to add fields of their own.
    pub fn hostile_incident() -> Finding {
        let mut found = testing::incident();
        found.walk.path = Some(b"/tmp/a\nPRIORITY=0\n\xff".to_vec());
        found.walk.walk.comm = b"x\nMESSAGE=y".to_vec();
        Finding::Incident(Box::new(found))
    }

    #[test]
    fn an_incident_has_fields_to_search_by() {
        let finding = hostile_incident();
        let session = testing::session();
        let mut printer = Printer::start(Vec::new(), Format::Text, &session).expect("memory");
        printer.take();
        printer.print(&finding).expect("memory");
        let text = printer.take();
        assert!(text.contains(&b'\n'));
        let fields = fields(&entry(&finding, &text));
        let of = |name: &str| String::from_utf8_lossy(&fields[name]).into_owned();
        assert_eq!(of("MESSAGE").as_bytes(), text.trim_ascii_end());
        assert_eq!(of("PRIORITY"), "4");
        assert_eq!(of("MESSAGE_ID").len(), 32);
        assert_eq!(of("FSLOCKUP_TYPE"), "incident");
        assert_eq!(of("FSLOCKUP_SEVERITY"), "warning");
        assert_eq!(of("FSLOCKUP_PATH"), "/tmp/a\\x0aPRIORITY=0\\x0a\\xff");
        assert_eq!(of("FSLOCKUP_COMM"), "x\\x0aMESSAGE=y");
        assert!(of("FSLOCKUP_WALK_NS").parse::<u64>().is_ok());
        let Finding::Incident(found) = &finding else {
            panic!("it is one")
        };
        assert_eq!(of("FSLOCKUP_INCIDENT_ID"), found.id());
    }

    #[test]
    fn lost_entries_are_an_entry() {
        let fields = fields(&lost_entry(3));
        assert_eq!(fields["FSLOCKUP_LOST_COUNT"], b"3");
        assert!(fields["MESSAGE"].starts_with(b"3 entries"));
    }
}
