//! A kernel where it was built: nothing is installed.

use std::{fs, path::Path};

use super::{KernelError, file};
use crate::{image::modules, packages::Kernel};

/// The kernel of a build tree, called `name`. Its modules are where `modules.order` says; one that is configured
/// without modules has none.
///
/// # Errors
/// When the bootable file is no kernel, or the modules are not built, unless `are_modules_given`.
pub fn kernel(name: &str, tree: &Path, are_modules_given: bool) -> Result<Kernel, KernelError> {
    let mut kernel = file::kernel(name, &tree.join(modules::BUILT_IMAGE))?;
    let config = tree.join(".config");
    let config = fs::read_to_string(&config).map_err(|error| KernelError::Read {
        path: config,
        error,
    })?;
    let has_modules = config.lines().any(|line| line == "CONFIG_MODULES=y");
    if are_modules_given || !has_modules {
        return Ok(kernel);
    }
    // What is listed may not be built yet; that is found out when a module is needed.
    let is_built = ["modules.order", "modules.builtin"]
        .iter()
        .all(|list| tree.join(list).is_file());
    if !is_built {
        return Err(KernelError::NotBuilt(tree.display().to_string()));
    }
    kernel.modules_dir = Some(tree.to_owned());
    Ok(kernel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_a_kernel_once_its_modules_are_built() {
        let directory = tempfile::tempdir().expect("a directory");
        let tree = directory.path().join("linux");
        let add = |file: &str, content: &[u8]| {
            let path = tree.join(file);
            fs::create_dir_all(path.parent().expect("one")).expect("made");
            fs::write(path, content).expect("written");
        };
        assert!(!modules::is_build_tree(&tree));
        add(modules::BUILT_IMAGE, b"\x7fELF");
        assert!(modules::is_build_tree(&tree));
        let get = |are_modules_given| {
            kernel("linux", &tree, are_modules_given).map_err(|error| error.to_string())
        };
        let error = get(false).expect_err("no configuration");
        assert!(
            error.ends_with(".config: No such file or directory (os error 2)"),
            "{error}"
        );
        add(".config", b"# CONFIG_MODULES is not set\n");
        assert_eq!(get(false).expect("it has none").modules_dir, None);
        add(".config", b"CONFIG_MODULES=y\n");
        add("modules.builtin", b"");
        let error = get(false).expect_err("half built");
        assert!(
            error.ends_with("linux: its modules are not built (run there: make modules)"),
            "{error}"
        );
        assert_eq!(get(true).expect("they are given").modules_dir, None);
        add("modules.order", b"");
        let whole = get(false).expect("whole");
        assert_eq!(whole.modules_dir.as_deref(), Some(&*tree));
    }
}
