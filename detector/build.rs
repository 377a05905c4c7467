//! Builds the eBPF objects with the compiler that builds everything else.

fn main() {
    #[cfg(feature = "probes")]
    build_programs();
}

#[cfg(feature = "probes")]
fn build_programs() {
    use aya_build::{Package, Toolchain};

    // `-Z build-std=core` compiles `core` for the BPF target; on a stable compiler it needs this.
    // Only the child cargo that aya-build starts sees it.
    // SAFETY: a build script's main thread is its only one here.
    unsafe { std::env::set_var("RUSTC_BOOTSTRAP", "1") };
    let toolchain = std::env::var("RUSTUP_TOOLCHAIN").unwrap_or_else(|_| "stable".to_owned());
    // Not as it was when this script was compiled: a cached target directory may come from another path.
    let root = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it") + "/../detector-ebpf";
    let package = Package {
        name: "fslockup-ebpf",
        root_dir: &root,
        ..Package::default()
    };
    if let Err(error) = aya_build::build_ebpf([package], Toolchain::Custom(&toolchain)) {
        println!(
            "cargo::error=eBPF programs: {error:#} (run ./justw once to install the BPF linker and rust-src)"
        );
        return;
    }
    for name in ["fslockup", "census"] {
        if let Err(error) = without_debug_sections(name) {
            println!("cargo::error=eBPF programs: {name}: {error}");
        }
    }
}

/// The compiler makes the types (BTF) out of debug information, which is of no use after that, and nine tenths of an object:
/// as a part of the program it would be parsed at each start and stay in locked memory.
#[cfg(feature = "probes")]
fn without_debug_sections(name: &str) -> Result<(), Box<dyn std::error::Error>> {
    use object::{
        build::elf::{Builder, SectionData},
        elf::SHT_STRTAB,
    };

    let path = std::path::Path::new(&std::env::var("OUT_DIR")?).join(name);
    let whole = std::fs::read(&path)?;
    let mut object = Builder::read(whole.as_slice())?;
    for section in &mut object.sections {
        section.delete = [".debug_", ".rel.debug_"]
            .iter()
            .any(|start| section.name.starts_with(start.as_bytes()));
    }
    object.delete_orphans();
    // The linker has one table for all names, the writer wants one for those of sections.
    let names = object.sections.add();
    names.name = b".shstrtab".as_slice().into();
    names.sh_type = SHT_STRTAB;
    names.sh_addralign = 1;
    names.data = SectionData::SectionString;
    let mut rest = Vec::new();
    object.write(&mut rest)?;
    std::fs::write(&path, rest)?;
    Ok(())
}
