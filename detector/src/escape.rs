//! Names out of the kernel are bytes that somebody chose, perhaps to harm the one who reads them.

use std::fmt::Write as _;

/// The bytes as text that is safe on a terminal and valid in JSON: printable characters stay,
/// a backslash is doubled, everything else becomes `\xNN` (or `\u{N}` for characters that print
/// nothing or turn the direction of writing). Reversible.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                _ if character.is_ascii_control() => {
                    let _ = write!(text, "\\x{:02x}", u32::from(character));
                }
                _ if is_deceptive(character) => {
                    let _ = write!(text, "\\u{{{:x}}}", u32::from(character));
                }
                _ => text.push(character),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Text that was escaped before, or should have been: what [`escape`] would not let through becomes
/// visible, and backslashes stay single.
#[must_use]
pub fn escape_rest(text: impl AsRef<[u8]>) -> String {
    escape(text.as_ref()).replace("\\\\", "\\")
}

/// C1 controls, zero-width and direction-changing characters, line and paragraph separators.
fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The bytes before the first 0, as kernel strings end.
#[must_use]
pub fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_names_stay_as_they_are() {
        assert_eq!(escape("naïve file ☃.txt".as_bytes()), "naïve file ☃.txt");
    }

    #[test]
    fn nothing_that_moves_a_cursor_gets_through() {
        assert_eq!(
            escape(b"a\x1b[2Jb\nc\td\x7f"),
            "a\\x1b[2Jb\\x0ac\\x09d\\x7f"
        );
        assert_eq!(
            escape("x\u{202e}gpj\u{9b}".as_bytes()),
            "x\\u{202e}gpj\\u{9b}"
        );
    }

    #[test]
    fn invalid_utf8_and_backslashes_are_told_apart() {
        assert_eq!(escape(b"\xff\\xff"), "\\xff\\\\xff");
    }

    #[test]
    fn escaping_the_rest_leaves_escaped_text_alone() {
        for bytes in [b"a\\b\x1b\xff".as_slice(), b"\\\\", b"\\x2d"] {
            let escaped = escape(bytes);
            assert_eq!(escape_rest(&escaped), escaped);
        }
        assert_eq!(
            escape_rest("null<16 hex>\x1b[2J\\x2d"),
            "null<16 hex>\\x1b[2J\\x2d"
        );
    }
}
