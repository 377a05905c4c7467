//! Where downloads and other things are kept between runs.

use std::path::PathBuf;

/// Unpacked kernels, below the cache directory.
pub const KERNELS: &str = "kernels";
/// Images of roots with systemd.
pub const ROOTS: &str = "roots";
/// Package lists, in a private state of apt.
pub const LISTS: &str = "apt";

/// The cache directory: `$FSLOCKUP_CACHE`, else `$XDG_CACHE_HOME/fslockup`, else
/// `~/.cache/fslockup`. Nothing depends on what is in it; it only saves time.
#[must_use]
pub fn directory() -> PathBuf {
    choose(|name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    })
}

fn choose(variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    variable("FSLOCKUP_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|base| base.join("fslockup")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/fslockup")))
        .unwrap_or_else(|| std::env::temp_dir().join("fslockup-cache"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_projects_own_variable_wins() {
        let all = |name: &str| Some(PathBuf::from(format!("/{name}")));
        assert_eq!(choose(all), PathBuf::from("/FSLOCKUP_CACHE"));
        let without = |name: &str| {
            if name == "FSLOCKUP_CACHE" {
                None
            } else {
                all(name)
            }
        };
        assert_eq!(choose(without), PathBuf::from("/XDG_CACHE_HOME/fslockup"));
        let home_only = |name: &str| if name == "HOME" { all(name) } else { None };
        assert_eq!(choose(home_only), PathBuf::from("/HOME/.cache/fslockup"));
    }
}
