//! The bytes of type information (include/uapi/linux/btf.h), and where the types of a few wanted names lie in them.
//!
//! A kernel has over a hundred thousand types with as many names, and some hundred of them are asked for. So one pass
//! notes where each type begins, compares its name with those wanted, and makes nothing of the rest: members are
//! read from the bytes when they are asked for.
//!
//! The bytes may come from a file that anybody wrote: nothing in them is trusted.

use std::ops::Range;

use super::BtfError;

const MAGIC: u16 = 0xeb9f;
const HEADER_BYTES: usize = 24;
/// With the layout of each kind behind it: how a kernel says how long kinds are that its readers don't know.
const HEADER_WITH_LAYOUT_BYTES: usize = 32;
/// `struct btf_type`: name, information, and size or type.
const TYPE_BYTES: usize = 12;
/// `BTF_MAX_TYPE`.
const IDS_MAX: usize = 0x000f_ffff;

/// What a type is (`BTF_KIND_*`), of the kinds that are looked at.
pub mod kind {
    pub const STRUCT: u8 = 4;
    pub const UNION: u8 = 5;
    pub const ENUM: u8 = 6;
    pub const TYPEDEF: u8 = 8;
    pub const VOLATILE: u8 = 9;
    pub const CONST: u8 = 10;
    pub const FUNC: u8 = 12;
    pub const TYPE_TAG: u8 = 18;
    pub const ENUM64: u8 = 19;
}

/// Kinds that are asked for by name.
const NAMED: [u8; 6] = [
    kind::STRUCT,
    kind::UNION,
    kind::ENUM,
    kind::TYPEDEF,
    kind::FUNC,
    kind::ENUM64,
];

/// Bytes behind the `struct btf_type` of each kind: of their own, and for each of its elements.
const LAYOUT: [(u8, u8); 20] = [
    (0, 0),
    (4, 0),
    (0, 0),
    (12, 0),
    (0, 12),
    (0, 12),
    (0, 8),
    (0, 0),
    (0, 0),
    (0, 0),
    (0, 0),
    (0, 0),
    (0, 0),
    (0, 8),
    (4, 0),
    (0, 12),
    (0, 0),
    (4, 0),
    (0, 0),
    (0, 12),
];

/// Types by number, and the numbers of wanted names.
pub struct Index {
    bytes: Vec<u8>,
    strings: Range<usize>,
    /// Where each type begins; the first one has the number 1.
    starts: Vec<u32>,
    wanted: Wanted,
    /// A wanted name's place in `wanted` with the number of a type that has it, sorted.
    found: Vec<(usize, u32)>,
}

/// Names in groups of one length, so that most others are passed over at the look at theirs.
struct Wanted {
    names: Vec<String>,
    /// By length: where in `names` those of it begin.
    by_bytes: Vec<usize>,
}

impl Wanted {
    fn new(names: impl IntoIterator<Item = String>) -> Self {
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort_unstable_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
        names.dedup();
        let longest = names.last().map_or(0, String::len);
        let by_bytes = (0..=longest + 1)
            .map(|bytes| names.partition_point(|name| name.len() < bytes))
            .collect();
        Self { names, by_bytes }
    }

    fn longest(&self) -> usize {
        self.by_bytes.len() - 2
    }

    fn place(&self, name: &[u8]) -> Option<usize> {
        let (begin, end) = (
            *self.by_bytes.get(name.len())?,
            *self.by_bytes.get(name.len() + 1)?,
        );
        let same = self.names[begin..end]
            .iter()
            .position(|wanted| wanted.as_bytes() == name)?;
        Some(begin + same)
    }
}

impl Index {
    /// Looks through all types once.
    ///
    /// # Errors
    /// When the bytes are not those of type information.
    pub fn new(bytes: Vec<u8>, names: impl IntoIterator<Item = String>) -> Result<Self, BtfError> {
        let header = Header::read(&bytes)?;
        let mut index = Self {
            strings: header.strings,
            starts: Vec::with_capacity(header.types.len() / (2 * TYPE_BYTES)),
            wanted: Wanted::new(names),
            found: Vec::new(),
            bytes,
        };
        index.pass(header.types, &header.layout)?;
        index.found.sort_unstable();
        Ok(index)
    }

