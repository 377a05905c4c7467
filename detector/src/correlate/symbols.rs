//! Names of addresses, and stacks made of them.

use std::collections::HashMap;

use crate::model::Symbol;

/// Most names kept. A kernel has far fewer places that wait for a lock.
const NAMES_MAX: usize = 65_536;

/// The names known so far.
#[derive(Default)]
pub struct Symbols {
    names: HashMap<u64, String>,
}

impl Symbols {
    /// Takes note of names.
    pub fn add(&mut self, symbols: &[Symbol]) {
        for symbol in symbols {
            if let Some(name) = &symbol.name
                && self.names.len() < NAMES_MAX
            {
                self.names.insert(symbol.address, name.clone());
            }
        }
    }

    /// A stack by names, innermost first, without the frames of the probe that read it: programs
    /// and trampolines have symbols of their own kind, or none at all, because the table of symbols leaves
    /// them out. An address without a name behind the first one with
    /// a name is hexadecimal.
    pub fn stack(&self, addresses: &[u64]) -> Vec<String> {
        let name = |address: &u64| self.names.get(address);
        let is_kernel = |address| {
            name(address).is_some_and(|name| {
                !name.starts_with("bpf_") && !name.starts_with("ftrace_trampoline")
            })
        };
        let own = addresses.iter().position(is_kernel).unwrap_or(0);
        addresses[own..]
            .iter()
            .map(|address| name(address).map_or_else(|| format!("{address:#x}"), Clone::clone))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols() -> Symbols {
        let mut symbols = Symbols::default();
        let named = |address, name: Option<&str>| Symbol {
            address,
            name: name.map(str::to_owned),
        };
        symbols.add(&[
            named(1, Some("bpf_prog_6deef7357e7b4530_wait_enter+0x10")),
            named(2, None),
            named(3, Some("bpf_trampoline_6442536467+0x40")),
            named(4, Some("native_queued_spin_lock_slowpath+0x5")),
            named(5, Some("_raw_spin_lock+0x29")),
        ]);
        symbols
    }

    #[test]
    fn the_probe_itself_is_not_in_the_stack() {
        assert_eq!(
            symbols().stack(&[1, 2, 3, 4, 5]),
            [
                "native_queued_spin_lock_slowpath+0x5",
                "_raw_spin_lock+0x29"
            ]
        );
    }

    #[test]
    fn what_has_no_name_is_hexadecimal_and_stays() {
        assert_eq!(
            symbols().stack(&[0xff, 4, 0xff, 3]),
            [
                "native_queued_spin_lock_slowpath+0x5",
                "0xff",
                "bpf_trampoline_6442536467+0x40"
            ]
        );
        assert_eq!(symbols().stack(&[]), Vec::<String>::new());
        assert_eq!(symbols().stack(&[0xfe, 0xff]), ["0xfe", "0xff"]);
    }
}
