//! The index against another parser of the same bytes, and against bytes that mean harm.

use btf_rs::{Btf, BtfType as _};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

use super::*;
use crate::facts::{self, Symbols};

const INT: u8 = 1;
const PTR: u8 = 2;
const FUNC_PROTO: u8 = 13;
const FLAG: u32 = 1 << 31;

/// Makes the bytes of type information.
struct Maker {
    types: Vec<u32>,
    names: Vec<u8>,
    ids_count: u32,
}

impl Maker {
    fn new() -> Self {
        Self {
            types: Vec::new(),
            names: vec![0],
            ids_count: 0,
        }
    }

    fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = u32::try_from(self.names.len()).expect("few");
        self.names.extend(name.as_bytes());
        self.names.push(0);
        at
    }

    /// `rest` stands behind the type, in groups that begin with a name.
    fn add(&mut self, of: u8, name: &str, size_or_type: u32, rest: &[(&str, &[u32])]) -> u32 {
        self.add_with(u32::from(of) << 24, name, size_or_type, rest)
    }

    fn add_with(
        &mut self,
        info: u32,
        name: &str,
        size_or_type: u32,
        rest: &[(&str, &[u32])],
    ) -> u32 {
        let count = u32::try_from(rest.len()).expect("few");
        let name = self.name(name);
        self.types.extend([name, info | count, size_or_type]);
        for (name, words) in rest {
            let name = self.name(name);
            self.types.push(name);
            self.types.extend(*words);
        }
        self.ids_count += 1;
        self.ids_count
    }

    /// Numbers behind a type that are no elements.
    fn and(&mut self, words: &[u32]) {
        self.types.extend(words);
    }

    fn bytes(&self) -> Vec<u8> {
        let types: Vec<u8> = self
            .types
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        let length = |of: &[u8]| u32::try_from(of.len()).expect("short");
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        for word in [24, 0, length(&types), length(&types), length(&self.names)] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(types);
        bytes.extend(&self.names);
        bytes
    }
}

fn types(bytes: Vec<u8>, names: &[&str]) -> Result<Types, BtfError> {
    Types::new(bytes, names.iter().map(|name| (*name).to_owned()))
}

/// The same questions, asked of btf-rs.
struct Other(Btf);

impl Other {
    fn function_id(&self, name: &str) -> Option<u32> {
        let mut ids = self.0.resolve_ids_by_name(name).unwrap_or_default();
        ids.sort_unstable();
        ids.into_iter()
            .find(|id| matches!(self.0.resolve_type_by_id(*id), Ok(btf_rs::Type::Func(_))))
    }

    fn structs(&self, name: &str) -> Vec<btf_rs::Struct> {
        let mut ids = self.0.resolve_ids_by_name(name).unwrap_or_default();
        ids.sort_unstable();
        ids.into_iter()
            .filter_map(|id| match self.0.resolve_type_by_id(id) {
                Ok(btf_rs::Type::Struct(found) | btf_rs::Type::Union(found)) => Some(found),
                _ => None,
            })
            .collect()
    }

    fn field_offset(&self, name: &str, field: &str) -> Option<u32> {
        self.structs(name).iter().find_map(|found| {
            let bits = self.offset_bits(found, field)?;
            (bits % 8 == 0).then_some(bits / 8)
        })
    }

    fn offset_bits(&self, of: &btf_rs::Struct, field: &str) -> Option<u32> {
        let (head, rest) = field
            .split_once('.')
            .map_or((field, None), |(head, rest)| (head, Some(rest)));
        of.members.iter().find_map(|member| {
            let name = self.0.resolve_name(member).unwrap_or_default();
            let inner = || self.struct_behind(member.get_type_id()?);
            let inside = match rest {
                _ if name.is_empty() => self.offset_bits(&inner()?, field)?,
                _ if name != head => return None,
                None => 0,
                Some(rest) => self.offset_bits(&inner()?, rest)?,
            };
            Some(member.bit_offset() + inside)
        })
    }

    fn struct_behind(&self, id: u32) -> Option<btf_rs::Struct> {
        match self.0.resolve_type_by_id(id).ok()? {
            btf_rs::Type::Struct(found) | btf_rs::Type::Union(found) => Some(found),
            btf_rs::Type::Typedef(found) => self.struct_behind(found.get_type_id()?),
            btf_rs::Type::Const(found) => self.struct_behind(found.get_type_id()?),
            _ => None,
        }
    }

