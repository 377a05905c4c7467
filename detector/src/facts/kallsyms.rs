//! The kernel's symbol table, read once: names always, addresses where they are shown
//! (`kernel.kptr_restrict`, CAP_SYSLOG; proc_kallsyms(5)).
//!
//! The kernel makes the text while it is read, a hundred thousand lines of it, which takes longer than all other
//! facts. So the file is opened at the start, with the privileges of that moment (`kallsyms_open` in
//! kernel/kallsyms.c looks at them, no later read does), and read to its end before the plan where it needs
//! that, else by a thread behind the first line.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader},
};

use super::Answer;

const KALLSYMS: &str = "/proc/kallsyms";

/// Addresses are padded with zeros.
const ADDRESS_DIGITS: usize = 16;

/// A read gives what fits into one page, however much room there is (`seq_read_iter` in fs/seq_file.c).
const BUFFER_BYTES: usize = 4 << 10;

/// Who may see no addresses sees none: so many functions at address 0 say so. Those at the head of the table that
/// really are there (variables of CPUs, before 6.15) are no functions.
const HIDDEN_COUNT: usize = 64;

/// An address that lies further behind a symbol is not that symbol's.
const FUNCTION_BYTES_MAX: u64 = 256 << 10;
/// Behind the functions of modules lies whatever was loaded later: other modules, compiled programs,
/// trampolines.
const MODULE_FUNCTION_BYTES_MAX: u64 = 16 << 10;

/// The functions in the kernel's symbol table.
pub struct Symbols {
    /// As far as it is read.
    table: Result<Table, String>,
    /// What is still to be read.
    rest: Option<Box<dyn BufRead + Send>>,
}

/// What the table has of one function.
pub struct FoundSymbols {
    /// A symbol of this very name.
    pub is_there: Answer,
    /// What the compiler split off it, sorted. `.cold` parts hold no loop and have no entry of their own.
    pub split_off: Vec<String>,
}

/// Names in one string: a kernel has a hundred thousand.
#[derive(Default)]
struct Table {
    names: String,
    /// Sorted by address when it is complete.
    entries: Vec<Entry>,
    line: Vec<u8>,
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

    fn has_address(&self) -> bool {
        self.entries.iter().any(|entry| entry.address != 0)
    }

    /// `false` at the end of the text.
    fn read_line(&mut self, lines: &mut impl BufRead) -> bool {
        // One line at a time in one place: there are a hundred thousand.
        self.line.clear();
        if !lines
            .read_until(b'\n', &mut self.line)
            .is_ok_and(|len| len > 0)
        {
            return false;
        }
        if let Some((address, name, is_module)) = parse_line(self.line.trim_ascii_end())
            && let (Ok(name_at), Ok(name_bytes)) =
                (u32::try_from(self.names.len()), u16::try_from(name.len()))
        {
            self.names.push_str(name);
            self.entries.push(Entry {
                address,
                name_at,
                name_bytes,
                is_module,
            });
        }
        true
    }

    fn finish(&mut self) {
        // Stable: of several names for one address the last one of the table is found.
        self.entries.sort_by_key(|entry| entry.address);
        self.entries.shrink_to_fit();
        self.names.shrink_to_fit();
        self.line = Vec::new();
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
    /// Opens the table, and reads so much of it that it is known whether it shows addresses. That it can't be
    /// read is an answer of its own.
    pub fn open() -> Self {
        match File::open(KALLSYMS) {
            Ok(file) => Self::begin(Box::new(BufReader::with_capacity(BUFFER_BYTES, file))),
            Err(error) => Self::none(format!("{KALLSYMS}: {error}")),
        }
    }

    /// For who needs none of it.
    pub fn unread() -> Self {
        Self::none("not looked for".to_owned())
    }

    fn none(reason: String) -> Self {
        Self {
            table: Err(reason),
            rest: None,
        }
    }

    fn begin(mut lines: Box<dyn BufRead + Send>) -> Self {
        let mut table = Table::default();
        let is_known = |table: &Table| table.has_address() || table.entries.len() == HIDDEN_COUNT;
        while !is_known(&table) && table.read_line(&mut lines) {}
        Self {
            table: Ok(table),
            rest: Some(lines),
        }
    }

    /// Reads what is still to be read.
    pub fn finish(&mut self) {
        if let (Ok(table), Some(mut lines)) = (&mut self.table, self.rest.take()) {
            while table.read_line(&mut lines) {}
            table.finish();
        }
    }

    /// What the table has of each of these functions, in one pass over it.
    pub fn find<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> HashMap<&'a str, FoundSymbols> {
        let none = match &self.table {
            Ok(_) if self.rest.is_none() => Answer::No,
            Ok(_) => Answer::Unknown("not looked for".to_owned()),
            Err(reason) => Answer::Unknown(reason.clone()),
        };
        let mut found: HashMap<_, _> = names
            .into_iter()
            .map(|name| {
                let none = FoundSymbols {
                    is_there: none.clone(),
                    split_off: Vec::new(),
                };
                (name, none)
            })
            .collect();
        let table = self.table.as_ref().ok().filter(|_| self.rest.is_none());
        for symbol in table.into_iter().flat_map(Table::kernel_names) {
            let name = symbol.split_once('.').map_or(symbol, |(name, _)| name);
            let Some(found) = found.get_mut(name) else {
                continue;
            };
            if name == symbol {
                found.is_there = Answer::Yes;
            } else if !symbol.contains(".cold") {
                found.split_off.push(symbol.to_owned());
            }
        }
        for found in found.values_mut() {
            found.split_off.sort();
            found.split_off.dedup();
        }
        found
    }

