//! Lengths of time for people.

/// Three digits and the unit that fits.
pub fn text(ns: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let value = ns as f64;
    let (value, unit) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..1_000_000 => (value / 1e3, "µs"),
        1_000_000..1_000_000_000 => (value / 1e6, "ms"),
        _ => (value / 1e9, "s"),
    };
    let digits = if value < 10.0 {
        2
    } else {
        usize::from(value < 100.0)
    };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn three_digits_and_the_unit_that_fits() {
        let cases = [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_500, "1.50 µs"),
            (75_312_345, "75.3 ms"),
            (750_312_345, "750 ms"),
            (2_670_000_000, "2.67 s"),
            (600_000_000_000, "600 s"),
        ];
        for (ns, expected) in cases {
            assert_eq!(text(ns), expected);
        }
    }
}
