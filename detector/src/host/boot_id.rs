//! The boot that this kernel is in.

use std::fs;

use crate::escape::escape;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The kernel's random name of this boot (random(4)).
pub fn boot_id() -> Option<String> {
    let text = fs::read_to_string(BOOT_ID).ok()?;
    Some(escape(text.trim().as_bytes()))
}
