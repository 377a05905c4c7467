//! How single values are written in every line and text.

use jiff::Timestamp;

/// RFC 3339 in UTC with milliseconds; a time that no calendar has stays a number.
pub(crate) fn time(realtime_ns: i64) -> String {
    Timestamp::from_nanosecond(realtime_ns.into())
        .map_or_else(|_| realtime_ns.to_string(), |time| format!("{time:.3}"))
}

/// The time in such a text, CLOCK_REALTIME.
pub(crate) fn realtime_ns(text: &str) -> Option<i64> {
    let time: Timestamp = text.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok()
}

/// An address in the kernel.
pub(crate) fn address(address: u64) -> String {
    format!("{address:#x}")
}

/// The name of a system call, or its number where this build doesn't know it.
pub(crate) fn syscall_name(number: i64) -> String {
    usize::try_from(number)
        .ok()
        .and_then(syscalls::Sysno::new)
        .map_or_else(
            || format!("system call {number}"),
            |sysno| sysno.name().to_owned(),
        )
}

/// The packed device number as people write it.
pub(crate) fn device(dev: u32) -> String {
    format!("{}:{}", dev >> 20, dev & 0xf_ffff)
}
