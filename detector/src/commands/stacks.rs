//! Names for the addresses in stacks, each told once.

use std::collections::HashSet;

use crate::{
    event::{self, Event},
    facts::Symbols,
    pipeline::Symbol,
};

/// A kernel has far fewer places that wait for spinlocks; past this, names are told again.
const KNOWN_MAX: usize = 16_384;

/// The symbol table, and which addresses have been told.
pub struct Stacks {
    symbols: Symbols,
    known: HashSet<u64>,
}

impl Stacks {
    /// With nothing told.
    pub fn new(symbols: Symbols) -> Self {
        Self {
            symbols,
            known: HashSet::new(),
        }
    }

    /// Names for the addresses of a record that were not told yet.
    pub fn new_symbols(&mut self, record: &[u8]) -> Option<Vec<Symbol>> {
        let Ok(Event::Wait(wait)) = event::decode(record) else {
            return None;
        };
        if self.known.len() > KNOWN_MAX {
            self.known.clear();
        }
        let (known, table) = (&mut self.known, &mut self.symbols);
        let symbols: Vec<_> = wait
            .stack
            .iter()
            .filter(|address| known.insert(**address))
            .map(|address| Symbol {
                address: *address,
                name: table.resolve(*address),
            })
            .collect();
        (!symbols.is_empty()).then_some(symbols)
    }
}
