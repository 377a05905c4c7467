//! The kernel's symbol table, read once: names always, addresses where they are shown
//! (`kernel.kptr_restrict`, CAP_SYSLOG; proc_kallsyms(5)).

use std::{fs::File, io::BufReader};

use super::Answer;

const KALLSYMS: &str = "/proc/kallsyms";

/// An address that lies further behind a symbol is not that symbol's.
const FUNCTION_BYTES_MAX: u64 = 256 << 10;
/// Behind the functions of modules lies whatever was loaded later: other modules, compiled programs,
/// trampolines.
const MODULE_FUNCTION_BYTES_MAX: u64 = 16 << 10;

/// The functions in the kernel's symbol table.
pub struct Symbols {
    table: Result<Table, String>,
}

/// Names in one string: a kernel has a hundred thousand.
#[derive(Default)]
struct Table {
    names: String,
    /// Sorted by address.
    entries: Vec<Entry>,
}

struct Entry {
    address: u64,
    name_at: u32,
    name_bytes: u16,
    is_module: bool,
}

impl Table {
    fn name(&self, entry: &Entry) -> &str {
        let at = entry.name_at as usize;
        &self.names[at..at + usize::from(entry.name_bytes)]
    }

    /// Functions of the kernel proper, not those of modules.
    fn kernel_names(&self) -> impl Iterator<Item = &str> {
        self.entries
            .iter()
            .filter(|entry| !entry.is_module)
            .map(|entry| self.name(entry))
    }
}

impl Symbols {
    /// Reads the table once; that it can't be read is an answer of its own.
    pub fn read() -> Self {
        let table = File::open(KALLSYMS)
            .map(|file| parse(BufReader::new(file)))
            .map_err(|error| format!("{KALLSYMS}: {error}"));
        Self { table }
    }

    /// For who needs none of it: reading the table takes as long as all other facts.
    pub fn unread() -> Self {
        Self {
            table: Err("not looked for".to_owned()),
        }
    }

    /// Whether there is a function of this very name.
    pub fn has(&self, name: &str) -> Answer {
        match &self.table {
            Ok(table) => Answer::of(table.kernel_names().any(|known| known == name)),
            Err(reason) => Answer::Unknown(reason.clone()),
        }
    }

    /// Whether the table shows addresses, which are all 0 to those who may not see them.
    pub fn has_addresses(&self) -> Answer {
        match &self.table {
            Ok(table) => Answer::of(table.entries.iter().any(|entry| entry.address != 0)),
            Err(reason) => Answer::Unknown(reason.clone()),
        }
    }

    /// What the compiler split off a function, sorted. `.cold` parts hold no loop and have no
    /// entry of their own.
    pub fn split_off(&self, name: &str) -> Vec<String> {
        let Ok(table) = &self.table else {
            return Vec::new();
        };
        let mut found: Vec<_> = table
            .kernel_names()
            .filter(|symbol| {
                symbol
                    .strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with('.') && !rest.contains(".cold"))
            })
            .map(str::to_owned)
            .collect();
        found.sort();
        found.dedup();
        found
    }

    /// `function+0x1f` for an address; none where the table has nothing there.
    #[must_use]
    pub fn resolve(&self, address: u64) -> Option<String> {
        let table = self.table.as_ref().ok()?;
        let behind = table
            .entries
            .partition_point(|entry| entry.address <= address);
        let entry = &table.entries[behind.checked_sub(1)?];
        let offset = address - entry.address;
        let limit = if entry.is_module {
            MODULE_FUNCTION_BYTES_MAX
        } else {
            FUNCTION_BYTES_MAX
        };
        (entry.address != 0 && offset < limit).then(|| format!("{}+{offset:#x}", table.name(entry)))
    }
}