    /// Whether the table shows addresses, which are all 0 to those who may not see them.
    pub fn has_addresses(&self) -> Answer {
        match &self.table {
            Ok(table) => Answer::of(table.has_address()),
            Err(reason) => Answer::Unknown(reason.clone()),
        }
    }

    /// Whether there is something left to be read that has addresses.
    #[must_use]
    pub fn is_worth_finishing(&self) -> bool {
        self.rest.is_some() && self.has_addresses() == Answer::Yes
    }

    /// `function+0x1f` for an address; none where the table has nothing there, as far as it was read.
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

/// `address kind name`, and where it is not the kernel's own a tab and `[module]`; if it is a function.
fn parse_line(line: &[u8]) -> Option<(u64, &str, bool)> {
    let (address, rest) = line.split_at_checked(ADDRESS_DIGITS)?;
    // Weak functions are functions: a syscall's entry is one.
    let [b' ', b't' | b'T' | b'w' | b'W', b' ', rest @ ..] = rest else {
        return None;
    };
    let (name, module) = match rest.last()? {
        b']' => {
            let tab = rest.iter().position(|byte| *byte == b'\t')?;
            (&rest[..tab], Some(&rest[tab + 1..]))
        }
        _ => (rest, None),
    };
    // Trampolines of ftrace and kprobes, and compiled programs: memory that is used again and again.
    if module.is_some_and(|module| module == b"[bpf]" || module.starts_with(b"[__builtin__")) {
        return None;
    }
    // The padding in front of each function (9f2899fe36a6, 6.2): half as many again, and nothing runs there.
    if name.starts_with(b"__pfx_") {
        return None;
    }
    let address = u64::from_str_radix(str::from_utf8(address).ok()?, 16).ok()?;
    Some((address, str::from_utf8(name).ok()?, module.is_some()))
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
        ffffffff81000ff0 T __pfx__raw_spin_lock\n\
        ffffffff81001000 T _raw_spin_lock\n\
        ffffffffc0000000 t thing\t[module]\n\
        ffffffffc0003000 t ftrace_trampoline\t[__builtin__ftrace]\n";

    fn begun(text: &'static [u8]) -> Symbols {
        Symbols::begin(Box::new(text))
    }

    fn symbols(text: &'static [u8]) -> Symbols {
        let mut symbols = begun(text);
        symbols.finish();
        symbols
    }

    #[test]
    fn functions_are_told_from_data_and_modules() {
        let symbols = symbols(TABLE);
        let is_there = |name| symbols.find([name])[name].is_there.clone();
        assert_eq!(
            is_there("__fsnotify_update_child_dentry_flags"),
            Answer::Yes
        );
        assert_eq!(is_there("fsnotify_mark_srcu"), Answer::No);
        assert_eq!(is_there("fsnotify_thing"), Answer::No);
    }

    #[test]
    fn split_parts_are_found_and_cold_ones_left_out() {
        let name = "__fsnotify_update_child_dentry_flags";
        assert_eq!(
            symbols(TABLE).find([name])[name].split_off,
            ["__fsnotify_update_child_dentry_flags.part.0"]
        );
    }

    #[test]
    fn a_table_that_cannot_be_read_is_not_a_no() {
        let symbols = Symbols::none("no".to_owned());
        assert!(symbols.find(["x"])["x"].is_there.is_possible());
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
        assert_eq!(
            name(0xffff_ffff_8100_0ff8).as_deref(),
            Some("_stext+0xff8"),
            "padding has no name"
        );
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

    #[test]
    fn what_was_not_read_yet_is_not_a_no_and_is_read_for_the_first_address() {
        let mut symbols = begun(WITH_ADDRESSES);
        assert_eq!(symbols.has_addresses(), Answer::Yes);
        let is_there = |symbols: &Symbols| {
            symbols.find(["_raw_spin_lock"])["_raw_spin_lock"]
                .is_there
                .clone()
        };
        assert_eq!(
            is_there(&symbols),
            Answer::Unknown("not looked for".to_owned())
        );
        assert!(symbols.is_worth_finishing());
        symbols.finish();
        assert!(!symbols.is_worth_finishing());
        assert_eq!(
            symbols.resolve(0xffff_ffff_8100_1010).as_deref(),
            Some("_raw_spin_lock+0x10")
        );
        assert_eq!(is_there(&symbols), Answer::Yes);
    }

    #[test]
    fn a_table_without_addresses_is_not_read_to_its_end_for_one() {
        let text = b"0000000000000000 t f\n".repeat(HIDDEN_COUNT + 1);
        let symbols = begun(text.leak());
        assert_eq!(symbols.has_addresses(), Answer::No);
        assert!(!symbols.is_worth_finishing());
        assert_eq!(symbols.resolve(0x10), None);
    }
}
