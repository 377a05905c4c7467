//! What unpacked packages lack to be a kernel that a guest can use.

use std::{fmt, fs, path::Path};

use super::Form;

/// A part that isn't there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// The bootable file.
    Vmlinuz,
    /// `modules.builtin`, which says what needs no module.
    Builtin,
    /// The modules themselves.
    Modules,
}

impl Lack {
    /// The first part that is missing in `directory`. A kernel that says in its configuration that it
    /// has no modules needs none.
    #[must_use]
    pub fn of(directory: &Path, are_modules_given: bool) -> Option<Self> {
        if !directory.join("vmlinuz").is_file() {
            return Some(Self::Vmlinuz);
        }
        let config = fs::read(directory.join("config")).ok();
        if are_modules_given || config.is_some_and(|config| !has_modules(&config)) {
            return None;
        }
        if !directory.join("modules/kernel").is_dir() {
            return Some(Self::Modules);
        }
        let is_builtin_known = directory.join("modules/modules.builtin").is_file();
        (!is_builtin_known).then_some(Self::Builtin)
    }

    /// The packages that have it, by their names in Fedora and RHEL, in Debian and Ubuntu, or in Arch Linux.
    #[must_use]
    pub fn remedy(self, form: Form) -> &'static str {
        match (self, form) {
            (_, Form::Arch) => "linux",
            (Self::Vmlinuz, Form::Rpm) => "kernel-core",
            (Self::Vmlinuz, Form::Deb) => "linux-image or linux-binary",
            (Self::Builtin, Form::Rpm) => "kernel-core",
            (Self::Builtin, Form::Deb) => {
                "linux-base where its release has one, else linux-modules"
            }
            (Self::Modules, Form::Rpm) => "kernel-modules-core and kernel-modules",
            (Self::Modules, Form::Deb) => "linux-modules, and linux-base where its release has one",
        }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Vmlinuz => "vmlinuz",
            Self::Builtin => "modules.builtin",
            Self::Modules => "modules",
        })
    }
}

fn has_modules(config: &[u8]) -> bool {
    config
        .split(|byte| *byte == b'\n')
        .any(|line| line == b"CONFIG_MODULES=y")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_missed_one_after_another() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        let add = |file: &str, content: &str| {
            fs::create_dir_all(path.join(file).parent().expect("one")).expect("made");
            fs::write(path.join(file), content).expect("written");
        };
        assert_eq!(Lack::of(path, true), Some(Lack::Vmlinuz));
        add("vmlinuz", "");
        assert_eq!(Lack::of(path, true), None);
        assert_eq!(Lack::of(path, false), Some(Lack::Modules));
        add("config", "# CONFIG_MODULES is not set\n");
        assert_eq!(Lack::of(path, false), None, "it has none");
        add("config", "CONFIG_MODULES=y\n");
        assert_eq!(Lack::of(path, false), Some(Lack::Modules));
        add("modules/kernel/fs/ext4.ko", "");
        assert_eq!(Lack::of(path, false), Some(Lack::Builtin));
        add("modules/modules.builtin", "");
        assert_eq!(Lack::of(path, false), None);
    }
}
