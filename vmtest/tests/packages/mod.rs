//! Kernels that a user gives as package files or as a build tree boot, and their modules load.
//!
//! No archive of other distributions is needed: they are made here, in the layout of Fedora, Ubuntu and Arch Linux, out
//! of a kernel of the matrix whose ext4 and NVMe are modules.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use rpm::{BuildConfig, CompressionType, FileOptions, PackageBuilder};
use vmtest::{
    manifest::kernels::Kernels,
    packages::{Kernel, store::Store},
};

use crate::support;

const KERNEL: &str = "6.12-generic";
/// What a disk with ext4 needs, by directories of the module tree.
const BASE: [&str; 5] = ["fs/ext4", "fs/jbd2", "fs/mbcache.ko.xz", "lib", "crypto"];
const DRIVERS: &str = "drivers/nvme";

fn kernel() -> Kernel {
    let kernels = Kernels::load(None).expect("built in");
    let entry = kernels.get(KERNEL).expect("in the list");
    Store::default()
        .get(&kernels, entry)
        .expect("in the cache or the archive")
}

impl Source {
    fn new() -> Self {
        let kernel = kernel();
        Self {
            release: kernel.release.expect("known"),
            config: kernel.vmlinuz.with_file_name("config"),
            vmlinuz: kernel.vmlinuz,
            modules: kernel.modules_dir.expect("it has modules"),
        }
    }

    /// The compressed modules below these parts of the tree, by their paths in it.
    fn modules(&self, parts: &[&str]) -> Vec<String> {
        let mut pending: Vec<_> = parts
            .iter()
            .map(|part| self.modules.join("kernel").join(part))
            .collect();
        let mut found = Vec::new();
        while let Some(path) = pending.pop() {
            if path.is_dir() {
                let entries = fs::read_dir(&path).expect("read");
                pending.extend(entries.map(|entry| entry.expect("read").path()));
            } else {
                let path = path.strip_prefix(&self.modules).expect("below it");
                found.push(path.to_str().expect("text").to_owned());
            }
        }
        assert!(found.iter().all(|path| path.ends_with(".ko.xz")));
        found
    }

    fn decompressed(&self, module: &str) -> Vec<u8> {
        let file = File::open(self.modules.join(module)).expect("there");
        let mut content = Vec::new();
        liblzma::read::XzDecoder::new(file)
            .read_to_end(&mut content)
            .expect("xz");
        content
    }
}

/// The unpacked kernel that the packages are made of.
struct Source {
    release: String,
    vmlinuz: PathBuf,
    config: PathBuf,
    modules: PathBuf,
}

/// Boots the kernel, with nothing in the cache, and mounts an ext4 disk.
fn assert_boots(word: &str, source: &Source) {
    let cache = tempfile::tempdir().expect("a directory");
    let script = "uname -r; grep ' /mnt/disk ' /proc/mounts; cut -d' ' -f1 /proc/modules";
    let output = support::exec_on(
        word,
        &["--fs", "ext4", "--disk", "64M"],
        &["sh", "-c", script],
    )
    .env("FSLOCKUP_CACHE", cache.path())
    .output()
    .expect("vmtest runs");
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines[0], source.release);
    assert!(
        lines[1].starts_with("/dev/nvme0n1 /mnt/disk ext4 "),
        "{said}"
    );
    for module in ["ext4", "jbd2", "nvme"] {
        assert!(lines[2..].contains(&module), "{said}");
    }
}

fn rpm(directory: &Path, name: &str, files: impl FnOnce(&mut PackageBuilder)) -> String {
    let mut builder = PackageBuilder::new(name, "6.12", "GPL-2.0", "x86_64", "s");
    builder.using_config(BuildConfig::v4().compression(CompressionType::None));
    files(&mut builder);
    let mut package = builder.build().expect("built");
    // The crate is built without compression. Nobody reads the tags that tell of it.
    package.payload = zstd::encode_all(&*package.payload, 1).expect("compressed");
    let path = directory.join(format!("{name}-6.12-1.x86_64.rpm"));
    package.write_file(&path).expect("written");
    path.display().to_string()
}

#[test]
#[ignore = "boots guests: ./justw test-harness"]
fn a_kernel_in_rpm_packages_boots() {
    let source = Source::new();
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    let to = |file: &str| FileOptions::new(format!("/lib/modules/{}/{file}", source.release));
    let add_modules = |builder: &mut PackageBuilder, parts: &[&str]| {
        for module in source.modules(parts) {
            // One that is compressed as some distributions do.
            if let Some(plain) = module.strip_suffix("/jbd2.ko.xz") {
                let mut packed = Vec::new();
                let content = source.decompressed(&module);
                flate2::read::GzEncoder::new(&*content, flate2::Compression::fast())
                    .read_to_end(&mut packed)
                    .expect("compressed");
                let options = to(&format!("{plain}/jbd2.ko.gz"));
                builder.with_file_contents(packed, options).expect("added");
            } else {
                let path = source.modules.join(&module);
                builder.with_file(path, to(&module)).expect("added");
            }
        }
    };
    let core = rpm(directory, "kernel-core", |builder| {
        let ghost = FileOptions::ghost(format!("/boot/vmlinuz-{}", source.release));
        builder.with_ghost(ghost).expect("added");
        for (file, path) in [("vmlinuz", &source.vmlinuz), ("config", &source.config)] {
            builder.with_file(path, to(file)).expect("added");
        }
        let builtin = source.modules.join("modules.builtin");
        let added = builder.with_file(builtin, to("modules.builtin"));
        added.expect("added");
    });
    let modules_core = rpm(directory, "kernel-modules-core", |builder| {
        add_modules(builder, &BASE);
    });
    let modules = rpm(directory, "kernel-modules", |builder| {
        add_modules(builder, &[DRIVERS]);
    });
    assert_boots(&[core, modules_core, modules].join(","), &source);
}

