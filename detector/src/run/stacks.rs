//! Names for the addresses in stacks, each reported once.

use std::{
    collections::HashSet,
    thread::{self, JoinHandle},
};

use crate::{
    event::{self, Event},
    facts::Symbols,
    model::Symbol,
};

/// A kernel has far fewer places that wait for spinlocks; past this, names are reported again.
const KNOWN_MAX: usize = 16_384;

/// The reader has a buffer of a page, and its table is on the heap. What is on a stack may be locked in memory.
const READER_STACK_BYTES: usize = 128 << 10;

/// The symbol table, which addresses have a name by now, and which wait for one.
pub struct Stacks {
    /// As far as it was read at the start, then for good.
    symbols: Symbols,
    /// Reads the rest: that takes half a second and more, in which a walk could begin and end unseen.
    reader: Option<JoinHandle<Symbols>>,
    known: HashSet<u64>,
    unnamed: Vec<u64>,
}

impl Stacks {
    /// With nothing reported.
    pub fn new(symbols: Symbols) -> Self {
        Self {
            symbols,
            reader: None,
            known: HashSet::new(),
            unnamed: Vec::new(),
        }
    }

    /// Takes note of the addresses of a record.
    pub fn note(&mut self, record: &[u8]) {
        let Ok(Event::Wait(wait)) = event::decode(record) else {
            return;
        };
        if self.known.len() > KNOWN_MAX {
            self.known.clear();
        }
        let known = &mut self.known;
        let new = wait.stack.iter().filter(|address| known.insert(**address));
        self.unnamed.extend(new);
    }

    /// Has the rest of the table read, with the privileges of this moment.
    pub fn begin_reading(&mut self) {
        if !self.symbols.is_worth_finishing() {
            return;
        }
        let mut symbols = std::mem::replace(&mut self.symbols, Symbols::unread());
        let reader = thread::Builder::new()
            .name("symbols".to_owned())
            .stack_size(READER_STACK_BYTES)
            .spawn(move || {
                symbols.finish();
                symbols
            });
        self.reader = reader
            .inspect_err(|error| log::warn!("no names in stacks: thread: {error}"))
            .ok();
    }

    /// Whether addresses wait for the table: an incident that came out now would lack the names.
    pub fn are_names_due(&self) -> bool {
        !self.unnamed.is_empty() && self.is_reading()
    }

    fn is_reading(&self) -> bool {
        self.reader
            .as_ref()
            .is_some_and(|reader| !reader.is_finished())
    }

    /// Names for the addresses that were noted, if the table is there by now.
    pub fn names(&mut self) -> Option<Vec<Symbol>> {
        if self.is_reading() {
            return None;
        }
        self.wait_for_names()
    }

    /// The same, however long it takes.
    pub fn wait_for_names(&mut self) -> Option<Vec<Symbol>> {
        if self.unnamed.is_empty() {
            return None;
        }
        if let Some(reader) = self.reader.take() {
            self.symbols = reader.join().unwrap_or_else(|_| Symbols::unread());
        }
        let symbols = &self.symbols;
        let names = self.unnamed.drain(..).map(|address| Symbol {
            address,
            name: symbols.resolve(address),
        });
        Some(names.collect())
    }
}
