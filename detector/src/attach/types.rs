//! The kernel's types as aya wants them when it loads a program: it looks for a name, and takes the number of the type
//! that has it.

use aya::{Btf, BtfError, Endianness};

use crate::facts::{TypeIds, tracepoint_type};

/// `BTF_KIND_*` in `info` (include/uapi/linux/btf.h).
const TYPEDEF: u32 = 8 << 24;
const FUNC: u32 = 12 << 24;
/// What stands for all types that are not looked for.
const VOID_CONST: u32 = 10 << 24;

/// Types in which each function and tracepoint has the number that it has in the kernel, and all others are nothing.
/// aya takes a tenth of the time for it that the kernel's own types take, and a third of the memory.
///
/// # Errors
/// As aya's parser; none is known for these bytes.
pub(super) fn numbered(ids: &TypeIds) -> Result<Btf, BtfError> {
    Btf::parse(&bytes(ids), Endianness::Little)
}

fn bytes(ids: &TypeIds) -> Vec<u8> {
    let functions = ids
        .functions
        .iter()
        .map(|(name, id)| (*id, FUNC, name.clone()));
    let tracepoints = ids
        .tracepoints
        .iter()
        .map(|(name, id)| (*id, TYPEDEF, tracepoint_type(name)));
    let mut named: Vec<_> = functions.chain(tracepoints).collect();
    named.sort_unstable();
    let mut types: Vec<u8> = Vec::new();
    let mut names = vec![0];
    let mut next_id = 1;
    let mut add = |name_offset: u32, info: u32| {
        for word in [name_offset, info, 0] {
            types.extend(word.to_le_bytes());
        }
    };
    for (id, info, name) in named {
        for _ in next_id..id {
            add(0, VOID_CONST);
        }
        add(length(&names), info);
        names.extend(name.as_bytes());
        names.push(0);
        next_id = id + 1;
    }
    let mut bytes = vec![0x9f, 0xeb, 1, 0];
    for word in [24, 0, length(&types), length(&types), length(&names)] {
        bytes.extend(u32::to_le_bytes(word));
    }
    bytes.extend(types);
    bytes.extend(names);
    bytes
}

/// The kernel has a million types at most (`BTF_MAX_TYPE`), so it fits.
fn length(of: &[u8]) -> u32 {
    u32::try_from(of.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use btf_rs::Type;

    use super::*;

    /// With another parser, as aya shows nothing of what it has parsed.
    #[test]
    fn each_name_has_its_number() {
        let ids = TypeIds {
            functions: [("b".to_owned(), 1), ("a".to_owned(), 70_000)].into(),
            tracepoints: [("a".to_owned(), 5)].into(),
        };
        let found = btf_rs::Btf::from_bytes(&bytes(&ids)).expect("BTF");
        let ids_of = |name| found.resolve_ids_by_name(name).unwrap_or_default();
        assert_eq!(ids_of("b"), [1]);
        assert_eq!(ids_of("a"), [70_000]);
        assert_eq!(ids_of("btf_trace_a"), [5]);
        assert!(matches!(found.resolve_type_by_id(1), Ok(Type::Func(_))));
        assert!(matches!(found.resolve_type_by_id(5), Ok(Type::Typedef(_))));
        assert!(numbered(&ids).is_ok());
    }

    #[test]
    fn a_kernel_with_none_of_them_is_no_error() {
        assert!(numbered(&TypeIds::default()).is_ok());
    }
}
