//! The way to the journal of a host that runs systemd.
//!
//! Only where the environment says that this process's output goes there anyway (`JOURNAL_STREAM` in
//! systemd.exec(5)). The socket is connected at the start and never waited for.

use std::{
    io::{self, ErrorKind},
    os::unix::net::UnixDatagram,
    path::Path,
};

use nix::sys::stat::{FileStat, fstat};

use crate::{
    logging,
    model::{Finding, Session},
    output::{self, Format, Printer},
};

const SOCKET: &str = "/run/systemd/journal/socket";
const JOURNAL_STREAM: &str = "JOURNAL_STREAM";

/// Sends findings to the journal.
pub struct Journald {
    socket: UnixDatagram,
    printer: Printer<Vec<u8>>,
    /// What is printed goes there as well, so an entry takes its place.
    is_stdout: bool,
    lost_count: u64,
}

impl Journald {
    /// Connects, if output goes to the journal. One that can't be reached is none: output goes on as text.
    pub fn open(format: Format, session: &Session) -> Option<Self> {
        let stream = std::env::var(JOURNAL_STREAM).ok()?;
        let is = |stat: nix::Result<FileStat>| stat.is_ok_and(|stat| is_stream(&stream, &stat));
        let is_stdout = is(fstat(io::stdout()));
        if !is_stdout && !is(fstat(io::stderr())) {
            return None;
        }
        match Self::connect(Path::new(SOCKET), is_stdout, format, session) {
            Ok(journal) => Some(journal),
            Err(error) => {
                let what = format!("{SOCKET}: {error}: incidents go to the output alone");
                logging::complain(logging::PROGRAM, what);
                None
            }
        }
    }

    fn connect(
        path: &Path,
        is_stdout: bool,
        format: Format,
        session: &Session,
    ) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        socket.set_nonblocking(true)?;
        let mut printer = Printer::start(Vec::new(), format, session)?;
        printer.take();
        Ok(Self {
            socket,
            printer,
            is_stdout,
            lost_count: 0,
        })
    }

    /// Sends what belongs there. Whether that takes the place of printing it.
    pub fn take(&mut self, finding: &Finding) -> bool {
        if !self.is_stdout && !matches!(finding, Finding::Incident(_)) {
            return false;
        }
        if self.lost_count > 0 {
            let lost = output::journald::lost_entry(self.lost_count);
            if self.socket.send(&lost).is_ok() {
                self.lost_count = 0;
            }
        }
        // Into memory.
        let _ = self.printer.print(finding);
        let message = self.printer.take();
        let entry = output::journald::entry(finding, &message);
        match self.socket.send(&entry) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.lost_count += 1,
            // Nobody is there any more, or it is too large for them.
            Err(_) => return false,
        }
        self.is_stdout
    }
}

/// `JOURNAL_STREAM` is device and inode number of the stream, in decimal with a colon between.
fn is_stream(stream: &str, stat: &FileStat) -> bool {
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        output::journald::tests::{fields, hostile_incident},
        testing,
    };

    fn connected(is_stdout: bool) -> (UnixDatagram, Journald) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("socket");
        let journald = UnixDatagram::bind(&path).expect("a socket");
        journald.set_nonblocking(true).expect("set");
        let session = testing::session();
        let journal = Journald::connect(&path, is_stdout, Format::Text, &session).expect("it");
        (journald, journal)
    }

    fn received(journald: &UnixDatagram) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 64 << 10];
        let count = journald.recv(&mut bytes).ok()?;
        bytes.truncate(count);
        Some(bytes)
    }

    #[test]
    fn an_incident_arrives_as_one_entry() {
        let (journald, mut journal) = connected(true);
        assert!(journal.take(&hostile_incident()), "not printed again");
        let fields = fields(&received(&journald).expect("an entry"));
        assert_eq!(fields["FSLOCKUP_TYPE"], b"incident");
        assert_eq!(received(&journald), None);
    }

    #[test]
    fn other_output_stays_where_it_is_and_incidents_come_too() {
        let (journald, mut journal) = connected(false);
        assert!(!journal.take(&hostile_incident()), "printed as well");
        assert!(received(&journald).is_some());
        let bad = Finding::BadRecord(crate::event::DecodeError::Kind(77));
        assert!(!journal.take(&bad));
        assert_eq!(received(&journald), None);
    }

    #[test]
    fn a_full_socket_is_counted_and_told_when_there_is_room() {
        let (journald, mut journal) = connected(true);
        let sent_count = 10_000;
        for _ in 0..sent_count {
            journal.take(&hostile_incident());
        }
        let mut received_count = 0;
        while received(&journald).is_some() {
            received_count += 1;
        }
        assert!(
            (1..sent_count).contains(&received_count),
            "{received_count}"
        );
        journal.take(&hostile_incident());
        let told = fields(&received(&journald).expect("how many are missing"));
        let lost = (sent_count - received_count).to_string();
        assert_eq!(told["FSLOCKUP_LOST_COUNT"], lost.as_bytes());
        let next = fields(&received(&journald).expect("the entry itself"));
        assert_eq!(next["FSLOCKUP_TYPE"], b"incident");
    }

    #[test]
    fn without_a_journal_findings_are_printed() {
        let (journald, mut journal) = connected(true);
        drop(journald);
        assert!(!journal.take(&hostile_incident()));
    }

    #[test]
    fn the_stream_is_told_by_device_and_inode() {
        let file = tempfile::tempfile().expect("a file");
        let stat = fstat(&file).expect("its numbers");
        let right = format!("{}:{}", stat.st_dev, stat.st_ino);
        assert!(is_stream(&right, &stat));
        for wrong in ["", ":", "1", &format!("{right}0"), &format!("0{right}")] {
            assert!(!is_stream(wrong, &stat), "{wrong}");
        }
    }
}
