//! Sizes as users write them.

/// Parses `512M`, `1G`, `2GiB`; a bare number is MiB. The result is MiB, at least 1.
///
/// # Errors
/// A hint at how to write it.
pub fn parse_mib(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|character: char| !character.is_ascii_digit());
    let factor = match &text[digits.len()..] {
        "" | "M" | "MiB" => 1,
        "G" | "GiB" => 1024,
        "T" | "TiB" => 1024 * 1024,
        _ => return Err("write a size as 512M or 2G".to_owned()),
    };
    let size: u64 = digits
        .parse()
        .map_err(|_| "write a size as 512M or 2G".to_owned())?;
    match size.checked_mul(factor) {
        Some(0) => Err("must not be 0".to_owned()),
        Some(mib) if mib <= 1 << 24 => Ok(mib),
        _ => Err("too large (16T at most)".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_mib() {
        assert_eq!(
            (parse_mib("512M"), parse_mib("2G"), parse_mib("7")),
            (Ok(512), Ok(2048), Ok(7))
        );
        for text in [
            "",
            "G",
            "1K",
            "0",
            "-1G",
            "1.5G",
            "99999999999999999999T",
            "9999999T",
        ] {
            assert!(parse_mib(text).is_err(), "{text}");
        }
    }
}
