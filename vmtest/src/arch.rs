//! What differs from one architecture to another: a row each, and nothing of it anywhere else.

/// Facts about the machine that a guest is, about its kernel's files, and about this host's ability to run it.
#[derive(Debug)]
pub struct Arch {
    /// What `uname -m` and Rust call it.
    pub machine: &'static str,
    /// What Debian calls it.
    pub debian: &'static str,
    /// What the kernel calls it: `arch/NAME`.
    pub kernel: &'static str,
    /// QEMU's program.
    pub qemu_program: &'static str,
    /// QEMU's machine type.
    pub qemu_machine: &'static str,
    /// What is added to the CPU model of each guest.
    pub cpu_options: &'static str,
    /// The guest's first serial port, as `console=` takes it.
    pub console: &'static str,
    /// The guest's second serial port, which is the result channel.
    pub results_device: &'static str,
    /// The guest's disk.
    pub disk: Disk,
    /// Words about the kernel's clocks.
    pub clock_words: ClockWords,
    /// The bootable file.
    pub image: BootImage,
    /// The machine in an ELF file's header (`e_machine`).
    pub elf_machine: u16,
    /// Bytes of a cache line.
    pub cache_line_bytes: u32,
}

/// How a guest's disk is attached and found.
#[derive(Debug)]
pub struct Disk {
    /// QEMU's device.
    pub qemu_device: &'static str,
    /// The module of its driver.
    pub module: &'static str,
    /// The first one in the guest.
    pub device: &'static str,
}

/// Words about the kernel's clocks, for its command line.
#[derive(Debug)]
pub struct ClockWords {
    /// Under KVM.
    pub kvm: &'static str,
    /// Emulated, with the host's clock.
    pub multi: &'static str,
    /// Emulated, in instruction time.
    pub icount: &'static str,
}

/// A kernel's bootable file.
#[derive(Debug)]
pub struct BootImage {
    /// What `make` calls it.
    pub target: &'static str,
    /// Where a build tree has it.
    pub built: &'static str,
    /// What shows that a file is one, and where.
    pub magic: &'static [u8],
    /// See there.
    pub magic_at: usize,
    /// Where two bytes are that say where the version's text is, and what is to be added to them.
    pub version_pointer_at: usize,
    /// See there.
    pub version_base: u64,
}

/// x86-64.
pub const X86_64: Arch = Arch {
    machine: "x86_64",
    debian: "amd64",
    kernel: "x86",
    qemu_program: "qemu-system-x86_64",
    qemu_machine: "pc",
    // With the hypervisor bit, the kernel's spinlocks test and set instead of queueing, and neither contention
    // tracepoints nor waits are those of a real host.
    cpu_options: ",-hypervisor",
    console: "ttyS0",
    // The second 8250 port: built into every distribution kernel, and not the console, so that neither can garble
    // the other.
    results_device: "/dev/ttyS1",
    // NVMe's driver is built into Debian's cloud kernels, virtio's is not.
    disk: Disk {
        qemu_device: "nvme",
        module: "nvme",
        device: "/dev/nvme0n1",
    },
    // tsc=reliable: 5.10 and 6.1 would fall back to the slow hpet clock under emulation.
    // lpj: each further vCPU would calibrate its delay loop against a clock that runs by fits and starts (half a
    // second of a boot with four vCPUs on two cores, and a useless result). These are 2.5 GHz, near enough a host's
    // time stamp counter, and the 1 GHz of instruction time; a wrong one only makes the waits for emulated devices
    // shorter or longer.
    clock_words: ClockWords {
        kvm: "tsc=reliable",
        multi: "tsc=reliable lpj=10000000",
        icount: "tsc=reliable lpj=4000000",
    },
    // A bzImage's setup header: "HdrS" at 0x202, and at 0x20e the offset of the version's text less 0x200 (the
    // kernel's `Documentation/arch/x86/boot.rst`).
    image: BootImage {
        target: "bzImage",
        built: "arch/x86/boot/bzImage",
        magic: b"HdrS",
        magic_at: 0x202,
        version_pointer_at: 0x20e,
        version_base: 0x200,
    },
    elf_machine: 62,
    // 64 on every x86-64 CPU (Intel's and AMD's optimization manuals).
    cache_line_bytes: 64,
};

/// The architecture of every guest.
pub const GUEST: &Arch = &X86_64;

impl Arch {
    /// Whether KVM can run its guests here: it executes the host's own instructions only.
    #[must_use]
    pub fn is_hosts(&self) -> bool {
        std::env::consts::ARCH == self.machine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_consistent() {
        let arch = GUEST;
        assert!(arch.qemu_program.ends_with(arch.machine), "{arch:?}");
        let place = format!("arch/{}/boot/{}", arch.kernel, arch.image.target);
        assert_eq!(arch.image.built, place);
        assert!(!arch.results_device.ends_with(arch.console), "{arch:?}");
    }
}
