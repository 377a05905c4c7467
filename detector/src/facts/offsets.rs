//! Where the struct fields of [`FIELDS`] are in this kernel, and what else the programs are loaded with.

use std::collections::BTreeMap;

use fslockup_ebpf::{FIELDS, Offsets};

use super::{Answer, Facts, btf::Types};

#[cfg(test)]
mod tests;

const PT_REGS: &str = "pt_regs";
const PT_REGS_BYTES: &str = "pt_regs size";
const DENTRY_FLAGS: &str = "dentry_flags";

/// Flags of dentries in a list of children that are no children, with their values before they
/// were an enum, which the type information shows (seen in 6.18; the values changed with it):
/// include/linux/dcache.h.
const NO_CHILD_FLAGS: [(&str, u32); 2] = [
    ("DCACHE_DENTRY_CURSOR", 0x2000_0000),
    ("DCACHE_PAR_LOOKUP", 0x1000_0000),
];
/// The name of these in the facts, only where the enum is there.
const NO_CHILD: &str = "dentry_flags no child";

/// Names of the types that they are looked for in.
pub fn type_names() -> impl Iterator<Item = &'static str> {
    FIELDS
        .iter()
        .map(|field| field.structure)
        .chain([PT_REGS, DENTRY_FLAGS])
}

/// Looks all of them up.
pub fn find(types: &Types) -> BTreeMap<String, u32> {
    let mut found: BTreeMap<_, _> = FIELDS
        .iter()
        .filter_map(|field| {
            let offset = field
                .paths
                .iter()
                .find_map(|path| types.field_offset(field.structure, path));
            Some((field.name.to_owned(), offset?))
        })
        .collect();
    if let Some(bytes) = types.struct_bytes(PT_REGS) {
        found.insert(PT_REGS_BYTES.to_owned(), bytes);
    }
    let flags: Vec<_> = NO_CHILD_FLAGS
        .iter()
        .filter_map(|(flag, _)| types.enumerator(DENTRY_FLAGS, flag))
        .collect();
    if flags.len() == NO_CHILD_FLAGS.len() {
        let mask = flags.iter().fold(0, |mask, flag| mask | flag);
        found.insert(NO_CHILD.to_owned(), mask);
    }
    found
}

/// The struct that the programs are loaded with.
#[must_use]
pub fn to_offsets(facts: &Facts) -> Offsets {
    let mut offsets = Offsets::UNKNOWN;
    for field in FIELDS {
        if let Some(found) = facts.offsets.get(field.name) {
            *(field.place)(&mut offsets) = *found;
        }
    }
    if let Some(bytes) = facts.offsets.get(PT_REGS_BYTES) {
        offsets.pt_regs_bytes = *bytes;
    }
    offsets.dentry_flags_no_child = facts
        .offsets
        .get(NO_CHILD)
        .copied()
        .unwrap_or_else(|| NO_CHILD_FLAGS.iter().fold(0, |mask, (_, flag)| mask | flag));
    offsets.has_task_pt_regs = u32::from(facts.has_task_pt_regs == Answer::Yes);
    offsets
}

/// Fields that were not found, by their names in the facts.
#[must_use]
pub fn missing(facts: &Facts) -> Vec<String> {
    FIELDS
        .iter()
        .map(|field| field.name.to_owned())
        .filter(|name| !facts.offsets.contains_key(name))
        .collect()
}
