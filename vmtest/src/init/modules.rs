//! Loads the modules that the host chose (`crate::image::modules` says how).

use std::{ffi::CStr, fs::File};

use nix::{
    errno::Errno,
    kmod::{ModuleInitFlags, finit_module},
};

const NO_PARAMETERS: &CStr = c"";

/// Loads them in order; returns what failed.
pub fn load(paths: &[String]) -> Vec<String> {
    paths
        .iter()
        .filter_map(|path| load_one(path).err())
        .collect()
}

fn load_one(path: &str) -> Result<(), String> {
    let file = File::open(path).map_err(|error| format!("module {path}: {error}"))?;
    match finit_module(&file, NO_PARAMETERS, ModuleInitFlags::empty()) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(error) => Err(format!("module {path}: {error}")),
    }
}