    fn enumerator(&self, name: &str, enumerator: &str) -> Option<u32> {
        let found = self.0.resolve_types_by_name(name).ok()?;
        let mut members = found.iter().filter_map(|found| match found {
            btf_rs::Type::Enum(found) => Some(&found.members),
            _ => None,
        });
        let member = members.by_ref().flatten().find(|member| {
            self.0
                .resolve_name(*member)
                .is_ok_and(|name| name == enumerator)
        });
        member.map(btf_rs::EnumMember::val)
    }
}

const NAMES: [&str; 6] = ["a", "bb", "bc", "dentry", "dentry_flags", "d"];
const FIELDS: [&str; 6] = ["x", "y", "x.y", "y.x.y", "a", "z"];

/// Types that only refer to earlier ones, so that there is an end to each.
fn random_types(random: &mut SmallRng) -> Vec<u8> {
    let mut maker = Maker::new();
    maker.add(INT, "int", 4, &[]);
    maker.and(&[32]);
    for _ in 0..random.random_range(1..60) {
        let name = NAMES[random.random_range(0..NAMES.len())];
        let earlier = random.random_range(1..=maker.ids_count);
        match random.random_range(0..8) {
            0 => maker.add(kind::TYPEDEF, name, earlier, &[]),
            1 => maker.add(kind::CONST, "", earlier, &[]),
            2 => maker.add(PTR, "", earlier, &[]),
            3 => maker.add(kind::FUNC, name, earlier, &[]),
            4 => maker.add(FUNC_PROTO, "", earlier, &[("x", &[earlier]), ("", &[0])]),
            5 => {
                let values = [random.random(), random.random()];
                maker.add(
                    kind::ENUM,
                    name,
                    4,
                    &[("x", &values[..1]), ("y", &values[1..])],
                )
            }
            _ => {
                let members: Vec<_> = (0..random.random_range(0..5))
                    .map(|_| {
                        let field = ["x", "y", "", "a"][random.random_range(0..4)];
                        (
                            field,
                            [
                                random.random_range(1..=maker.ids_count),
                                random.random_range(0..40) * 4,
                            ],
                        )
                    })
                    .collect();
                let members: Vec<_> = members
                    .iter()
                    .map(|(name, words)| (*name, &words[..]))
                    .collect();
                let of = [kind::STRUCT, kind::UNION][random.random_range(0..2)];
                let flag = if random.random() { FLAG } else { 0 };
                let name = if random.random() { name } else { "" };
                maker.add_with(
                    flag | u32::from(of) << 24,
                    name,
                    random.random_range(1..500),
                    &members,
                )
            }
        };
    }
    maker.bytes()
}

#[test]
fn all_answers_are_those_of_another_parser() {
    let mut random = SmallRng::seed_from_u64(1);
    let mut found_count = 0;
    for _ in 0..2_000 {
        let bytes = random_types(&mut random);
        let other = Other(Btf::from_bytes(&bytes).expect("right"));
        let mine = types(bytes, &NAMES).expect("right");
        for name in NAMES {
            assert_eq!(mine.function_id(name), other.function_id(name));
            assert_eq!(
                mine.struct_bytes(name),
                other
                    .structs(name)
                    .first()
                    .and_then(|found| u32::try_from(found.size()).ok())
            );
            for field in FIELDS {
                let offset = mine.field_offset(name, field);
                assert_eq!(offset, other.field_offset(name, field), "{name} {field}");
                found_count += u32::from(offset.is_some());
            }
            for enumerator in ["x", "y", "z"] {
                let value = mine.enumerator(name, enumerator);
                assert_eq!(
                    value.is_some(),
                    other.enumerator(name, enumerator).is_some()
                );
                found_count += u32::from(value.is_some());
            }
        }
    }
    // Otherwise this compares nothing.
    assert!(found_count > 5_000, "{found_count}");
}

fn ask_everything(bytes: Vec<u8>) {
    let Ok(types) = types(bytes, &NAMES) else {
        return;
    };
    for name in NAMES {
        let _ = (types.function_id(name), types.struct_bytes(name));
        let _ = types.enumerator(name, "x");
        for field in FIELDS {
            let _ = types.field_offset(name, field);
        }
    }
}

