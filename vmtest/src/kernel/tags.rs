//! What a kernel is that no manifest says anything of.

use super::{KernelError, file};
use crate::packages::Kernel;

const RT: &str = "rt";
const GENERIC: &str = "generic";

/// The tags of a kernel that was given as a file: which scenarios about one kind of kernels run on it.
///
/// # Errors
/// When its file can't be read.
pub fn tags(kernel: &Kernel) -> Result<Vec<String>, KernelError> {
    let version = file::version(&kernel.vmlinuz)?;
    Ok(vec![of_version(version.as_deref()).to_owned()])
}

/// `uname -v` says PREEMPT_RT of a kernel with CONFIG_PREEMPT_RT (`UTS_VERSION`, init/Makefile); an ELF file
/// shows no version and is taken as the other kind, which most are.
fn of_version(version: Option<&str>) -> &'static str {
    let is_rt = version.is_some_and(|text| text.split(' ').any(|word| word == "PREEMPT_RT"));
    if is_rt { RT } else { GENERIC }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_tells_whether_spinlocks_sleep() {
        for (version, expected) in [
            (
                Some("6.12.1-x (a@b) #1 SMP PREEMPT_RT Debian 6.12.1-1 (2026-01-01)"),
                RT,
            ),
            (
                Some("6.12.1-x (a@b) #1 SMP PREEMPT_DYNAMIC Debian 6.12.1-1"),
                GENERIC,
            ),
            (Some("6.1.0-rt-amd64 (a@b) #1 SMP Debian"), GENERIC),
            (None, GENERIC),
        ] {
            assert_eq!(of_version(version), expected, "{version:?}");
        }
    }

    #[test]
    fn a_file_tells_its_tag() {
        let mut image = vec![0_u8; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x20_u16.to_le_bytes());
        let text = b"7.4.0 (x@y) #1 SMP PREEMPT_RT\0";
        image[0x220..0x220 + text.len()].copy_from_slice(text);
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), image).expect("written");
        let kernel = file::kernel("x", file.path()).expect("a kernel");
        assert_eq!(tags(&kernel).expect("read"), [RT]);
    }
}
