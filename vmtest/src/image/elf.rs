//! What the image needs to know of ELF files.

use object::{
    LittleEndian, elf,
    read::elf::{FileHeader, ProgramHeader},
};

type Header = elf::FileHeader64<LittleEndian>;

/// The program that the kernel starts to link this one (`PT_INTERP`); `None` for a static
/// program or when the bytes are no ELF program.
#[must_use]
pub fn interpreter(content: &[u8]) -> Option<String> {
    let header = Header::parse(content).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, content).ok()?;
    let found = segments
        .iter()
        .find_map(|segment| segment.interpreter(endian, content).ok().flatten())?;
    Some(String::from_utf8_lossy(found).into_owned())
}

/// The file without what only debuggers read: everything behind the last loaded segment is cut
/// off. A debug build of a Rust program is mostly that, and each of its bytes would have to be
/// unpacked by an emulated CPU and kept in the guest's memory.
#[must_use]
pub fn strip(mut content: Vec<u8>) -> Vec<u8> {
    if let Some(end) = loaded_end(&content) {
        content.truncate(end);
        // No section headers are left, so the header must not point at any: e_shoff is at 0x28,
        // e_shnum and e_shstrndx at 0x3c (ELF-64).
        content[0x28..0x30].fill(0);
        content[0x3c..0x40].fill(0);
    }
    content
}

fn loaded_end(content: &[u8]) -> Option<usize> {
    let header = Header::parse(content).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, content).ok()?;
    let table_end = header.e_phoff(endian) + size_of_val(segments) as u64;
    let ends = segments
        .iter()
        .map(|segment| segment.p_offset(endian) + segment.p_filesz(endian));
    let end = usize::try_from(ends.chain([table_end]).max()?).ok()?;
    (end >= size_of::<Header>() && end <= content.len()).then_some(end)
}

/// The content of one section.
#[must_use]
pub fn section<'a>(content: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let header = Header::parse(content).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, content).ok()?;
    let (_, found) = sections.section_by_name(endian, name)?;
    object::read::elf::SectionHeader::data(found, endian, content).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_binary() -> Vec<u8> {
        std::fs::read(std::env::current_exe().expect("a path")).expect("readable")
    }

    #[test]
    fn a_stripped_program_has_its_segments_and_no_sections() {
        let whole = own_binary();
        let stripped = strip(whole.clone());
        assert!(stripped.len() < whole.len());
        assert_eq!(section(&stripped, b".text"), None);
        let header = Header::parse(&*stripped).expect("an ELF file");
        let endian = header.endian().expect("little");
        for segment in header
            .program_headers(endian, &*stripped)
            .expect("segments")
        {
            assert!(segment.data(endian, &*stripped).is_ok());
        }
    }

    #[test]
    fn this_static_program_has_no_interpreter() {
        assert_eq!(interpreter(&own_binary()), None);
    }

    #[test]
    fn what_is_no_program_is_left_alone() {
        for content in [&b""[..], b"#!/bin/sh\n", b"\x7fELF", &[0x7f; 64]] {
            assert_eq!(strip(content.to_vec()), content);
            assert_eq!(interpreter(content), None);
        }
    }
}
