//! The kernel's type information (BTF): which functions exist, where struct fields lie.

mod index;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fs::File, io::Read as _, path::Path};

use serde::{Deserialize, Serialize};

use super::Answer;
use index::{Index, Type, kind};

/// Why type information could not be used.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    /// Reading failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The bytes are not BTF.
    #[error("not usable as BTF ({0})")]
    Format(String),
}

/// Which type information was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BtfFacts {
    /// The file.
    pub source: String,
}

/// No kernel has a tenth of it (5 MiB in 6.1, 7 in 7.3), and the kernel takes 16 MiB at most (`BTF_MAX_SIZE`).
const BYTES_MAX: u64 = 64 << 20;

/// How far typedefs and structs without a name are followed, as the kernel does (`MAX_RESOLVE_DEPTH`,
/// kernel/bpf/btf.c).
const DEPTH_MAX: usize = 32;
/// How many members are looked at for one field: the largest struct of a kernel has a few hundred.
const MEMBERS_MAX: usize = 100_000;

/// The numbers by which the kernel knows the functions and tracepoints that programs are attached to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeIds {
    /// By function.
    pub functions: BTreeMap<String, u32>,
    /// By tracepoint, with [`tracepoint_type`] of its name.
    pub tracepoints: BTreeMap<String, u32>,
}

/// The type that the kernel gives the probes of a tracepoint (include/trace/bpf_probe.h).
pub fn tracepoint_type(name: &str) -> String {
    format!("btf_trace_{name}")
}

/// Type information, read once; it answers for the names that it was made with.
pub struct Types {
    index: Index,
}

impl Types {
    /// Reads a BTF file.
    pub fn read(path: &Path, names: impl IntoIterator<Item = String>) -> Result<Self, BtfError> {
        let file = File::open(path)?;
        let bytes_count = file.metadata()?.len().min(BYTES_MAX);
        let mut bytes = Vec::with_capacity(usize::try_from(bytes_count).unwrap_or(0) + 1);
        file.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > BYTES_MAX {
            return Err(BtfError::Format(format!("larger than {BYTES_MAX} bytes")));
        }
        Self::new(bytes, names)
    }

    /// Looks through the bytes of a BTF file.
    pub fn new(bytes: Vec<u8>, names: impl IntoIterator<Item = String>) -> Result<Self, BtfError> {
        Ok(Self {
            index: Index::new(bytes, names)?,
        })
    }

    /// What to keep of it.
    pub fn into_facts(self, path: &Path) -> BtfFacts {
        BtfFacts {
            source: path.display().to_string(),
        }
    }

    /// The lowest number of a type with this name and kind: of several functions of one name it is not known
    /// which is meant, and the first is what loaders take.
    fn id(&self, name: &str, wanted: u8) -> Option<u32> {
        self.named(name)
            .find(|(_, found)| found.kind() == wanted)
            .map(|(id, _)| id)
    }

    fn named(&self, name: &str) -> impl Iterator<Item = (u32, Type<'_>)> {
        #[cfg(test)]
        assert!(self.index.is_wanted(name), "{name} was not asked for");
        self.index.named(name)
    }

    /// The number of a function.
    pub fn function_id(&self, name: &str) -> Option<u32> {
        self.id(name, kind::FUNC)
    }

    /// The number of a tracepoint's type.
    pub fn tracepoint_id(&self, name: &str) -> Option<u32> {
        self.id(&tracepoint_type(name), kind::TYPEDEF)
    }

    /// Whether a spinlock is a sleeping lock: under PREEMPT_RT it is made of an rt_mutex
    /// (0f383b6dc96e, linux/spinlock_types.h), elsewhere of a raw spinlock.
    pub fn spinlocks_sleep(&self) -> Answer {
        let has = |field| self.field_offset(SPINLOCK, field).is_some();
        match (has("lock.rtmutex") || has("lock.wait_lock"), has("rlock")) {
            (true, false) => Answer::Yes,
            (false, true) => Answer::No,
            _ => Answer::Unknown("struct spinlock is of neither kind known".to_owned()),
        }
    }

