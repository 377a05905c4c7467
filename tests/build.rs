//! Builds the eBPF object that only tests use, the same way as `detector/build.rs` builds the product's.

use aya_build::{Package, Toolchain};

fn main() {
    // `-Z build-std=core` compiles `core` for the BPF target; on a stable compiler it needs this.
    // Only the child cargo that aya-build starts sees it.
    // SAFETY: a build script's main thread is its only one here.
    unsafe { std::env::set_var("RUSTC_BOOTSTRAP", "1") };
    let toolchain = std::env::var("RUSTUP_TOOLCHAIN").unwrap_or_else(|_| "stable".to_owned());
    // Not as it was when this script was compiled: a cached target directory may come from another path.
    let root = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it") + "/../tests-ebpf";
    let package = Package {
        name: "fslockup-tests-ebpf",
        root_dir: &root,
        ..Package::default()
    };
    if let Err(error) = aya_build::build_ebpf([package], Toolchain::Custom(&toolchain)) {
        println!(
            "cargo::error=eBPF programs: {error:#} (run ./justw once to install the BPF linker and rust-src)"
        );
    }
}
