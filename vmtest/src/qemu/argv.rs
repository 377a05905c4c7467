//! QEMU's command line: one pure function a concern.

use std::{ffi::OsString, os::fd::RawFd, path::Path};

use serde::{Deserialize, Serialize};

use crate::arch::GUEST;

/// The CPU model of emulated guests, with all that QEMU can emulate.
pub const EMULATED_CPU: &str = "max";

/// An instruction takes 2 to the power of this, in nanoseconds of instruction time.
pub const ICOUNT_SHIFT: u32 = 1;

/// What executes the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// The host's CPU.
    Kvm,
    /// QEMU's emulation.
    Tcg,
}

impl Accelerator {
    /// The accelerator's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

/// How an emulated guest's time passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// With the host's clock, a thread for each vCPU.
    #[default]
    Multi,
    /// With the instructions executed, 2 ns each: durations repeat on a noisy host. Always
    /// emulated, and slower.
    Icount,
}

impl Mode {
    /// The mode's name in results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Multi => "multi",
            Self::Icount => "icount",
        }
    }

    /// How many times longer a guest of this mode may take (2.5 times was measured).
    #[must_use]
    pub fn slowness(self) -> u32 {
        match self {
            Self::Multi => 1,
            Self::Icount => 4,
        }
    }
}

/// Where the console (the first serial port) goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console<'a> {
    /// Into a file.
    File(&'a Path),
    /// To this terminal.
    Terminal,
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

fn with_path(before: &str, path: &Path, after: &str) -> OsString {
    // QEMU splits options at commas; a doubled comma is a comma.
    let escaped = path.to_string_lossy().replace(',', ",,");
    OsString::from(format!("{before}{escaped}{after}"))
}

/// A bare machine: nothing that a guest has to probe for in vain.
#[must_use]
pub fn machine() -> Vec<OsString> {
    words(&[
        "-machine",
        GUEST.qemu_machine,
        "-nodefaults",
        "-no-user-config",
        "-nic",
        "none",
        "-vga",
        "none",
        "-display",
        "none",
        "-no-reboot",
    ])
}

/// Accelerator and CPU model. The mode counts only under emulation.
#[must_use]
pub fn cpu(accelerator: Accelerator, mode: Mode, cpus_count: u32) -> Vec<OsString> {
    let mut arguments = match (accelerator, mode) {
        (Accelerator::Kvm, _) => words(&["-accel", "kvm"]),
        (Accelerator::Tcg, Mode::Multi) => words(&["-accel", "tcg,thread=multi"]),
        (Accelerator::Tcg, Mode::Icount) => words(&[
            "-accel",
            "tcg,thread=single",
            "-icount",
            &format!("shift={ICOUNT_SHIFT},sleep=off"),
        ]),
    };
    let model = match accelerator {
        Accelerator::Kvm => "host",
        Accelerator::Tcg => EMULATED_CPU,
    };
    arguments.extend(words(&[
        "-cpu",
        &format!("{model}{}", GUEST.cpu_options),
        "-smp",
        &cpus_count.to_string(),
    ]));
    arguments
}

/// The guest's memory.
#[must_use]
pub fn memory(memory_mib: u32) -> Vec<OsString> {
    words(&["-m", &format!("{memory_mib}M")])
}

/// Kernel, initramfs and kernel command line.
#[must_use]
pub fn kernel(
    vmlinuz: &Path,
    initramfs: &Path,
    clock_words: &str,
    extra: &[String],
) -> Vec<OsString> {
    // oops=panic, panic=-1 and -no-reboot: a broken kernel ends the guest instead of wedging it,
    // while watchdog reports (soft lockups) do not.
    let console = GUEST.console;
    let mut line = format!("console={console} panic=-1 oops=panic quiet {clock_words}");
    for argument in extra {
        line.push(' ');
        line.push_str(argument);
    }
    vec![
        "-kernel".into(),
        vmlinuz.into(),
        "-initrd".into(),
        initramfs.into(),
        "-append".into(),
        line.into(),
    ]
}

/// What the kernel is told about its clocks, for its command line.
#[must_use]
pub fn clock_words(accelerator: Accelerator, mode: Mode) -> &'static str {
    match (accelerator, mode) {
        (Accelerator::Kvm, _) => GUEST.clock_words.kvm,
        (Accelerator::Tcg, Mode::Multi) => GUEST.clock_words.multi,
        (Accelerator::Tcg, Mode::Icount) => GUEST.clock_words.icount,
    }
}

