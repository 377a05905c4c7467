//! A producer in words, wherever it is shown.

use crate::{escape::escape_rest, schema::origin::ProducerBody};

/// What a producer did.
pub fn what(producer: &ProducerBody) -> String {
    let ProducerBody {
        created_count,
        negative_count,
        removed_count,
        ..
    } = *producer;
    let kind = if created_count == 0 && negative_count > removed_count {
        // It deleted what others had made.
        format!("left {negative_count} negative")
    } else if created_count == 0 {
        format!("removed {removed_count}")
    } else {
        format!(
            "made {created_count} entries, {} negative",
            percent(negative_count, created_count)
        )
    };
    match &producer.template {
        Some(template) => format!("{kind}: {}", escape_rest(template)),
        None => kind,
    }
}

/// A share in whole percent, rounded so that only all is 100 % and only nothing is 0 %.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 || part == 0 {
        return "0 %".to_owned();
    }
    if part >= whole {
        return "100 %".to_owned();
    }
    let percent = u128::from(part) * 100 / u128::from(whole);
    format!("{} %", percent.clamp(1, 99))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_never_rounded_to_all_or_nothing() {
        let cases = [
            (0, 0, "0 %"),
            (0, 5, "0 %"),
            (1, 1_000_000, "1 %"),
            (999_999, 1_000_000, "99 %"),
            (7, 7, "100 %"),
            (1, 2, "50 %"),
        ];
        for (part, whole, expected) in cases {
            assert_eq!(percent(part, whole), expected);
        }
    }
}
