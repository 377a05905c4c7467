//! A package archive in a directory, as small as apt takes it, and a `vmtest` that uses no other.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// The suite that it has.
pub const SUITE: &str = "test";

/// An archive whose packages come and go, a cache, and a manifest with its lock.
pub struct Repository {
    directory: TempDir,
    /// Names and versions of its packages.
    packages: Vec<(String, String)>,
}

impl Repository {
    /// One without packages, and a manifest with kernels of these names, each of packages
    /// `linux-image-NAME-NUMBER`.
    pub fn new(kernels: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join("temporary")).expect("made");
        let repository = Self {
            directory,
            packages: Vec::new(),
        };
        let entries: String = kernels.iter().map(|name| entry(name, SUITE)).collect();
        repository.write_manifest(&entries);
        repository.publish();
        repository
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The archive's directory.
    pub fn archive(&self) -> PathBuf {
        self.path("archive")
    }

    /// The cache.
    pub fn cache(&self) -> PathBuf {
        self.path("cache")
    }

    /// The lock.
    pub fn lock(&self) -> PathBuf {
        self.path("kernels.lock")
    }

    pub fn write_manifest(&self, entries: &str) {
        fs::write(self.path("kernels.toml"), entries).expect("written");
    }

    /// Adds a version of a kernel, whose number is its last part.
    pub fn add(&mut self, kernel: &str, number: u32) {
        let package = (
            format!("linux-image-{kernel}-{number}"),
            format!("1.0.{number}-1"),
        );
        self.packages.push(package);
        self.publish();
    }

    /// Takes it away.
    pub fn remove(&mut self, kernel: &str, number: u32) {
        let name = format!("linux-image-{kernel}-{number}");
        self.packages.retain(|(other, _)| *other != name);
        fs::remove_file(self.pool().join(format!("{name}.deb"))).expect("removed");
        self.publish();
    }

    /// Where the packages are.
    pub fn pool(&self) -> PathBuf {
        self.archive().join("pool")
    }

    /// Writes packages and lists.
    fn publish(&self) {
        let mut list = String::new();
        fs::create_dir_all(self.pool()).expect("made");
        for (name, version) in &self.packages {
            let file = format!("pool/{name}.deb");
            let content = kernel_package(&format!("{version}-{name}"));
            fs::write(self.archive().join(&file), &content).expect("written");
            list += &format!(
                "Package: {name}\nVersion: {version}\nArchitecture: amd64\nFilename: {file}\nSize: {}\nSHA256: {}\n\n",
                content.len(),
                sha256(&content)
            );
        }
        let suite = self.archive().join("dists").join(SUITE);
        fs::create_dir_all(suite.join("main/binary-amd64")).expect("made");
        fs::write(suite.join("main/binary-amd64/Packages"), &list).expect("written");
        let release = format!(
            "Origin: Debian\nLabel: Debian\nSuite: {SUITE}\nCodename: {SUITE}\nDate: Thu, 01 Jan 2026 00:00:00 UTC\n\
             Architectures: amd64\nComponents: main\nSHA256:\n {} {} main/binary-amd64/Packages\n",
            sha256(list.as_bytes()),
            list.len()
        );
        fs::write(suite.join("Release"), release).expect("written");
    }

    /// `vmtest` with this archive and nothing of this machine's.
    pub fn vmtest(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vmtest"));
        let mirror = format!("[trusted=yes] file:{}", self.archive().display());
        command
            .arg("--kernels")
            .arg(self.path("kernels.toml"))
            .args(arguments)
            .env("FSLOCKUP_MIRROR", mirror)
            .env("FSLOCKUP_CACHE", self.cache())
            .env("TMPDIR", self.path("temporary"))
            .env_remove("RUST_LOG")
            .env_remove("http_proxy")
            .current_dir(self.directory.path());
        command
    }

    /// Its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.vmtest(arguments).output().expect("vmtest runs")
    }
}

/// An entry of a manifest.
pub fn entry(name: &str, suite: &str) -> String {
    format!(
        "[[kernel]]\nname = \"{name}\"\nsuite = \"{suite}\"\npackages = ['linux-image-{name}-\\d+']\nreason = \"r.\"\n"
    )
}

/// All that `fetch` asks of a kernel's package.
fn kernel_package(release: &str) -> Vec<u8> {
    let mut data = tar::Builder::new(Vec::new());
    for file in ["vmlinuz", "modules.builtin", "kernel/x.ko"] {
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        let path = format!("./usr/lib/modules/{release}/{file}");
        data.append_data(&mut header, path, &b"x"[..])
            .expect("added");
    }
    let data = data.into_inner().expect("written");
    let mut package = ar::Builder::new(Vec::new());
    let header = ar::Header::new(b"data.tar".to_vec(), data.len() as u64);
    package.append(&header, &*data).expect("added");
    package.into_inner().expect("written")
}

fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a command wrote to standard error, by lines.
pub fn lines(output: &Output) -> Vec<String> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    stderr.lines().map(str::to_owned).collect()
}

/// The names in a directory, sorted.
pub fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("read");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("read").file_name();
    let mut names: Vec<_> = entries
        .map(|entry| name(entry).to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
