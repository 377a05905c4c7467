//! The only folder that reads kernel memory. Every read is checked by the kernel: a bad address
//! gives an error, never a fault.
//!
//! Two ways: an [`Address`] is read through a helper, which takes tens of instructions and any
//! address; a [`Typed`] pointer is read by a plain load, which takes a few and only works along the
//! types that the kernel's BTF gives.

use core::mem::MaybeUninit;

use aya_ebpf::{
    helpers::{
        bpf_get_current_task, bpf_get_current_task_btf, bpf_probe_read_kernel,
        generated::{bpf_probe_read_kernel as raw_probe_read_kernel, bpf_task_pt_regs},
    },
    programs::FEntryContext,
};
use fslockup_ebpf::{
    COMM_BYTES, DentryRecord, EXE_COMPONENTS_MAX, FSTYPE_BYTES, NAME_BYTES_MAX, NameRecord,
    OFFSET_UNKNOWN, PATH_BYTES, PATH_COMPONENTS_MAX, PATH_IS_BROKEN, PATH_IS_CUT, PATH_START_LIMIT,
    ProducerRecord, SYSCALL_UNKNOWN, WalkRecord,
};

use crate::state::settings::offset;

/// An address in the kernel, never dereferenced directly.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Address(pub u64);

impl Address {
    /// The address of a field, if its offset is known.
    #[inline(always)]
    pub fn field(self, offset: u32) -> Option<Self> {
        if offset == OFFSET_UNKNOWN || self.0 == 0 {
            return None;
        }
        Some(Self(self.0 + u64::from(offset)))
    }

    #[inline(always)]
    pub fn read<T>(self) -> Option<T> {
        // SAFETY: the helper checks the address.
        unsafe { bpf_probe_read_kernel(self.0 as *const T) }.ok()
    }

    #[inline(always)]
    pub fn read_field<T>(self, offset: u32) -> Option<T> {
        self.field(offset)?.read()
    }

    /// Where a field points; none if that is nowhere, or can't be read: the helper leaves zeros then. Whether it failed is
    /// not asked, because each question is one more way that the verifier follows to the end.
    #[inline(always)]
    pub fn follow(self, offset: u32) -> Option<Self> {
        let field = self.field(offset)?;
        let mut to = 0_u64;
        field.copy_to((&raw mut to).cast(), size_of::<u64>() as u32);
        match to {
            0 => None,
            address => Some(Self(address)),
        }
    }

    /// Copies bytes to `to`; `false` if they can't be read.
    #[inline(always)]
    pub fn copy_to(self, to: *mut u8, bytes: u32) -> bool {
        // SAFETY: the helper checks the source, the verifier checks that `to` has room.
        unsafe { raw_probe_read_kernel(to.cast(), bytes, self.0 as *const _) == 0 }
    }
}

/// A pointer whose type the verifier knows: an argument of a traced function, or what such a pointer
/// leads to. The offsets are frozen constants, so it can follow each load; where the address turns out
/// bad at run time, 0 is read (`BPF_PROBE_MEM`, 2a02759ef5f8, 5.5).
#[derive(Clone, Copy)]
pub struct Typed(*const u8);

impl Typed {
    /// An argument of the function that the program sits on.
    #[inline(always)]
    pub fn argument(ctx: &FEntryContext, index: usize) -> Self {
        Self(ctx.arg(index))
    }

    #[inline(always)]
    pub fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// It is a negative errno in place of a pointer (`IS_ERR`, linux/err.h).
    #[inline(always)]
    pub fn is_error(self) -> bool {
        const MAX_ERRNO: u64 = 4095;
        self.0 as u64 >= u64::MAX - MAX_ERRNO
    }

    #[inline(always)]
    pub fn is_same(self, other: Self) -> bool {
        core::ptr::eq(self.0, other.0)
    }

    #[inline(always)]
    pub fn address(self) -> Address {
        Address(self.0 as u64)
    }

    #[inline(always)]
    fn load<T>(self, offset: u32) -> T {
        // SAFETY: checked by the kernel; volatile, so that it stays one load of this size.
        unsafe { self.0.add(offset as usize).cast::<T>().read_volatile() }
    }

    #[inline(always)]
    fn follow(self, offset: u32) -> Self {
        Self(self.load(offset))
    }
}

