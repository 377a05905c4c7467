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

use crate::{arch::GUEST, image::elf_section, packages::compression::Compression};

/// Far above what a module takes, debug information included.
const MAX_MODULE_BYTES: u64 = 256 << 20;

/// Only these directories are searched for a module that goes by an alias: soft dependencies name
/// algorithms (`crc32c`), which live there, and reading all of a generic kernel's four thousand
/// modules would take longer than the boot.
const ALIAS_DIRECTORIES: [&str; 3] = ["crypto", "lib", "arch"];

/// The bootable file of a build tree, which an installed one doesn't have.
pub(crate) const BUILT_IMAGE: &str = GUEST.image.built;

/// Whether a kernel was built in this directory.
pub(crate) fn is_build_tree(directory: &Path) -> bool {
    directory.join(BUILT_IMAGE).is_file()
}

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

/// A kernel's module directory: `lib/modules/RELEASE`, or the tree that it was built in.
#[derive(Debug)]
pub struct ModuleTree {
    directory: PathBuf,
    /// Below it are the modules, by the paths of their sources.
    root: PathBuf,
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
        let (root, found) = if is_build_tree(directory) {
            (directory.to_owned(), built(directory)?)
        } else {
            let root = directory.join("kernel");
            let found = walk_files(&root)?;
            (root, found)
        };
        let mut paths = BTreeMap::new();
        for path in found {
            if let Some(name) = name_in(&path) {
                paths.insert(name, path);
            }
        }
        let builtin = read_list(&directory.join("modules.builtin"))?
            .lines()
            .filter_map(|line| name_in(Path::new(line)))
            .collect();
        Ok(Self {
            directory: directory.to_owned(),
            root,
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
        for directory in ALIAS_DIRECTORIES.map(|part| self.root.join(part)) {
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

fn read_list(path: &Path) -> Result<String, ModuleError> {
    fs::read_to_string(path).map_err(|error| ModuleError::Read {
        path: path.to_owned(),
        error,
    })
}

/// The modules of a build tree, by its `modules.order`. That has the path of each as `fs/x/x.o`; before 6.2 it was
/// `fs/x/x.ko` (f65a486821cf, "kbuild: change module.order to list *.o instead of *.ko"), and in old kernels, as in
/// installed directories, `kernel/fs/x/x.ko`.
fn built(tree: &Path) -> Result<Vec<PathBuf>, ModuleError> {
    let text = read_list(&tree.join("modules.order"))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let paths = lines.map(|line| {
        let path = tree.join(line).with_extension("ko");
        match line.strip_prefix("kernel/") {
            // The tree has a directory of that name too.
            Some(rest) if !path.exists() => tree.join(rest).with_extension("ko"),
            _ => path,
        }
    });
    Ok(paths.collect())
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
    fn a_build_trees_modules_are_where_its_list_says() {
        for order in [
            "fs/ext4/ext4.o\nkernel/torture.o\n",
            "fs/ext4/ext4.ko\nkernel/torture.ko\n",
            "kernel/fs/ext4/ext4.ko\nkernel/kernel/torture.ko\n",
        ] {
            let directory = tempfile::tempdir().expect("a directory");
            let tree = directory.path();
            for (file, content) in [
                (BUILT_IMAGE, ""),
                ("modules.builtin", "kernel/fs/jbd2/jbd2.ko\n"),
                ("modules.order", order),
                ("fs/ext4/ext4.ko", "ext4"),
                ("kernel/torture.ko", "torture"),
                (
                    "kernel/other.ko",
                    "not in the list: of an earlier configuration",
                ),
            ] {
                let path = tree.join(file);
                fs::create_dir_all(path.parent().expect("one")).expect("made");
                fs::write(path, content).expect("written");
            }
            let read = ModuleTree::read(tree).expect("read");
            let found = read
                .load_order(&["ext4", "torture", "jbd2"])
                .expect("found");
            let contents: Vec<_> = found.iter().map(|module| &*module.content).collect();
            assert_eq!(contents, [b"ext4".as_slice(), b"torture"], "{order}");
            let error = read.load_order(&["other"]).expect_err("not listed");
            assert!(error.to_string().starts_with("module other: neither in"));
        }
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
