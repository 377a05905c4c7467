//! The struct fields that the programs read, each listed once with its spellings across kernels.

use std::collections::BTreeMap;

use fslockup_ebpf::Offsets;

use super::{Answer, Facts, btf::Types};

struct Field {
    structure: &'static str,
    /// In order of preference.
    paths: &'static [&'static str],
    place: fn(&mut Offsets) -> &mut u32,
}

macro_rules! fields {
    ($($place:ident: $structure:literal $paths:expr;)*) => {
        &[$(Field {
            structure: $structure,
            paths: &$paths,
            place: |offsets| &mut offsets.$place,
        }),*]
    };
}

const FIELDS: &[Field] = fields! {
    inode_i_ino: "inode" ["i_ino"];
    inode_i_lock: "inode" ["i_lock"];
    inode_i_sb: "inode" ["i_sb"];
    inode_i_dentry: "inode" ["i_dentry"];
    super_block_s_dev: "super_block" ["s_dev"];
    super_block_s_type: "super_block" ["s_type"];
    file_system_type_name: "file_system_type" ["name"];
    dentry_d_parent: "dentry" ["d_parent"];
    dentry_d_name_name: "dentry" ["d_name.name"];
    dentry_d_name_len: "dentry" ["d_name.len"];
    dentry_d_lock: "dentry" ["d_lockref.lock"];
    dentry_d_count: "dentry" ["d_lockref.count"];
    dentry_d_inode: "dentry" ["d_inode"];
    dentry_d_sb: "dentry" ["d_sb"];
    dentry_d_hash_pprev: "dentry" ["d_hash.pprev"];
    dentry_d_seq: "dentry" ["d_seq.seqcount.sequence"];
    // 7.x took the union's name away, which the search through anonymous unions finds.
    dentry_d_alias: "dentry" ["d_u.d_alias", "d_alias"];
    task_struct_pid: "task_struct" ["pid"];
    task_struct_tgid: "task_struct" ["tgid"];
    task_struct_comm: "task_struct" ["comm"];
    task_struct_pcount: "task_struct" ["sched_info.pcount"];
    task_struct_last_arrival: "task_struct" ["sched_info.last_arrival"];
    task_struct_last_queued: "task_struct" ["sched_info.last_queued"];
    task_struct_mm: "task_struct" ["mm"];
    mm_struct_exe_file: "mm_struct" ["exe_file"];
    task_struct_stack: "task_struct" ["stack"];
    pt_regs_orig_ax: "pt_regs" ["orig_ax"];
    pt_regs_si: "pt_regs" ["si"];
    pt_regs_dx: "pt_regs" ["dx"];
    // da549bdd15c2 (6.8) made the list of children an hlist, with other names.
    dentry_d_children: "dentry" ["d_subdirs", "d_children"];
    dentry_d_sib: "dentry" ["d_child", "d_sib"];
    dentry_d_flags: "dentry" ["d_flags"];
    dentry_d_name_hash_len: "dentry" ["d_name.hash_len"];
    task_struct_files: "task_struct" ["files"];
    files_struct_fdt: "files_struct" ["fdt"];
    fdtable_max_fds: "fdtable" ["max_fds"];
    fdtable_fd: "fdtable" ["fd"];
    file_f_path_dentry: "file" ["f_path.dentry"];
};

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

impl Field {
    /// `struct.field` as it was in the first kernel that has it: the name in the facts.
    fn key(&self) -> String {
        format!("{}.{}", self.structure, self.paths[0])
    }
}

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
            Some((field.key(), offset?))
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
        if let Some(found) = facts.offsets.get(&field.key()) {
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
        .map(Field::key)
        .filter(|key| !facts.offsets.contains_key(key))
        .collect()
}