/// A ring buffer whose lock is of this type, with the types of a PREEMPT_RT kernel (linux/spinlock_types_raw.h,
/// linux/rtmutex.h).
fn with_ring_lock(lock: &str) -> Types {
    let mut maker = Maker::new();
    let arch = maker.add(kind::STRUCT, "qspinlock", 4, &[]);
    let raw = maker.add(kind::STRUCT, "raw_spinlock", 4, &[("raw_lock", &[arch, 0])]);
    let raw_t = maker.add(kind::TYPEDEF, "raw_spinlock_t", raw, &[]);
    let mutex = maker.add(
        kind::STRUCT,
        "rt_mutex_base",
        32,
        &[("wait_lock", &[raw_t, 0]), ("owner", &[arch, 192])],
    );
    let spinlock = maker.add(kind::STRUCT, "spinlock", 32, &[("lock", &[mutex, 0])]);
    let spinlock_t = maker.add(kind::TYPEDEF, "spinlock_t", spinlock, &[]);
    let resilient = maker.add(kind::STRUCT, "rqspinlock", 4, &[("val", &[arch, 0])]);
    let of = match lock {
        "spinlock_t" => spinlock_t,
        "raw_spinlock_t" => raw_t,
        "rqspinlock" => resilient,
        _ => return types(maker.bytes(), &["bpf_ringbuf"]).expect("right"),
    };
    let members: [(&str, &[u32]); 2] = [("nr_pages", &[arch, 0]), ("spinlock", &[of, 512])];
    maker.add(kind::STRUCT, "bpf_ringbuf", 4096, &members);
    types(maker.bytes(), &["bpf_ringbuf"]).expect("right")
}

#[test]
fn a_ring_buffers_lock_sleeps_where_it_is_no_raw_one() {
    let of = |lock| with_ring_lock(lock).ring_lock_sleeps();
    assert_eq!(of("spinlock_t"), Answer::Yes);
    assert_eq!(of("raw_spinlock_t"), Answer::No);
    assert_eq!(of("rqspinlock"), Answer::No);
    assert!(matches!(of("none"), Answer::Unknown(_)));
}

#[test]
fn damaged_bytes_are_refused_or_answered() {
    let mut random = SmallRng::seed_from_u64(2);
    for _ in 0..40 {
        let whole = random_types(&mut random);
        for len in 0..whole.len() {
            ask_everything(whole[..len].to_vec());
        }
        for _ in 0..500 {
            let mut damaged = whole.clone();
            for _ in 0..random.random_range(1..5) {
                let at = random.random_range(0..damaged.len());
                damaged[at] = random.random();
            }
            ask_everything(damaged);
        }
    }
}

#[test]
fn counts_and_places_past_the_end_are_refused() {
    let mut maker = Maker::new();
    maker.add_with(u32::from(kind::STRUCT) << 24 | 0x00ff_ffff, "a", 8, &[]);
    assert!(
        types(maker.bytes(), &NAMES).is_err(),
        "sixteen million members"
    );
    let mut maker = Maker::new();
    maker.add(99, "a", 0, &[]);
    assert!(types(maker.bytes(), &NAMES).is_err(), "an unknown kind");
    let mut maker = Maker::new();
    maker.add(0, "", 0, &[]);
    assert!(types(maker.bytes(), &NAMES).is_err(), "no kind");
    let mut maker = Maker::new();
    maker.add(kind::FUNC, "a", 0, &[]);
    let right = maker.bytes();
    assert!(types(right.clone(), &NAMES).is_ok());
    for at in (4..24).step_by(4) {
        let mut wrong = right.clone();
        wrong[at..at + 4].fill(0xff);
        assert!(types(wrong, &NAMES).is_err(), "the number at byte {at}");
    }
    let mut wrong = right.clone();
    wrong[..2].reverse();
    assert!(
        types(wrong, &NAMES).is_err(),
        "of a machine of the other kind"
    );
    let mut wrong = right;
    wrong[24..28].fill(0xff);
    assert_eq!(types(wrong, &NAMES).expect("usable").function_id("a"), None);
}