/// The directory that a dentry is a child of; itself for a root.
#[inline(always)]
pub fn parent(dentry: Typed) -> Typed {
    dentry.follow(offset!(dentry_d_parent))
}

/// References to a dentry; negative if it is dead.
#[inline(always)]
pub fn references(dentry: Typed) -> i32 {
    dentry.load(offset!(dentry_d_count))
}

/// Whether a dentry has an inode.
#[inline(always)]
pub fn is_positive(dentry: Typed) -> bool {
    !dentry.follow(offset!(dentry_d_inode)).is_null()
}

/// Whether a lookup can find the dentry (`d_unhashed`, linux/dcache.h).
#[inline(always)]
pub fn is_hashed(dentry: Typed) -> bool {
    dentry.load::<u64>(offset!(dentry_d_hash_pprev)) != 0
}

/// Whether a negative dentry never was in the cache. Taking it out of there changes its sequence
/// (`__d_drop`), which is 0 from the start (`__d_alloc`) and stays so while it has no inode.
#[inline(always)]
pub fn never_was_hashed(negative: Typed) -> bool {
    !is_hashed(negative) && negative.load::<u32>(offset!(dentry_d_seq)) == 0
}

/// Inode number of a directory; 0 where it has no inode yet, as the dentry of a pipe while it is made. A load through
/// a null pointer reads 0 as well, but costs a page fault; and where a kernel lacks 0108a4e9f358 (6.4; 5.10.262 does), that
/// fault can end in a panic: a program with functions has two entries in the table of exceptions, one of them
/// empty.
#[inline(always)]
pub fn ino(directory: Typed) -> u64 {
    let inode = directory.follow(offset!(dentry_d_inode));
    if inode.is_null() {
        return 0;
    }
    inode.load(offset!(inode_i_ino))
}

/// Inode number and device of a directory; zeros as in [`ino`].
#[inline(always)]
pub fn identity(directory: Typed) -> (u64, u32) {
    let inode = directory.follow(offset!(dentry_d_inode));
    if inode.is_null() {
        return (0, 0);
    }
    let sb = inode.follow(offset!(inode_i_sb));
    if sb.is_null() {
        return (0, 0);
    }
    (
        inode.load(offset!(inode_i_ino)),
        sb.load(offset!(super_block_s_dev)),
    )
}

/// Copies bytes that a program may read anyway, in one call instead of a loop.
#[inline(always)]
pub fn copy<T>(from: &T, to: *mut T) -> bool {
    Address(core::ptr::from_ref(from) as u64).copy_to(to.cast(), size_of::<T>() as u32)
}

/// Where the names of a path go.
pub struct PathRoom<'a> {
    path: &'a mut [u8; PATH_BYTES],
    len: &'a mut u16,
    flags: &'a mut u16,
}

/// Fills in what a directory's dentry tells: its file system's type, its path.
#[inline(always)]
pub fn fill_producer_directory(dentry: Address, record: &mut ProducerRecord) {
    if let Some(sb) = dentry.follow(offset!(dentry_d_sb)) {
        fill_fstype(sb, &mut record.fstype);
    }
    fill_path(
        dentry,
        PathRoom {
            path: &mut record.path,
            len: &mut record.path_len,
            flags: &mut record.path_flags,
        },
        PATH_COMPONENTS_MAX,
    );
}

/// Fills in the current process's program: its path and the device of its file system. A kernel thread
/// has none.
#[inline(always)]
pub fn fill_exe(record: &mut ProducerRecord) {
    // SAFETY: a plain helper.
    let task = Address(unsafe { bpf_get_current_task() });
    let Some(dentry) = task
        .follow(offset!(task_struct_mm))
        .and_then(|mm| mm.follow(offset!(mm_struct_exe_file)))
        .and_then(|file| file.follow(offset!(file_f_path_dentry)))
    else {
        record.exe_flags |= PATH_IS_BROKEN;
        return;
    };
    if let Some(dev) = dentry
        .follow(offset!(dentry_d_sb))
        .and_then(|sb| sb.read_field(offset!(super_block_s_dev)))
    {
        record.exe_dev = dev;
    }
    fill_path(
        dentry,
        PathRoom {
            path: &mut record.exe,
            len: &mut record.exe_len,
            flags: &mut record.exe_flags,
        },
        EXE_COMPONENTS_MAX,
    );
}

