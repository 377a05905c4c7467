//! The kernel's type information (BTF): which functions exist, where struct fields lie.

use std::path::Path;

use btf_rs::{Btf, BtfType as _, Type};
use serde::{Deserialize, Serialize};

use super::Answer;

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

/// Parsed type information, read once.
pub struct Types {
    btf: Btf,
}

impl Types {
    /// Reads and parses a BTF file.
    pub fn read(path: &Path) -> Result<Self, BtfError> {
        let bytes = std::fs::read(path)?;
        let btf = Btf::from_bytes(&bytes).map_err(|error| BtfError::Format(error.to_string()))?;
        Ok(Self { btf })
    }

    /// What to keep of it.
    pub fn into_facts(self, path: &Path) -> BtfFacts {
        BtfFacts {
            source: path.display().to_string(),
        }
    }

    fn named(&self, name: &str) -> Vec<Type> {
        self.btf.resolve_types_by_name(name).unwrap_or_default()
    }

    /// Whether there is a function of this name.
    pub fn has_function(&self, name: &str) -> bool {
        self.named(name)
            .iter()
            .any(|found| matches!(found, Type::Func(_)))
    }

    /// Whether there is a tracepoint of this name: the kernel gives each the type of its probes.
    pub fn has_tracepoint(&self, name: &str) -> bool {
        self.named(&format!("btf_trace_{name}"))
            .iter()
            .any(|found| matches!(found, Type::Typedef(_)))
    }

    /// Whether a spinlock is a sleeping lock: under PREEMPT_RT it is made of an rt_mutex
    /// (0f383b6dc96e, linux/spinlock_types.h), elsewhere of a raw spinlock.
    pub fn spinlocks_sleep(&self) -> Answer {
        let has = |field| self.field_offset("spinlock", field).is_some();
        match (has("lock.rtmutex") || has("lock.wait_lock"), has("rlock")) {
            (true, false) => Answer::Yes,
            (false, true) => Answer::No,
            _ => Answer::Unknown("struct spinlock is of neither kind known".to_owned()),
        }
    }

    /// Whether an enum has an enumerator: how a kernel tells which helpers it knows.
    pub fn has_enumerator(&self, enumeration: &str, enumerator: &str) -> Answer {
        let found: Vec<_> = self
            .named(enumeration)
            .into_iter()
            .filter_map(|found| match found {
                Type::Enum(found) => Some(found),
                _ => None,
            })
            .collect();
        if found.is_empty() {
            return Answer::Unknown(format!("enum {enumeration} is not in the BTF"));
        }
        let names = |member| {
            self.btf
                .resolve_name(member)
                .is_ok_and(|name| name == enumerator)
        };
        Answer::of(
            found
                .iter()
                .any(|found| found.members.iter().any(|member| names(member))),
        )
    }

    /// The value of an enumerator.
    pub fn enumerator(&self, enumeration: &str, enumerator: &str) -> Option<u32> {
        self.named(enumeration)
            .iter()
            .filter_map(|found| match found {
                Type::Enum(found) => Some(found),
                _ => None,
            })
            .flat_map(|found| &found.members)
            .find(|member| {
                self.btf
                    .resolve_name(*member)
                    .is_ok_and(|name| name == enumerator)
            })
            .map(|member| member.val())
    }

    /// Size of a struct in bytes.
    pub fn struct_bytes(&self, name: &str) -> Option<u32> {
        self.structs(name)
            .first()
            .map(|found| found.size())
            .and_then(|size| u32::try_from(size).ok())
    }

    /// Byte offset of a field given as `a.b.c`. Anonymous structs and unions on the way, and
    /// typedefs and qualifiers, need not be named: on 7.x many fields moved behind one.
    pub fn field_offset(&self, name: &str, field: &str) -> Option<u32> {
        self.structs(name).iter().find_map(|found| {
            let bits = self.offset_bits(found, field)?;
            (bits % 8 == 0).then_some(bits / 8)
        })
    }

    fn structs(&self, name: &str) -> Vec<btf_rs::Struct> {
        self.named(name)
            .into_iter()
            .filter_map(|found| match found {
                Type::Struct(found) | Type::Union(found) => Some(found),
                _ => None,
            })
            .collect()
    }

    fn offset_bits(&self, of: &btf_rs::Struct, field: &str) -> Option<u32> {
        let (head, rest) = field
            .split_once('.')
            .map_or((field, None), |(head, rest)| (head, Some(rest)));
        for member in &of.members {
            let name = self.btf.resolve_name(member).unwrap_or_default();
            let inner = || self.struct_behind(member);
            let found = if name == head {
                match rest {
                    None => Some(0),
                    Some(rest) => self.offset_bits(&inner()?, rest),
                }
            } else if name.is_empty() {
                inner().and_then(|inner| self.offset_bits(&inner, field))
            } else {
                None
            };
            if let Some(bits) = found {
                return Some(member.bit_offset() + bits);
            }
        }
        None
    }

    fn struct_behind(&self, member: &btf_rs::Member) -> Option<btf_rs::Struct> {
        let mut next = self.btf.resolve_type_by_id(member.get_type_id()?).ok()?;
        loop {
            match next {
                Type::Struct(found) | Type::Union(found) => return Some(found),
                Type::Typedef(_) | Type::Const(_) | Type::Volatile(_) | Type::TypeTag(_) => {
                    let id = next.as_btf_type()?.get_type_id()?;
                    next = self.btf.resolve_type_by_id(id).ok()?;
                }
                _ => return None,
            }
        }
    }
}
