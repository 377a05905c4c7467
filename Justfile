# Recipes are thin: what they call can be called by hand. `./justw RECIPE` installs what is missing first.

set shell := ["bash", "-euo", "pipefail", "-c"]

bin := "target/x86_64-unknown-linux-gnu/release"

cargo_deb := "3.8.0"

# The entry of images/kernels.toml that is whatever Debian has newest.
newest := "newest"
# The programs are built by the same compiler, for another machine.
bpf_env := 'RUSTC_BOOTSTRAP=1 RUSTFLAGS="--cfg bpf_target_arch=\"x86_64\""'

# List the recipes
default:
    @just --list

# Build everything
build:
    cargo build --release

# Boot the newest kernel, flood a directory, watch it, see the walk
demo: build
    {{bin}}/vmtest exec --kernel {{newest}} --cpus 4 --fs ext4 -- {{bin}}/demo

# Build the detector and run it on this host
run *ARGS:
    cargo build --release -p fslockup
    {{bin}}/fslockup run {{ARGS}}

# Everything, each part to its end: host tests, the harness's own tests in guests, every scenario on every kernel
test:
    tests/everything

# Tests that need no guest
test-host:
    #!/usr/bin/env bash
    code=0
    cargo test --release --no-fail-fast || code=1
    cargo test --release --no-fail-fast --test prometheus --test page -- --ignored || code=1
    exit $code

# Tests of the harness in guests
test-harness: fetch
    cargo test --release --no-fail-fast --test guest --test gate -- --ignored

# Everything that tests run, and the kernels that they boot
fetch: build
    cargo test --release --no-run
    {{bin}}/vmtest fetch

# Two versions of the Debian package for scenario `package`, where they are not of this build
packages: build cargo-deb
    {{bin}}/packaging target/packaging
    tests/packages {{bin}}/package

# Every scenario on every kernel
vmtest *ARGS: packages
    {{bin}}/vmtest run {{ARGS}}

# May this kernel go to production? just gate 6.1 7.3
gate BASELINE CANDIDATE *ARGS: build
    {{bin}}/vmtest gate --baseline {{BASELINE}} --candidate {{CANDIDATE}} {{ARGS}}

# Twelve minutes of floods and watches in a guest: does the detector's memory stay as it is?
soak KERNEL="6.1": build
    {{bin}}/vmtest run --kernel {{KERNEL}} --scenario soak --out target/soak

# Format all sources, those too that cargo fmt does not find: a macro names the scenarios' files
format:
    cargo fmt --all
    rustfmt --edition 2024 tests/src/bin/scenario/*/*.rs

# Formatting, clippy on both halves, generated tables
lint: build
    cargo fmt --all --check
    rustfmt --check --edition 2024 tests/src/bin/scenario/*/*.rs
    cargo clippy --release --all-targets -- -D warnings
    cd detector-ebpf && {{bpf_env}} cargo clippy --release --lib --bins -Z build-std=core --target bpfel-unknown-none -- -D warnings
    cd tests-ebpf && {{bpf_env}} cargo clippy --release --lib --bins -Z build-std=core --target bpfel-unknown-none -- -D warnings
    {{bin}}/vmtest list kernels --format markdown | diff - <(sed -n '/<!-- kernels -->/,/<!-- \/kernels -->/{/<!--/!p}' README.md)

# Write the generated tables into the README
readme: build
    {{bin}}/vmtest list kernels --format markdown > target/kernels.md
    sed -i -e '/<!-- kernels -->/,/<!-- \/kernels -->/{/<!--/!d}' -e '/<!-- kernels -->/r target/kernels.md' README.md

# Instructions that the probes add, beside bpftrace where it is installed
bench KERNEL="6.1": build
    tests/benches/context-switch {{KERNEL}}
    tests/benches/dentry-cost {{KERNEL}}

# The picture in the README: the page of `report` about an incident of the corpus
picture: build
    tests/picture 6.12/contention docs/report.png

# A Debian package in target/debian
deb: build cargo-deb
    {{bin}}/packaging target/packaging
    cargo deb --package fslockup --no-build --target x86_64-unknown-linux-gnu --output target/debian/

# cargo-deb, where it is missing (about a minute)
[private]
cargo-deb:
    cargo deb --version >/dev/null 2>&1 || cargo install --quiet --locked cargo-deb@{{cargo_deb}}

# Record the corpus anew on every kernel; read the changed snapshots before accepting them
corpus: packages
    {{bin}}/vmtest run --keep-files --out target/corpus
    tests/update-corpus target/corpus