/// Fills in a dentry's name.
#[inline(always)]
pub fn fill_name(dentry: Address, record: &mut NameRecord) {
    let Some(len) = dentry.read_field::<u32>(offset!(dentry_d_name_len)) else {
        return;
    };
    let Some(name) = dentry.follow(offset!(dentry_d_name_name)) else {
        return;
    };
    let len = masked::<NAME_BYTES_MAX>(len as usize) as u32;
    if name.copy_to(record.name.as_mut_ptr(), len) {
        record.name_len = len;
    }
}

#[inline(always)]
fn fill_fstype(sb: Address, fstype: &mut [u8; FSTYPE_BYTES]) {
    if let Some(name) = sb
        .follow(offset!(super_block_s_type))
        .and_then(|fstype| fstype.follow(offset!(file_system_type_name)))
    {
        // One byte less than there is room for: the last one stays the ending 0.
        name.copy_to(fstype.as_mut_ptr(), FSTYPE_BYTES as u32 - 1);
    }
}

/// Fills in what the directory's inode tells: number, device, file system type, locks, path.
#[inline(always)]
pub fn fill_directory(inode: Address, walk: &mut WalkRecord) {
    if let Some(ino) = inode.read_field(offset!(inode_i_ino)) {
        walk.ino = ino;
    }
    if let Some(lock) = inode.field(offset!(inode_i_lock)) {
        walk.i_lock_addr = lock.0;
    }
    if let Some(sb) = inode.follow(offset!(inode_i_sb)) {
        if let Some(dev) = sb.read_field(offset!(super_block_s_dev)) {
            walk.dev = dev;
        }
        fill_fstype(sb, &mut walk.fstype);
    }
    let Some(dentry) = directory_dentry(inode) else {
        walk.path_flags |= PATH_IS_BROKEN;
        return;
    };
    if let Some(lock) = dentry.field(offset!(dentry_d_lock)) {
        walk.d_lock_addr = lock.0;
    }
    fill_path(
        dentry,
        PathRoom {
            path: &mut walk.path,
            len: &mut walk.path_len,
            flags: &mut walk.path_flags,
        },
        PATH_COMPONENTS_MAX,
    );
}

/// The dentry of a directory: its inode's only alias (a directory has one, fs/dcache.c).
#[inline(always)]
fn directory_dentry(inode: Address) -> Option<Address> {
    let link = inode.follow(offset!(inode_i_dentry))?;
    let alias = offset!(dentry_d_alias);
    if alias == OFFSET_UNKNOWN {
        return None;
    }
    Some(Address(link.0 - u64::from(alias)))
}

/// Names from `leaf` up to the root of its file system, bounded in count and bytes.
///
/// How many bytes are used stands in the record, never in a register: the verifier would look back through all names
/// before it, for each name.
#[inline(always)]
fn fill_path(leaf: Address, room: PathRoom<'_>, components_max: u32) {
    let mut dentry = leaf;
    for _ in 0..components_max {
        let Some(place) = place(dentry) else {
            *room.flags |= PATH_IS_BROKEN;
            break;
        };
        if place.parent_addr == dentry.0 {
            return;
        }
        // SAFETY: a reference is valid.
        let used = usize::from(unsafe { core::ptr::from_ref(&*room.len).read_volatile() });
        if used >= PATH_START_LIMIT {
            *room.flags |= PATH_IS_CUT;
            break;
        }
        let Some(len) = copy_name(&place, room.path, used) else {
            *room.flags |= PATH_IS_BROKEN;
            break;
        };
        *room.len = (used + 1 + len) as u16;
        dentry = Address(place.parent_addr);
    }
    if *room.flags == 0 && dentry.follow(offset!(dentry_d_parent)) != Some(dentry) {
        *room.flags |= PATH_IS_CUT;
    }
}

/// What a path needs of a dentry, in the order of the kernel's fields.
#[repr(C)]
struct Place {
    parent_addr: u64,
    /// The name's length is the upper half (`struct qstr`, little endian).
    name_hash_len: u64,
    name_addr: u64,
}

