//! Digests as text.

use sha2::{Digest as _, Sha256};

/// Two hexadecimal digits for each byte.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The first 8 digits of the SHA-256 of these bytes: enough for a name.
#[must_use]
pub fn short(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes)[..4])
}