fn parse(lines: impl std::io::BufRead) -> Table {
    let mut table = Table::default();
    for line in lines.split(b'\n').map_while(Result::ok) {
        let Some((address, name, is_module)) = parse_line(&line) else {
            continue;
        };
        let (Ok(name_at), Ok(name_bytes)) =
            (u32::try_from(table.names.len()), u16::try_from(name.len()))
        else {
            continue;
        };
        table.names.push_str(name);
        table.entries.push(Entry {
            address,
            name_at,
            name_bytes,
            is_module,
        });
    }
    // Stable: of several names for one address the last one of the table is found.
    table.entries.sort_by_key(|entry| entry.address);
    table.entries.shrink_to_fit();
    table.names.shrink_to_fit();
    table
}

/// `address kind name [module]`, if it is a function.
fn parse_line(line: &[u8]) -> Option<(u64, &str, bool)> {
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split_ascii_whitespace();
    let (address, kind, name) = (words.next()?, words.next()?, words.next()?);
    let address = u64::from_str_radix(address, 16).ok()?;
    let module = words.next();
    // Trampolines of ftrace and kprobes, and compiled programs: memory that is used again and again.
    let is_made_at_run_time =
        module.is_some_and(|module| module == "[bpf]" || module.starts_with("[__builtin__"));
    // Weak functions are functions: a syscall's entry is one.
    (matches!(kind, "t" | "T" | "w" | "W") && !is_made_at_run_time).then_some((
        address,
        name,
        module.is_some(),
    ))
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

    const WITH_ADDRESSES: &[u8] = b"ffffffff81000000 T _stext\n\
        ffffffff81002000 t d_alloc_parallel\n\
        ffffffff81001000 T _raw_spin_lock\n\
        ffffffffc0000000 t thing\t[module]\n\
        ffffffffc0003000 t ftrace_trampoline\t[__builtin__ftrace]\n";

    fn symbols(text: &[u8]) -> Symbols {
        Symbols {
            table: Ok(parse(text)),
        }
    }

    #[test]
    fn functions_are_told_from_data_and_modules() {
        let symbols = symbols(TABLE);
        assert_eq!(
            symbols.has("__fsnotify_update_child_dentry_flags"),
            Answer::Yes
        );
        assert_eq!(symbols.has("fsnotify_mark_srcu"), Answer::No);
        assert_eq!(symbols.has("fsnotify_thing"), Answer::No);
    }

    #[test]
    fn split_parts_are_found_and_cold_ones_left_out() {
        assert_eq!(
            symbols(TABLE).split_off("__fsnotify_update_child_dentry_flags"),
            ["__fsnotify_update_child_dentry_flags.part.0"]
        );
    }

    #[test]
    fn a_table_that_cannot_be_read_is_not_a_no() {
        let symbols = Symbols {
            table: Err("no".to_owned()),
        };
        assert!(symbols.has("x").is_possible());
        assert!(symbols.has_addresses().is_possible());
        assert_eq!(symbols.resolve(1), None);
    }

    #[test]
    fn an_address_gets_the_name_of_the_function_around_it() {
        let symbols = symbols(WITH_ADDRESSES);
        let name = |address| symbols.resolve(address);
        assert_eq!(
            name(0xffff_ffff_8100_1010).as_deref(),
            Some("_raw_spin_lock+0x10")
        );
        assert_eq!(name(0xffff_ffff_c000_0001).as_deref(), Some("thing+0x1"));
        assert_eq!(name(0xffff_ffff_8200_0000), None, "nothing is that long");
        assert_eq!(
            name(0xffff_ffff_c000_3010).as_deref(),
            Some("thing+0x3010"),
            "a trampoline has no name"
        );
        assert_eq!(name(0xffff_ffff_c000_4000), None, "no module's function is");
        assert_eq!(name(0x1000), None);
        assert_eq!(symbols.has_addresses(), Answer::Yes);
    }

    #[test]
    fn hidden_addresses_name_nothing() {
        let symbols = symbols(TABLE);
        assert_eq!(symbols.has_addresses(), Answer::No);
        assert_eq!(symbols.resolve(0x10), None);
    }
}