/// `d_parent` and the two words of `d_name` stand side by side in every kernel from 5.10 to 7.3, so one read does for
/// the three: each call of a helper is most of what the verifier looks at here. The offsets are constants to it, and it
/// drops the other way.
#[inline(always)]
fn place(dentry: Address) -> Option<Place> {
    let at = offset!(dentry_d_parent);
    let is_together = offset!(dentry_d_name_hash_len) == at.wrapping_add(8)
        && offset!(dentry_d_name_name) == at.wrapping_add(16);
    let place = if is_together {
        let field = dentry.field(at)?;
        // Not set to zeros before: that is a function with a loop, once for each name.
        let mut place = MaybeUninit::<Place>::uninit();
        field.copy_to(place.as_mut_ptr().cast(), size_of::<Place>() as u32);
        // SAFETY: the helper writes all of it, zeros where it can't read.
        unsafe { place.assume_init() }
    } else {
        let len: u32 = dentry.read_field(offset!(dentry_d_name_len))?;
        Place {
            parent_addr: dentry.follow(at)?.0,
            name_hash_len: u64::from(len) << 32,
            name_addr: dentry.follow(offset!(dentry_d_name_name))?.0,
        }
    };
    (place.parent_addr != 0).then_some(place)
}

#[inline(always)]
fn copy_name(place: &Place, path: &mut [u8; PATH_BYTES], at: usize) -> Option<usize> {
    // No file system's names are longer than NAME_MAX, and the caller has looked at `at`; the
    // masks tell the verifier, which before 5.16 forgets the bounds of a spilled register.
    let len = masked::<NAME_BYTES_MAX>((place.name_hash_len >> 32) as usize);
    let at = masked::<{ PATH_START_LIMIT - 1 }>(at);
    // SAFETY: `PATH_BYTES` has room for a whole component at every `at` below the limit.
    let to = unsafe { path.as_mut_ptr().add(at) };
    // SAFETY: as above.
    unsafe { to.write(len as u8) };
    // SAFETY: as above.
    Address(place.name_addr)
        .copy_to(unsafe { to.add(1) }, len as u32)
        .then_some(len)
}

/// `value & MASK` in an instruction that the compiler can't find needless and remove.
#[inline(always)]
pub fn masked<const MASK: usize>(value: usize) -> usize {
    let mut value = value as u64;
    // SAFETY: one arithmetic instruction on a register.
    unsafe {
        core::arch::asm!("{value} &= {mask}", value = inout(reg) value, mask = const MASK, options(pure, nomem, nostack))
    };
    value as usize
}

/// The thread id of a task; 0 is a CPU's idle task.
#[inline(always)]
pub fn task_tid(task: Address) -> Option<u32> {
    task.read_field(offset!(task_struct_pid))
}

/// How often a task has been given a CPU (`sched_info.pcount`). The scheduler counts it, and writes
/// the time beside it, right after the tracepoint of the switch (sched_info_arrive in
/// kernel/sched/stats.h).
#[inline(always)]
pub fn arrivals(task: Address) -> Option<u64> {
    task.read_field(offset!(task_struct_pcount))
}

/// When a task was last given a CPU, on the scheduler's clock.
#[inline(always)]
pub fn last_arrival_ns(task: Address) -> Option<u64> {
    task.read_field(offset!(task_struct_last_arrival))
}

/// Since when a task waits on the run queue of its CPU, on the scheduler's clock; none if it doesn't.
#[inline(always)]
pub fn last_queued_ns(task: Address) -> Option<u64> {
    match task.read_field(offset!(task_struct_last_queued))? {
        0 => None,
        at_ns => Some(at_ns),
    }
}

/// Process id and name of a task that is not the current one.
#[inline(always)]
pub fn fill_task(task: Address, pid: &mut u32, comm: &mut [u8; COMM_BYTES]) {
    if let Some(tgid) = task.read_field(offset!(task_struct_tgid)) {
        *pid = tgid;
    }
    if let Some(name) = task.field(offset!(task_struct_comm)) {
        name.copy_to(comm.as_mut_ptr(), COMM_BYTES as u32);
    }
}

/// The number of the system call that the current task is in, from its saved user registers.
#[inline(always)]
pub fn syscall_nr() -> i64 {
    read_syscall_nr().unwrap_or(SYSCALL_UNKNOWN)
}