fn deb(directory: &Path, name: &str, files: &[(String, Vec<u8>)]) {
    let mut data = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        data.append_data(&mut header, path, &**content)
            .expect("added");
    }
    let data = data.into_inner().expect("written");
    let packed = zstd::encode_all(&*data, 1).expect("compressed");
    let file = File::create(directory.join(format!("{name}_6.12_amd64.deb"))).expect("made");
    let header = ar::Header::new(b"data.tar.zst".to_vec(), packed.len() as u64);
    let added = ar::Builder::new(file).append(&header, &*packed);
    added.expect("written");
}

#[test]
#[ignore = "boots guests: ./justw test-harness"]
fn a_kernel_in_a_directory_of_debian_packages_boots() {
    let source = Source::new();
    let directory = tempfile::tempdir().expect("a directory");
    let read = |path: &Path| fs::read(path).expect("there");
    let release = &source.release;
    let image = [(format!("./boot/vmlinuz-{release}"), read(&source.vmlinuz))];
    deb(directory.path(), "linux-image-6.12", &image);
    let mut files = vec![
        (format!("./boot/config-{release}"), read(&source.config)),
        (
            format!("./lib/modules/{release}/modules.builtin"),
            read(&source.modules.join("modules.builtin")),
        ),
    ];
    for module in source.modules(&[&BASE[..], &[DRIVERS]].concat()) {
        let packed = zstd::encode_all(&*source.decompressed(&module), 1).expect("compressed");
        let plain = module.strip_suffix("xz").expect("checked");
        files.push((format!("./lib/modules/{release}/{plain}zst"), packed));
    }
    deb(directory.path(), "linux-modules-6.12", &files);
    let word = format!("{}/", directory.path().display());
    assert_boots(&word, &source);
}

#[test]
#[ignore = "boots guests: ./justw test-harness"]
fn a_kernel_in_an_arch_linux_package_boots() {
    let source = Source::new();
    let directory = tempfile::tempdir().expect("a directory");
    let mut data = tar::Builder::new(Vec::new());
    let mut add = |file: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        let path = format!("usr/lib/modules/{}/{file}", source.release);
        data.append_data(&mut header, path, content).expect("added");
    };
    for (file, path) in [
        ("vmlinuz", source.vmlinuz.clone()),
        ("modules.builtin", source.modules.join("modules.builtin")),
    ] {
        add(file, &fs::read(path).expect("there"));
    }
    for module in source.modules(&[&BASE[..], &[DRIVERS]].concat()) {
        let packed = zstd::encode_all(&*source.decompressed(&module), 1).expect("compressed");
        let plain = module.strip_suffix("xz").expect("checked");
        add(&format!("{plain}zst"), &packed);
    }
    let data = data.into_inner().expect("written");
    let path = directory
        .path()
        .join("linux-6.12.arch1-1-x86_64.pkg.tar.zst");
    fs::write(&path, zstd::encode_all(&*data, 1).expect("compressed")).expect("written");
    assert_boots(path.to_str().expect("text"), &source);
}

#[test]
#[ignore = "boots guests: ./justw test-harness"]
fn a_kernel_in_its_build_tree_boots() {
    let source = Source::new();
    let directory = tempfile::tempdir().expect("a directory");
    let tree = directory.path().join("linux");
    let add = |file: &str, content: &[u8]| {
        let path = tree.join(file);
        fs::create_dir_all(path.parent().expect("one")).expect("made");
        fs::write(path, content).expect("written");
    };
    for (file, path) in [
        ("arch/x86/boot/bzImage", source.vmlinuz.clone()),
        (".config", source.config.clone()),
        ("modules.builtin", source.modules.join("modules.builtin")),
    ] {
        add(file, &fs::read(path).expect("there"));
    }
    let mut order = String::new();
    for module in source.modules(&[&BASE[..], &[DRIVERS]].concat()) {
        let place = module
            .strip_prefix("kernel/")
            .and_then(|module| module.strip_suffix(".ko.xz"))
            .expect("checked");
        add(&format!("{place}.ko"), &source.decompressed(&module));
        order += &format!("{place}.o\n");
    }
    add("modules.order", order.as_bytes());
    // The kernel's own source directory, which an installed tree doesn't have.
    add("kernel/panic.c", b"");
    assert_boots(tree.to_str().expect("text"), &source);
}