    fn pass(&mut self, types: Range<usize>, layout: &[(u8, u8)]) -> Result<(), BtfError> {
        let mut at = types.start;
        while at < types.end {
            let here = Type { index: self, at };
            let kind = here.kind();
            let cut = || BtfError::Format(format!("the type at byte {at} is cut off"));
            if types.end - at < TYPE_BYTES {
                return Err(cut());
            }
            let (own, each) = match (kind, layout.get(usize::from(kind))) {
                (1.., Some(layout)) => *layout,
                _ => {
                    return Err(BtfError::Format(format!(
                        "the type at byte {at} is of the unknown kind {kind}"
                    )));
                }
            };
            let behind = usize::from(own) + usize::from(each) * here.elements_count();
            if types.end - at - TYPE_BYTES < behind {
                return Err(cut());
            }
            if self.starts.len() == IDS_MAX {
                return Err(BtfError::Format(format!("more than {IDS_MAX} types")));
            }
            let place = if NAMED.contains(&kind) {
                self.wanted_at(here.name_offset())
            } else {
                None
            };
            self.starts
                .push(u32::try_from(at).map_err(|_| BtfError::Format("too large".to_owned()))?);
            // As many as there are types at most, so it fits.
            let id = u32::try_from(self.starts.len()).unwrap_or(u32::MAX);
            self.found.extend(place.map(|place| (place, id)));
            at += TYPE_BYTES + behind;
        }
        Ok(())
    }

    /// Which wanted name stands at this place of the strings.
    fn wanted_at(&self, offset: u32) -> Option<usize> {
        let strings = &self.bytes[self.strings.clone()];
        let rest = strings.get(usize::try_from(offset).ok()?..)?;
        // No further than the longest name goes, however long this one is.
        let room = &rest[..rest.len().min(self.wanted.longest() + 1)];
        let end = room.iter().position(|byte| *byte == 0)?;
        self.wanted.place(&room[..end])
    }

    #[cfg(test)]
    /// Whether this name was asked for when the types were looked through: nothing is known of others.
    pub fn is_wanted(&self, name: &str) -> bool {
        self.wanted.place(name.as_bytes()).is_some()
    }

    /// The types of a wanted name with their numbers, by which the kernel knows them, lowest first.
    pub fn named(&self, name: &str) -> impl Iterator<Item = (u32, Type<'_>)> {
        let place = self.wanted.place(name.as_bytes()).unwrap_or(usize::MAX);
        let begin = self.found.partition_point(|(found, _)| *found < place);
        self.found[begin..]
            .iter()
            .take_while(move |(found, _)| *found == place)
            .filter_map(|(_, id)| Some((*id, self.get(*id)?)))
    }

    /// The type of a number; none for 0, which is `void`, and for numbers that no type has.
    pub fn get(&self, id: u32) -> Option<Type<'_>> {
        let place = usize::try_from(id).ok()?.checked_sub(1)?;
        let at = usize::try_from(*self.starts.get(place)?).ok()?;
        Some(Type { index: self, at })
    }

    fn is_name(&self, offset: u32, name: &str) -> bool {
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        self.bytes[self.strings.clone()]
            .get(at..)
            .and_then(|rest| rest.strip_prefix(name.as_bytes()))
            .is_some_and(|rest| rest.first() == Some(&0))
    }
}

