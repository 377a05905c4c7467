//! Which struct fields do the programs read? Each is listed once: what user space looks up in the kernel's types, and what
//! the programs are loaded with, both come from this list.

/// Marks an offset that this kernel's type information doesn't give: the field is left out, the
/// probe works on.
pub const OFFSET_UNKNOWN: u32 = u32::MAX;

/// A field that is looked up by name.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// `struct.field` in the oldest kernel: its name in the facts, and so in recordings.
    pub name: &'static str,
    /// The struct that it is in.
    pub structure: &'static str,
    /// Its spellings, the one of the oldest kernel first.
    pub paths: &'static [&'static str],
    /// Where its offset stands.
    pub place: fn(&mut Offsets) -> &mut u32,
}

/// `NAME: STRUCT, PATH...;` for each field, with a path for each spelling; then what is no field, with its value where it
/// is unknown.
macro_rules! fields {
    (
        fields {
            $($(#[$about:meta])* $name:ident: $structure:literal, $path:literal $(, $later:literal)*;)*
        }
        others {
            $($(#[$about_other:meta])* $other:ident = $unknown:expr;)*
        }
    ) => {
        /// Byte offsets of the struct fields that the programs read, found in the kernel's BTF, and three facts beside
        /// them: all of them `u32`.
        #[derive(Clone, Copy)]
        #[repr(C)]
        pub struct Offsets {
            $(
                #[doc = concat!("`", $structure, ".", $path, "`.")]
                $(#[$about])*
                pub $name: u32,
            )*
            $($(#[$about_other])* pub $other: u32,)*
        }

        impl Offsets {
            /// All unknown.
            pub const UNKNOWN: Self = Self {
                $($name: OFFSET_UNKNOWN,)*
                $($other: $unknown,)*
            };
        }

        /// The fields in the order of [`Offsets`].
        pub const FIELDS: &[Field] = &[$(Field {
            name: concat!($structure, ".", $path),
            structure: $structure,
            paths: &[$path $(, $later)*],
            place: |offsets| &mut offsets.$name,
        }),*];
    };
}

fields! {
    fields {
        /// 64 bits wide on every 64-bit kernel, as `unsigned long` or as `u64` (7.x).
        inode_i_ino: "inode", "i_ino";
        inode_i_lock: "inode", "i_lock";
        inode_i_sb: "inode", "i_sb";
        /// Its `first` points into the alias of a directory.
        inode_i_dentry: "inode", "i_dentry";
        super_block_s_dev: "super_block", "s_dev";
        super_block_s_type: "super_block", "s_type";
        file_system_type_name: "file_system_type", "name";
        dentry_d_parent: "dentry", "d_parent";
        dentry_d_name_name: "dentry", "d_name.name";
        dentry_d_name_len: "dentry", "d_name.len";
        dentry_d_lock: "dentry", "d_lockref.lock";
        dentry_d_count: "dentry", "d_lockref.count";
        dentry_d_inode: "dentry", "d_inode";
        dentry_d_sb: "dentry", "d_sb";
        /// 0 where no lookup can find the dentry.
        dentry_d_hash_pprev: "dentry", "d_hash.pprev";
        dentry_d_seq: "dentry", "d_seq.seqcount.sequence";
        /// The link that `inode.i_dentry` points to. 7.x took the union's name away, which the search through
        /// anonymous unions finds.
        dentry_d_alias: "dentry", "d_u.d_alias", "d_alias";
        task_struct_pid: "task_struct", "pid";
        task_struct_tgid: "task_struct", "tgid";
        task_struct_comm: "task_struct", "comm";
        task_struct_pcount: "task_struct", "sched_info.pcount";
        task_struct_last_arrival: "task_struct", "sched_info.last_arrival";
        task_struct_last_queued: "task_struct", "sched_info.last_queued";
        task_struct_mm: "task_struct", "mm";
        mm_struct_exe_file: "mm_struct", "exe_file";
        task_struct_stack: "task_struct", "stack";
        pt_regs_orig_ax: "pt_regs", "orig_ax";
        /// A system call's second argument.
        pt_regs_si: "pt_regs", "si";
        /// Its third.
        pt_regs_dx: "pt_regs", "dx";
        /// da549bdd15c2 (6.8) made the list of children an hlist, with other names.
        dentry_d_children: "dentry", "d_subdirs", "d_children";
        /// As above.
        dentry_d_sib: "dentry", "d_child", "d_sib";
        dentry_d_flags: "dentry", "d_flags";
        /// Hash and length of the name in one word.
        dentry_d_name_hash_len: "dentry", "d_name.hash_len";
        task_struct_files: "task_struct", "files";
        files_struct_fdt: "files_struct", "fdt";
        fdtable_max_fds: "fdtable", "max_fds";
        fdtable_fd: "fdtable", "fd";
        file_f_path_dentry: "file", "f_path.dentry";
    }
    others {
        /// `sizeof(struct pt_regs)`.
        pt_regs_bytes = OFFSET_UNKNOWN;
        /// 1 where the kernel has the helper `bpf_task_pt_regs` (dd6e10fbd9fb, 5.15).
        has_task_pt_regs = 0;
        /// The flags of dentries in a list of children that are no children: cursors of readdir, and
        /// names whose lookup goes on.
        dentry_flags_no_child = 0;
    }
}
