//! The kernel's symbol table, by name only: addresses are hidden from most, names are not.

use std::{collections::HashSet, fs::File, io::BufReader};

use super::Answer;

const KALLSYMS: &str = "/proc/kallsyms";

/// Names of the functions in the kernel's symbol table.
pub struct Symbols {
    names: Result<HashSet<String>, String>,
}

impl Symbols {
    /// Reads the table once; that it can't be read is an answer of its own.
    pub fn read() -> Self {
        let names = File::open(KALLSYMS)
            .map(|file| parse(BufReader::new(file)))
            .map_err(|error| format!("{KALLSYMS}: {error}"));
        Self { names }
    }

    /// Whether there is a function of this very name.
    pub fn has(&self, name: &str) -> Answer {
        match &self.names {
            Ok(names) => Answer::of(names.contains(name)),
            Err(reason) => Answer::Unknown(reason.clone()),
        }
    }

    /// What the compiler split off a function, sorted. `.cold` parts hold no loop and have no
    /// entry of their own.
    pub fn split_off(&self, name: &str) -> Vec<String> {
        let Ok(names) = &self.names else {
            return Vec::new();
        };
        let mut found: Vec<_> = names
            .iter()
            .filter(|symbol| {
                symbol
                    .strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with('.') && !rest.contains(".cold"))
            })
            .cloned()
            .collect();
        found.sort();
        found
    }
}

/// Keeps functions of the kernel proper that fsnotify's are among, not those of modules.
fn parse(lines: impl std::io::BufRead) -> HashSet<String> {
    lines
        .split(b'\n')
        .map_while(Result::ok)
        .filter_map(|line| {
            let line = std::str::from_utf8(&line).ok()?;
            let mut words = line.split_ascii_whitespace();
            let (_address, kind, name) = (words.next()?, words.next()?, words.next()?);
            (kind.eq_ignore_ascii_case("t") && words.next().is_none() && name.contains("fsnotify"))
                .then(|| name.to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"0000000000000000 T __fsnotify_update_child_dentry_flags\n\
        0000000000000000 t __fsnotify_update_child_dentry_flags.part.0\n\
        0000000000000000 t __fsnotify_update_child_dentry_flags.cold\n\
        0000000000000000 D fsnotify_mark_srcu\n\
        0000000000000000 t fsnotify_thing\t[module]\n\
        garbage\n\xff\xfe\n";

    #[test]
    fn functions_are_told_from_data_and_modules() {
        let symbols = Symbols {
            names: Ok(parse(TABLE)),
        };
        assert_eq!(
            symbols.has("__fsnotify_update_child_dentry_flags"),
            Answer::Yes
        );
        assert_eq!(symbols.has("fsnotify_mark_srcu"), Answer::No);
        assert_eq!(symbols.has("fsnotify_thing"), Answer::No);
    }

    #[test]
    fn split_parts_are_found_and_cold_ones_left_out() {
        let symbols = Symbols {
            names: Ok(parse(TABLE)),
        };
        assert_eq!(
            symbols.split_off("__fsnotify_update_child_dentry_flags"),
            ["__fsnotify_update_child_dentry_flags.part.0"]
        );
    }

    #[test]
    fn a_table_that_cannot_be_read_is_not_a_no() {
        let symbols = Symbols {
            names: Err("no".to_owned()),
        };
        assert!(symbols.has("x").is_possible());
    }
}
