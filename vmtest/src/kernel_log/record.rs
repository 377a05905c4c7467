//! One record of the kernel's log, in the format of `/dev/kmsg`.

/// The level of a warning; lower is worse (`include/linux/kern_levels.h`).
pub const LEVEL_WARNING: u32 = 4;

/// One record as `/dev/kmsg` gives it: `PRIORITY,SEQUENCE,MICROSECONDS,FLAGS;TEXT\n KEY=VALUE…`
/// (the kernel's `Documentation/ABI/testing/dev-kmsg`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    priority: u32,
    sequence: u64,
    time_us: u64,
    text: &'a [u8],
}

impl<'a> Record<'a> {
    /// The record in these bytes, or `None` when they are not one.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let split = bytes.iter().position(|byte| *byte == b';')?;
        let mut head = std::str::from_utf8(&bytes[..split]).ok()?.split(',');
        let priority = head.next()?.parse().ok()?;
        let sequence = head.next()?.parse().ok()?;
        let time_us = head.next()?.parse().ok()?;
        let body = &bytes[split + 1..];
        let end = body
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(body.len());
        Some(Self {
            priority,
            sequence,
            time_us,
            text: &body[..end],
        })
    }

    /// Its number: the first record of a boot is 0, and each has the next one.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// 0 (emergency) to 7 (debug).
    #[must_use]
    pub fn level(&self) -> u32 {
        self.priority & 7
    }

    /// Programs may write to the log too, but not under the kernel's facility.
    #[must_use]
    pub fn is_from_kernel(&self) -> bool {
        self.priority >> 3 == 0
    }

    /// The message, with control characters still escaped by the kernel.
    #[must_use]
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// The record as a line of `dmesg`.
    #[must_use]
    pub fn render(&self) -> Vec<u8> {
        let mut line = format!(
            "[{:5}.{:06}] ",
            self.time_us / 1_000_000,
            self.time_us % 1_000_000
        )
        .into_bytes();
        line.extend_from_slice(self.text);
        line.push(b'\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use fslockup::escape::escape_rest;

    use super::*;

    #[test]
    fn a_record_of_dev_kmsg_is_taken_apart() {
        let record = Record::parse(b"4,512,1234567,-;x;y\n SUBSYSTEM=pci\n").expect("a record");
        assert_eq!((record.level(), record.is_from_kernel()), (4, true));
        assert_eq!(record.sequence(), 512);
        assert_eq!(record.text(), b"x;y");
        assert_eq!(record.render(), b"[    1.234567] x;y\n");
        let by_a_program = Record::parse(b"12,1,0,-;BUG: not really").expect("a record");
        assert!(!by_a_program.is_from_kernel());
    }

    #[test]
    fn broken_records_are_none() {
        for bytes in [
            &b""[..],
            b";",
            b"x,1,2,-;y",
            b"4,1;y",
            b"\xff\xff;",
            b"4,1,99999999999999999999,-;y",
        ] {
            assert_eq!(Record::parse(bytes), None, "{}", escape_rest(bytes));
        }
    }
}
