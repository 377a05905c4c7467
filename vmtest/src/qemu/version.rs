//! Which QEMU this is, and whether it is new enough.

use std::process::Command;

use crate::arch::GUEST;

/// The program.
pub const PROGRAM: &str = GUEST.qemu_program;
/// Earlier ones crash or freeze guests in which a probe is attached to a function that another
/// vCPU is executing, and can't run several vCPUs in instruction time.
const MAJOR_MIN: u32 = 10;

/// Why QEMU can't be used.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    /// It isn't there.
    #[error("{PROGRAM}: {0} (install QEMU {MAJOR_MIN} or later, or run ./justw once)")]
    NotStarted(std::io::Error),
    /// Its answer makes no sense.
    #[error("{PROGRAM}: can't tell its version from {0:?}")]
    Unknown(String),
    /// It is too old.
    #[error(
        "{PROGRAM}: version {0} is too old, {MAJOR_MIN} or later is needed (run ./justw once, or install it from the backports)"
    )]
    TooOld(String),
}

/// The version, such as `10.0.2`.
///
/// # Errors
/// When there is no QEMU or one that is too old.
pub fn probe() -> Result<String, VersionError> {
    let output = Command::new(PROGRAM)
        .arg("--version")
        .output()
        .map_err(VersionError::NotStarted)?;
    check(&String::from_utf8_lossy(&output.stdout))
}

fn check(answer: &str) -> Result<String, VersionError> {
    let first = answer.lines().next().unwrap_or_default();
    let unknown = || VersionError::Unknown(first.to_owned());
    let version = first
        .split("version ")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next())
        .ok_or_else(unknown)?;
    let major: u32 = version
        .split('.')
        .next()
        .unwrap_or_default()
        .parse()
        .map_err(|_| unknown())?;
    if major < MAJOR_MIN {
        Err(VersionError::TooOld(version.to_owned()))
    } else {
        Ok(version.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_old_ones_refused() {
        assert_eq!(
            check("QEMU emulator version 10.0.2 (Debian 1:10.0.2)\n").expect("new"),
            "10.0.2"
        );
        let old = check("QEMU emulator version 7.2.22 (Debian)")
            .expect_err("old")
            .to_string();
        assert!(old.contains("7.2.22 is too old"), "{old}");
        assert!(matches!(check("nonsense"), Err(VersionError::Unknown(_))));
        assert!(matches!(
            check("QEMU emulator version x.y"),
            Err(VersionError::Unknown(_))
        ));
    }
}