/// Size of a kernel stack on x86-64 without KASAN (`THREAD_SIZE`, asm/page_64_types.h); no padding
/// lies above the registers before FRED (65c9cc9e2c14, 6.9), and from 5.15 the helper is used.
const THREAD_SIZE_BYTES: u64 = 16 << 10;

#[inline(always)]
fn read_syscall_nr() -> Option<i64> {
    user_registers()?.read_field(offset!(pt_regs_orig_ax))
}

/// The second and third argument of the system call that the current task is in, from its saved user
/// registers: a 5.10 verifier refuses to look at the argument of `__x64_sys_inotify_add_watch`, which
/// points to the same place.
#[inline(always)]
pub fn second_and_third_argument() -> (u64, u64) {
    let Some(registers) = user_registers() else {
        return (0, 0);
    };
    (
        registers.read_field(offset!(pt_regs_si)).unwrap_or(0),
        registers.read_field(offset!(pt_regs_dx)).unwrap_or(0),
    )
}

#[inline(always)]
fn user_registers() -> Option<Address> {
    if offset!(has_task_pt_regs) == 1 {
        // SAFETY: plain helpers; the first returns a trusted pointer to the current task.
        return Some(Address(
            unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) }.cast_unsigned(),
        ));
    }
    // SAFETY: a plain helper.
    let task = Address(unsafe { bpf_get_current_task() });
    let stack = task.follow(offset!(task_struct_stack))?;
    let bytes = offset!(pt_regs_bytes);
    if bytes == OFFSET_UNKNOWN {
        return None;
    }
    Some(Address(stack.0 + THREAD_SIZE_BYTES - u64::from(bytes)))
}

/// A dentry as a breakpoint gives it, too: an address without a type.
impl Address {
    /// The directory that this dentry is a child of; none if it is a root.
    #[inline(always)]
    pub fn directory(self) -> Option<Self> {
        let parent = self.follow(offset!(dentry_d_parent))?;
        if parent == self {
            return None;
        }
        Some(parent)
    }

    /// The inode of this dentry; none if it is negative.
    #[inline(always)]
    pub fn inode(self) -> Option<Self> {
        self.follow(offset!(dentry_d_inode))
    }

    /// References to this dentry; negative if it is dead.
    #[inline(always)]
    pub fn references(self) -> Option<i32> {
        self.read_field(offset!(dentry_d_count))
    }

    /// As [`is_hashed`].
    #[inline(always)]
    pub fn is_hashed(self) -> bool {
        self.follow(offset!(dentry_d_hash_pprev)).is_some()
    }

    /// Whether this negative dentry never was in the cache: taking it out of there changes its sequence
    /// (`__d_drop`), which is 0 from the start (`__d_alloc`) and stays so while it has no inode.
    #[inline(always)]
    pub fn never_was_hashed(self) -> bool {
        if self.is_hashed() {
            return false;
        }
        let sequence: u32 = self.read_field(offset!(dentry_d_seq)).unwrap_or(1);
        sequence == 0
    }

    /// Number and device of this inode.
    #[inline(always)]
    pub fn ino_and_dev(self) -> Option<(u64, u32)> {
        let ino = self.read_field(offset!(inode_i_ino))?;
        let dev = self
            .follow(offset!(inode_i_sb))?
            .read_field(offset!(super_block_s_dev))?;
        Some((ino, dev))
    }

    /// It is a negative errno in place of a pointer, as [`Typed::is_error`].
    #[inline(always)]
    pub fn is_error(self) -> bool {
        Typed(self.0 as *const u8).is_error()
    }
}

/// Fills in the name of a dentry and, if wanted, the path of its directory.
#[inline(always)]
pub fn fill_dentry(dentry: Address, directory: Option<Address>, record: &mut DentryRecord) {
    if let Some(len) = dentry.read_field::<u32>(offset!(dentry_d_name_len))
        && let Some(name) = dentry.follow(offset!(dentry_d_name_name))
    {
        let len = masked::<NAME_BYTES_MAX>(len as usize) as u32;
        if name.copy_to(record.name.as_mut_ptr(), len) {
            record.name_len = len;
        }
    }
    if let Some(directory) = directory {
        fill_path(
            directory,
            PathRoom {
                path: &mut record.path,
                len: &mut record.path_len,
                flags: &mut record.path_flags,
            },
            PATH_COMPONENTS_MAX,
        );
    }
}
