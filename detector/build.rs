//! Builds the eBPF object with the compiler that builds everything else.

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
    }
}