    /// Whether who writes to a ring buffer takes a sleeping lock: a `spinlock_t` under PREEMPT_RT, until it became raw
    /// (8b62645b09f8, "bpf: Use raw_spinlock_t in ringbuf", 6.12 and some stable trees; resilient since 6.15).
    pub fn ring_lock_sleeps(&self) -> Answer {
        if self.structs(RING_BUFFER).next().is_none() {
            return Answer::Unknown(format!("struct {RING_BUFFER} is not in the BTF"));
        }
        let has = |field| self.field_offset(RING_BUFFER, field).is_some();
        Answer::of(has("spinlock.lock.rtmutex") || has("spinlock.lock.wait_lock"))
    }

    /// Whether an enum has an enumerator: how a kernel tells which helpers it knows.
    pub fn has_enumerator(&self, enumeration: &str, enumerator: &str) -> Answer {
        if self.enums(enumeration).next().is_none() {
            return Answer::Unknown(format!("enum {enumeration} is not in the BTF"));
        }
        Answer::of(self.enumerator(enumeration, enumerator).is_some())
    }

    /// The value of an enumerator.
    pub fn enumerator(&self, enumeration: &str, enumerator: &str) -> Option<u32> {
        self.enums(enumeration)
            .find_map(|found| found.enumerator(enumerator))
    }

    fn enums(&self, name: &str) -> impl Iterator<Item = Type<'_>> {
        self.named(name)
            .map(|(_, found)| found)
            .filter(|found| matches!(found.kind(), kind::ENUM | kind::ENUM64))
    }

    /// Size of a struct in bytes.
    pub fn struct_bytes(&self, name: &str) -> Option<u32> {
        self.structs(name).next().map(Type::size_bytes)
    }

    /// Byte offset of a field given as `a.b.c`. Anonymous structs and unions on the way, and
    /// typedefs and qualifiers, need not be named: on 7.x many fields moved behind one.
    pub fn field_offset(&self, name: &str, field: &str) -> Option<u32> {
        let mut left_count = MEMBERS_MAX;
        self.structs(name).find_map(|found| {
            let bits = self.offset_bits(found, field, DEPTH_MAX, &mut left_count)?;
            (bits % 8 == 0).then_some(bits / 8)
        })
    }

    fn structs(&self, name: &str) -> impl Iterator<Item = Type<'_>> {
        self.named(name)
            .map(|(_, found)| found)
            .filter(|found| is_struct(*found))
    }

    fn offset_bits(
        &self,
        of: Type<'_>,
        field: &str,
        depth: usize,
        left_count: &mut usize,
    ) -> Option<u32> {
        let depth = depth.checked_sub(1)?;
        let (head, rest) = field
            .split_once('.')
            .map_or((field, None), |(head, rest)| (head, Some(rest)));
        for member in of.members() {
            *left_count = left_count.checked_sub(1)?;
            let inner = || self.struct_behind(member.type_id);
            let found = if member.is_named(head) {
                match rest {
                    None => Some(0),
                    Some(rest) => {
                        inner().and_then(|inner| self.offset_bits(inner, rest, depth, left_count))
                    }
                }
            } else if member.is_anonymous() {
                inner().and_then(|inner| self.offset_bits(inner, field, depth, left_count))
            } else {
                None
            };
            if let Some(bits) = found {
                return member.offset_bits.checked_add(bits);
            }
        }
        None
    }

    fn struct_behind(&self, id: u32) -> Option<Type<'_>> {
        let mut next = self.index.get(id)?;
        for _ in 0..DEPTH_MAX {
            match next.kind() {
                _ if is_struct(next) => return Some(next),
                kind::TYPEDEF | kind::CONST | kind::VOLATILE | kind::TYPE_TAG => {
                    next = next.referred()?;
                }
                _ => return None,
            }
        }
        None
    }
}

/// What a `BPF_MAP_TYPE_RINGBUF` is (kernel/bpf/ringbuf.c).
pub const RING_BUFFER: &str = "bpf_ringbuf";
/// The kernel's `spinlock_t`.
pub const SPINLOCK: &str = "spinlock";

fn is_struct(found: Type<'_>) -> bool {
    matches!(found.kind(), kind::STRUCT | kind::UNION)
}
