//! The names of a flood: who knows its seed can tell whether a name is one of them.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
};

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

/// A prefix and 16 random hexadecimal digits, without end; the same seed gives the same names.
pub fn flood_names(prefix: &OsStr, seed: u64) -> impl Iterator<Item = OsString> {
    let mut random = SmallRng::seed_from_u64(seed);
    std::iter::repeat_with(move || {
        let mut name = prefix.as_bytes().to_vec();
        name.extend(format!("{:016x}", random.random::<u64>()).into_bytes());
        OsString::from_vec(name)
    })
}