/// Where the two parts are.
struct Header {
    types: Range<usize>,
    strings: Range<usize>,
    layout: Vec<(u8, u8)>,
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, BtfError> {
        let no = |reason: &str| BtfError::Format(reason.to_owned());
        if bytes.len() < HEADER_BYTES {
            return Err(no("shorter than its header"));
        }
        if bytes[..2] != MAGIC.to_le_bytes() {
            return Err(no(
                "it doesn't begin as type information of this machine does",
            ));
        }
        let header_bytes = usize::try_from(word(bytes, 4)).unwrap_or(usize::MAX);
        if header_bytes < HEADER_BYTES {
            return Err(no("its header is too short"));
        }
        let part = |offset_at, what: &str| {
            let number = |at| usize::try_from(word(bytes, at)).ok();
            let begin = number(offset_at).and_then(|offset| header_bytes.checked_add(offset));
            let end = begin.and_then(|begin| begin.checked_add(number(offset_at + 4)?));
            match (begin, end) {
                (Some(begin), Some(end)) if end <= bytes.len() => Ok(begin..end),
                _ => Err(no(&format!("its {what} lie outside of it"))),
            }
        };
        let mut layout = LAYOUT.to_vec();
        if header_bytes >= HEADER_WITH_LAYOUT_BYTES && bytes.len() >= HEADER_WITH_LAYOUT_BYTES {
            let told = bytes[part(24, "layouts")?].chunks_exact(4);
            layout.extend(told.skip(LAYOUT.len()).map(|one| (one[0], one[1])));
        }
        Ok(Self {
            types: part(8, "types")?,
            strings: part(16, "names")?,
            layout,
        })
    }
}

/// Four bytes of a number; 0 past the end, which the pass has excluded for what it has passed.
fn word(bytes: &[u8], at: usize) -> u32 {
    let four = at
        .checked_add(4)
        .and_then(|end| bytes.get(at..end))
        .and_then(|four| four.try_into().ok());
    four.map_or(0, u32::from_le_bytes)
}

/// One type.
#[derive(Clone, Copy)]
pub struct Type<'a> {
    index: &'a Index,
    at: usize,
}

/// What a struct or union is made of.
#[derive(Clone, Copy)]
pub struct Member<'a> {
    index: &'a Index,
    name_offset: u32,
    /// The number of its type.
    pub type_id: u32,
    /// Where it begins.
    pub offset_bits: u32,
}

impl Member<'_> {
    pub fn is_named(&self, name: &str) -> bool {
        self.index.is_name(self.name_offset, name)
    }

    pub fn is_anonymous(&self) -> bool {
        self.is_named("")
    }
}

impl<'a> Type<'a> {
    fn word(self, number: usize) -> u32 {
        word(&self.index.bytes, self.at + 4 * number)
    }

    fn name_offset(self) -> u32 {
        self.word(0)
    }

    /// As the newest kernels have it; older ones leave the two upper bits 0.
    pub fn kind(self) -> u8 {
        self.word(1).to_le_bytes()[3] & 0x7f
    }

    /// The flag of a struct whose members' offsets hold the widths of bit fields.
    fn has_bit_fields(self) -> bool {
        self.word(1) >> 31 == 1
    }

    /// As the newest kernels have it; older ones leave the upper eight bits 0.
    fn elements_count(self) -> usize {
        usize::try_from(self.word(1) & 0x00ff_ffff).unwrap_or(0)
    }

    /// Bytes of a struct or union.
    pub fn size_bytes(self) -> u32 {
        self.word(2)
    }

    /// What a typedef or a qualifier stands for.
    pub fn referred(self) -> Option<Self> {
        self.index.get(self.word(2))
    }

    /// Those of a struct or union; none of others.
    pub fn members(self) -> impl Iterator<Item = Member<'a>> {
        let is_made_of = matches!(self.kind(), kind::STRUCT | kind::UNION);
        let count = if is_made_of { self.elements_count() } else { 0 };
        (0..count).map(move |number| {
            let first = 3 + 3 * number;
            let offset = self.word(first + 2);
            Member {
                index: self.index,
                name_offset: self.word(first),
                type_id: self.word(first + 1),
                offset_bits: if self.has_bit_fields() {
                    offset & 0x00ff_ffff
                } else {
                    offset
                },
            }
        })
    }

    /// The value of an enumerator, the lower half of it if it has 64 bits.
    pub fn enumerator(self, name: &str) -> Option<u32> {
        let words = match self.kind() {
            kind::ENUM => 2,
            kind::ENUM64 => 3,
            _ => return None,
        };
        (0..self.elements_count())
            .map(|number| 3 + words * number)
            .find(|first| self.index.is_name(self.word(*first), name))
            .map(|first| self.word(first + 1))
    }
}