/// The first serial port, the kernel's console.
#[must_use]
pub fn console(console: Console) -> Vec<OsString> {
    let device = match console {
        Console::File(path) => with_path("file,id=console,path=", path, ""),
        Console::Terminal => "stdio,id=console,signal=off".into(),
    };
    vec![
        "-chardev".into(),
        device,
        "-serial".into(),
        "chardev:console".into(),
    ]
}

/// The second serial port, on a socket that QEMU inherits.
#[must_use]
pub fn results(socket: RawFd) -> Vec<OsString> {
    words(&[
        "-chardev",
        &format!("socket,id=results,fd={socket}"),
        "-serial",
        "chardev:results",
    ])
}

/// What becomes of a disk's image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// It is the guest's own.
    Own,
    /// It stays as it is: what the guest writes goes to a file of QEMU's that ends with it.
    Scratch,
}

/// The disk.
#[must_use]
pub fn disk(image: &Path, disk: Disk) -> Vec<OsString> {
    let snapshot = match disk {
        Disk::Own => "",
        Disk::Scratch => ",snapshot=on",
    };
    let options = format!(",if=none,id=disk,format=raw,cache=unsafe{snapshot}");
    let drive = with_path("file=", image, &options);
    vec![
        "-drive".into(),
        drive,
        "-device".into(),
        format!("{},drive=disk,serial=vmtest", GUEST.disk.qemu_device).into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(arguments: &[OsString]) -> String {
        arguments
            .iter()
            .map(|argument| argument.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn the_hypervisor_bit_is_off_whatever_the_accelerator() {
        assert_eq!(
            joined(&cpu(Accelerator::Tcg, Mode::Multi, 4)),
            "-accel tcg,thread=multi -cpu max,-hypervisor -smp 4"
        );
        assert_eq!(
            joined(&cpu(Accelerator::Kvm, Mode::Multi, 2)),
            "-accel kvm -cpu host,-hypervisor -smp 2"
        );
    }

    #[test]
    fn instruction_time_runs_in_one_thread() {
        let line = joined(&cpu(Accelerator::Tcg, Mode::Icount, 3));
        assert_eq!(
            line,
            "-accel tcg,thread=single -icount shift=1,sleep=off -cpu max,-hypervisor -smp 3"
        );
    }

    #[test]
    fn an_oops_ends_the_guest_and_a_soft_lockup_does_not() {
        let extra = ["lockdown=confidentiality".to_owned()];
        let clock = clock_words(Accelerator::Tcg, Mode::Multi);
        let line = joined(&kernel(Path::new("/k"), Path::new("/i"), clock, &extra));
        assert!(
            line.contains("oops=panic")
                && line.contains("panic=-1")
                && !line.contains("softlockup_panic"),
            "{line}"
        );
        assert!(line.ends_with(" lockdown=confidentiality"), "{line}");
        assert!(joined(&machine()).contains("-no-reboot"));
    }

    #[test]
    fn only_a_scratch_disk_leaves_its_image_alone() {
        let line = |kind| joined(&disk(Path::new("/a"), kind));
        assert!(line(Disk::Scratch).contains(",snapshot=on"));
        assert!(!line(Disk::Own).contains("snapshot"));
    }

    #[test]
    fn a_comma_in_a_path_is_no_option() {
        let line = joined(&disk(Path::new("/a,b"), Disk::Own));
        assert_eq!(line[..12], *"-drive file=");
        assert!(line.contains("file=/a,,b,if=none"));
        assert!(joined(&console(Console::File(Path::new("/x,y")))).contains("path=/x,,y"));
    }
}
