//! Which modules a guest needs, in which order, out of a kernel's module directory.
//!
//! Packages come without `modules.dep` (it is made when a package is installed), so dependencies
//! are read from the modules themselves: `depends=` and `softdep=` in their `.modinfo`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use crate::{image::elf_section, packages::compression::Compression};

/// Far above what a module takes, debug information included.
const MAX_MODULE_BYTES: u64 = 256 << 20;

/// Only these directories are searched for a module that goes by an alias: soft dependencies name
/// algorithms (`crc32c`), which live there, and reading all of a generic kernel's four thousand
/// modules would take longer than the boot.
const ALIAS_DIRECTORIES: [&str; 3] = ["kernel/crypto", "kernel/lib", "kernel/arch"];

/// Why modules can't be had.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// A file can't be read or decompressed.
    #[error("{path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// Neither a module nor built in.
    #[error(
        "module {name}: neither in {directory} nor built into that kernel (of a kernel in several packages, give all that have modules)"
    )]
    Missing {
        /// The module's name.
        name: String,
        /// Where it was looked for.
        directory: PathBuf,
    },
}

/// A module, ready to load.
#[derive(Clone, Debug)]
pub struct Module {
    /// Its name, with underscores.
    pub name: String,
    /// Its decompressed file.
    pub content: Vec<u8>,
}

/// What a module says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ModuleInfo {
    depends: Vec<String>,
    /// Names or aliases to load before it if they are there.
    soft_before: Vec<String>,
    aliases: Vec<String>,
}

/// A kernel's module directory.
#[derive(Debug)]
pub struct ModuleTree {
    directory: PathBuf,
    paths: BTreeMap<String, PathBuf>,
    builtin: BTreeSet<String>,
}

/// Names are the same with `-` and `_`.
fn normalize(name: &str) -> String {
    name.replace('-', "_")
}

/// The module's name in a path: `kernel/fs/ext4/ext4.ko.xz` is `ext4`.
fn name_in(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    file.split_once(".ko").map(|(name, _)| normalize(name))
}

impl ModuleTree {
    /// Reads the names of all modules, loadable and built in.
    ///
    /// # Errors
    /// When the directory can't be read.
    pub fn read(directory: &Path) -> Result<Self, ModuleError> {
        let mut paths = BTreeMap::new();
        for path in walk_files(&directory.join("kernel"))? {
            if let Some(name) = name_in(&path) {
                paths.insert(name, path);
            }
        }
        let list = directory.join("modules.builtin");
        let text =
            fs::read_to_string(&list).map_err(|error| ModuleError::Read { path: list, error })?;
        let builtin = text
            .lines()
            .filter_map(|line| name_in(Path::new(line)))
            .collect();
        Ok(Self {
            directory: directory.to_owned(),
            paths,
            builtin,
        })
    }

    /// Whether a module of this name is there or built in.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let name = normalize(name);
        self.builtin.contains(&name) || self.paths.contains_key(&name)
    }

    /// The modules to load for `wanted`, dependencies first; built-in ones are left out.
    ///
    /// # Errors
    /// When a wanted module or a hard dependency is neither there nor built in.
    pub fn load_order(&self, wanted: &[&str]) -> Result<Vec<Module>, ModuleError> {
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        for name in wanted {
            self.visit(&normalize(name), &mut seen, &mut order)?;
        }
        Ok(order)
    }

    fn visit(
        &self,
        name: &str,
        seen: &mut BTreeSet<String>,
        order: &mut Vec<Module>,
    ) -> Result<(), ModuleError> {
        if self.builtin.contains(name) || !seen.insert(name.to_owned()) {
            return Ok(());
        }
        let path = self.paths.get(name).ok_or_else(|| ModuleError::Missing {
            name: name.to_owned(),
            directory: self.directory.clone(),
        })?;
        let content = read_module(path)?;
        let info = parse_info(elf_section(&content, b".modinfo").unwrap_or_default());
        for soft in &info.soft_before {
            if let Some(found) = self.resolve(soft)? {
                self.visit(&found, seen, order)?;
            }
        }
        for hard in &info.depends {
            self.visit(hard, seen, order)?;
        }
        order.push(Module {
            name: name.to_owned(),
            content,
        });
        Ok(())
    }

    /// The module of this name or alias; `None` when there is none (a soft dependency on what is
    /// built in under another name, or isn't needed).
    fn resolve(&self, name: &str) -> Result<Option<String>, ModuleError> {
        let name = normalize(name);
        if self.builtin.contains(&name) || self.paths.contains_key(&name) {
            return Ok(Some(name));
        }
        for directory in ALIAS_DIRECTORIES.map(|part| self.directory.join(part)) {
            for (candidate, path) in self
                .paths
                .iter()
                .filter(|(_, path)| path.starts_with(&directory))
            {
                let content = read_module(path)?;
                let info = parse_info(elf_section(&content, b".modinfo").unwrap_or_default());
                if info.aliases.contains(&name) {
                    return Ok(Some(candidate.clone()));
                }
            }
        }
        Ok(None)
    }
}

