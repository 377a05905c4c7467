//! Names from a dentry up to the root of its file system.

use fslockup_ebpf::{NAME_BYTES_MAX, PATH_BYTES, PATH_IS_BROKEN, PATH_IS_CUT, PATH_START_LIMIT};

use super::{Address, dentry, masked};
use crate::state::settings::offset;

/// Where the names of a path go.
pub struct PathRoom<'a> {
    pub path: &'a mut [u8; PATH_BYTES],
    pub len: &'a mut u16,
    pub flags: &'a mut u16,
}

/// Names from `leaf` up to the root of its file system, bounded in count and bytes.
///
/// How many bytes are used stands in the record, never in a register: the verifier would look back through all names
/// before it, for each name.
#[inline(always)]
pub fn fill_path(leaf: Address, room: PathRoom<'_>, components_max: u32) {
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
        let Some(len) = copy_component(&place, room.path, used) else {
            *room.flags |= PATH_IS_BROKEN;
            break;
        };
        *room.len = (used + 1 + len) as u16;
        dentry = Address(place.parent_addr);
    }
    if *room.flags == 0 && dentry::parent(dentry) != Some(dentry) {
        *room.flags |= PATH_IS_CUT;
    }
}

/// What a path needs of a dentry, in the order of the kernel's fields.
#[derive(Clone, Copy)]
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
        dentry.field(at)?.read_or_zeros::<Place>()
    } else {
        let len = dentry::name_len(dentry)?;
        Place {
            parent_addr: dentry::parent(dentry)?.0,
            name_hash_len: u64::from(len) << 32,
            name_addr: dentry::name(dentry)?.0,
        }
    };
    (place.parent_addr != 0).then_some(place)
}

#[inline(always)]
fn copy_component(place: &Place, path: &mut [u8; PATH_BYTES], at: usize) -> Option<usize> {
    // No file system's names are longer than NAME_MAX, and the caller has looked at `at`; the
    // masks show it to the verifier, which before 5.16 forgets the bounds of a spilled register.
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