#[test]
fn what_refers_to_itself_comes_to_an_end() {
    let mut maker = Maker::new();
    maker.add(kind::STRUCT, "a", 8, &[("x", &[2, 0])]);
    maker.add(kind::TYPEDEF, "d", 2, &[]);
    maker.add(kind::STRUCT, "bb", 8, &[("", &[3, 0]), ("", &[3, 0])]);
    let wide = [("", &[4_u32, 0][..]); 1_000];
    maker.add(kind::STRUCT, "bc", 8, &wide);
    let types = types(maker.bytes(), &NAMES).expect("usable");
    assert_eq!(types.field_offset("a", "x"), Some(0));
    assert_eq!(types.field_offset("a", "x.y"), None);
    assert_eq!(types.field_offset("bb", "x"), None);
    assert_eq!(types.field_offset("bc", "x"), None);
}

#[test]
fn offsets_that_are_too_large_together_are_none() {
    let mut maker = Maker::new();
    let inner = maker.add(kind::STRUCT, "", 8, &[("x", &[0, u32::MAX - 7])]);
    maker.add(kind::STRUCT, "a", 8, &[("y", &[inner, 16])]);
    let types = types(maker.bytes(), &NAMES).expect("usable");
    assert_eq!(types.field_offset("a", "y.x"), None);
}

#[test]
fn enumerators_of_64_bits_are_found() {
    let mut maker = Maker::new();
    maker.add(
        kind::ENUM64,
        "dentry_flags",
        8,
        &[("x", &[7, 1]), ("y", &[8, 0])],
    );
    let types = types(maker.bytes(), &NAMES).expect("usable");
    assert_eq!(types.enumerator("dentry_flags", "y"), Some(8));
    assert_eq!(types.has_enumerator("dentry_flags", "x"), Answer::Yes);
    assert_eq!(types.has_enumerator("dentry_flags", "z"), Answer::No);
    assert!(matches!(types.has_enumerator("a", "x"), Answer::Unknown(_)));
}

#[test]
fn the_width_of_a_bit_field_is_no_part_of_an_offset() {
    let mut maker = Maker::new();
    let width = 3 << 24;
    let info = FLAG | u32::from(kind::STRUCT) << 24;
    maker.add_with(
        info,
        "a",
        8,
        &[("x", &[0, width | 64]), ("y", &[0, width | 67])],
    );
    let types = types(maker.bytes(), &NAMES).expect("usable");
    assert_eq!(types.field_offset("a", "x"), Some(8));
    assert_eq!(types.field_offset("a", "y"), None, "not at a byte");
}

#[test]
fn a_kind_that_came_later_is_passed_over_where_its_layout_is_told() {
    let mut maker = Maker::new();
    maker.add(25, "", 0, &[("q", &[1])]);
    maker.add(kind::FUNC, "a", 0, &[]);
    let plain = maker.bytes();
    assert!(types(plain.clone(), &NAMES).is_err());
    let mut layouts = [[0_u8; 4]; 26];
    layouts[25] = [0, 8, 0, 0];
    let layouts = layouts.concat();
    let mut told = plain[..24].to_vec();
    told[4..8].copy_from_slice(&32_u32.to_le_bytes());
    let behind = u32::try_from(plain.len() - 24).expect("short");
    told.extend(behind.to_le_bytes());
    told.extend(u32::try_from(layouts.len()).expect("short").to_le_bytes());
    told.extend(&plain[24..]);
    told.extend(layouts);
    assert_eq!(
        types(told, &NAMES).expect("usable").function_id("a"),
        Some(2)
    );
}

/// A question about a name that the index was not made for would be answered with no: [`Types`] refuses it in tests.
#[test]
fn facts_ask_for_nothing_that_was_not_looked_for() {
    let mut maker = Maker::new();
    maker.add(kind::FUNC, "d_add", 0, &[]);
    maker.add(kind::TYPEDEF, "btf_trace_sched_switch", 0, &[]);
    maker.add(kind::STRUCT, "inode", 8, &[("i_ino", &[0, 64])]);
    let types = Types::new(maker.bytes(), facts::type_names()).expect("usable");
    let (facts, ids) =
        facts::facts_of(types, Path::new("file"), &Symbols::unread()).expect("facts");
    assert_eq!(facts.functions["d_add"].in_btf, Answer::Yes);
    assert_eq!(facts.functions["d_delete"].in_btf, Answer::No);
    assert_eq!(facts.tracepoints["sched_switch"], Answer::Yes);
    assert_eq!(facts.offsets["inode.i_ino"], 8);
    assert_eq!(ids.functions["d_add"], 1);
    assert_eq!(ids.tracepoints["sched_switch"], 2);
}