fn walk_files(directory: &Path) -> Result<Vec<PathBuf>, ModuleError> {
    let mut files = Vec::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        let failed = |error| ModuleError::Read {
            path: directory.clone(),
            error,
        };
        for entry in fs::read_dir(&directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_type().map_err(failed)?.is_dir() {
                pending.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    Ok(files)
}

fn read_module(path: &Path) -> Result<Vec<u8>, ModuleError> {
    let failed = |error| ModuleError::Read {
        path: path.to_owned(),
        error,
    };
    let extension = path.extension().and_then(|extension| extension.to_str());
    // `ko`, or what else the directory has in it.
    let compression = extension
        .and_then(Compression::of_extension)
        .unwrap_or(Compression::None);
    let mut content = Vec::new();
    File::open(path)
        .and_then(|file| compression.reader(BufReader::new(file), MAX_MODULE_BYTES))
        .and_then(|mut module| module.read_to_end(&mut content))
        .map_err(failed)?;
    Ok(content)
}

/// Reads `.modinfo`: strings `key=value`, each ended by a zero byte.
fn parse_info(section: &[u8]) -> ModuleInfo {
    let mut info = ModuleInfo::default();
    for entry in section
        .split(|byte| *byte == 0)
        .filter_map(|entry| std::str::from_utf8(entry).ok())
    {
        match entry.split_once('=') {
            Some(("depends", names)) => info.depends.extend(
                names
                    .split(',')
                    .filter(|name| !name.is_empty())
                    .map(normalize),
            ),
            Some(("softdep", rule)) => info.soft_before.extend(soft_before(rule)),
            Some(("alias", name)) => info.aliases.push(normalize(name)),
            _ => {}
        }
    }
    info
}

/// The names behind `pre:` in `pre: a b post: c`.
fn soft_before(rule: &str) -> Vec<String> {
    let mut is_before = false;
    let mut names = Vec::new();
    for word in rule.split_whitespace() {
        match word {
            "pre:" => is_before = true,
            "post:" => is_before = false,
            name if is_before => names.push(normalize(name)),
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modinfo_names_dependencies_and_aliases() {
        let section = b"license=GPL\0depends=jbd2,mbcache\0softdep=pre: crc32c post: x\0alias=fs-ext4\0depends=\0\0";
        let expected = ModuleInfo {
            depends: vec!["jbd2".into(), "mbcache".into()],
            soft_before: vec!["crc32c".into()],
            aliases: vec!["fs_ext4".into()],
        };
        assert_eq!(parse_info(section), expected);
    }

    #[test]
    fn a_path_gives_a_name_with_underscores() {
        assert_eq!(
            name_in(Path::new("kernel/crypto/crc32c-generic.ko.xz")),
            Some("crc32c_generic".into())
        );
        assert_eq!(name_in(Path::new("modules.order")), None);
    }

    #[test]
    fn what_is_built_in_is_not_loaded_and_what_is_nowhere_is_an_error() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join("kernel")).expect("made");
        fs::write(
            directory.path().join("modules.builtin"),
            "kernel/fs/ext4/ext4.ko\n",
        )
        .expect("written");
        let tree = ModuleTree::read(directory.path()).expect("read");
        assert!(tree.load_order(&["ext4"]).expect("built in").is_empty());
        let error = tree
            .load_order(&["no-such"])
            .expect_err("nowhere")
            .to_string();
        assert!(error.starts_with("module no_such: neither in "), "{error}");
    }

    #[test]
    fn dependencies_come_first_and_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let kernel = directory.path().join("kernel");
        fs::create_dir(&kernel).expect("made");
        fs::write(directory.path().join("modules.builtin"), "").expect("written");
        // Not ELF files, so without dependencies: the order is the wanted one.
        for name in ["b.ko", "a.ko"] {
            fs::write(kernel.join(name), b"x").expect("written");
        }
        let tree = ModuleTree::read(directory.path()).expect("read");
        let order: Vec<_> = tree
            .load_order(&["b", "a", "b"])
            .expect("found")
            .into_iter()
            .map(|module| module.name)
            .collect();
        assert_eq!(order, ["b", "a"]);
    }
}
