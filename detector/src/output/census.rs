//! What `fslockup census` found, as text and as JSON.

use std::io::{self, Write};

use serde::Serialize;

use super::{
    Format, duration,
    layout::{WIDTH, shorten},
};
use crate::{
    census::Census,
    directories::predict::{Rates, Source},
    escape::escape,
    schema::{self, values::device},
};

/// Names shown to people where they have no template.
const NAMES_SHOWN: usize = 5;

/// One directory.
#[derive(Clone, Debug)]
pub struct CensusReport {
    /// As the user named it, escaped by nobody yet.
    pub path: Vec<u8>,
    /// File system type.
    pub fstype: Vec<u8>,
    /// What was counted.
    pub census: Census,
    /// What the names have in common; none if nothing.
    pub template: Option<String>,
    /// What a child costs a walk on this host.
    pub rates: Rates,
}

#[derive(Serialize)]
struct Body {
    r#type: &'static str,
    path: String,
    dev: String,
    ino: u64,
    fstype: String,
    children_count: u64,
    negative_count: u64,
    template: Option<String>,
    samples: Vec<String>,
    predicted_ns: u64,
    negative_child_ns: f64,
    positive_child_ns: f64,
    rates_from: &'static str,
    rates_walks_count: usize,
    is_complete: bool,
    is_approximate: bool,
    restarts_count: u64,
    duration_ns: u64,
    longest_run_ns: u64,
}

impl CensusReport {
    /// Prints it.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn print(&self, to: &mut impl Write, format: Format) -> io::Result<()> {
        match format {
            Format::Text => self.text(to),
            Format::Json => schema::line(to, &self.body()),
        }
    }

    fn predicted_ns(&self) -> u64 {
        self.rates
            .predict_ns(self.census.children_count, self.census.negative_count)
    }

    fn body(&self) -> Body {
        let census = &self.census;
        Body {
            r#type: "census",
            path: escape(&self.path),
            dev: device(census.dev),
            ino: census.ino,
            fstype: escape(&self.fstype),
            children_count: census.children_count,
            negative_count: census.negative_count,
            template: self.template.clone(),
            samples: census.samples.iter().map(|name| escape(name)).collect(),
            predicted_ns: self.predicted_ns(),
            negative_child_ns: self.rates.negative_child_ns,
            positive_child_ns: self.rates.positive_child_ns,
            rates_from: match self.rates.source() {
                Source::Default => "default",
                Source::Walks(_) => "walks",
            },
            rates_walks_count: self.rates.walks_count,
            is_complete: census.is_complete,
            is_approximate: census.is_approximate,
            restarts_count: census.restarts_count,
            duration_ns: census.duration_ns,
            longest_run_ns: census.longest_run_ns,
        }
    }

    fn text(&self, to: &mut impl Write) -> io::Result<()> {
        let Census {
            children_count,
            negative_count,
            ..
        } = self.census;
        writeln!(to, "{}", shorten(&escape(&self.path), WIDTH))?;
        writeln!(
            to,
            "    {} {} inode {}",
            escape(&self.fstype),
            device(self.census.dev),
            self.census.ino
        )?;
        writeln!(
            to,
            "    {children_count} cached {}, {negative_count} of them negative{}",
            if children_count == 1 {
                "child"
            } else {
                "children"
            },
            percent(negative_count, children_count)
        )?;
        if let Some(names) = self.names() {
            writeln!(to, "    names: {}", shorten(&names, WIDTH - 11))?;
        }
        writeln!(
            to,
            "    if it were watched now: about {} of freeze ({})",
            duration::text(self.predicted_ns()),
            self.basis()
        )?;
        for note in self.notes() {
            writeln!(to, "    {note}")?;
        }
        Ok(())
    }

    fn names(&self) -> Option<String> {
        if let Some(template) = &self.template {
            return Some(escape(template.as_bytes()));
        }
        let names = &self.census.samples;
        let shown: Vec<_> = names
            .iter()
            .step_by(names.len().div_ceil(NAMES_SHOWN).max(1))
            .map(|name| shorten(&escape(name), WIDTH / 2))
            .collect();
        (!shown.is_empty()).then(|| shown.join(" "))
    }

    fn basis(&self) -> String {
        let Rates {
            negative_child_ns: negative,
            positive_child_ns: positive,
            ..
        } = self.rates;
        let each = if (negative - positive).abs() < 0.05 {
            format!("{negative:.1} ns per child")
        } else {
            format!("{negative:.1} ns per negative child, {positive:.1} per other")
        };
        match self.rates.source() {
            Source::Default => format!("{each}, a default: no walk of this host is known"),
            source @ Source::Walks(_) => format!("{each}, from {source}"),
        }
    }

    fn notes(&self) -> Vec<String> {
        let census = &self.census;
        if !census.is_complete {
            vec![format!(
                "incomplete after {}: children by the directory's reference count, negative ones by their share so far",
                duration::text(census.duration_ns)
            )]
        } else if census.is_approximate {
            vec!["approximate: children came or went while they were counted".to_owned()]
        } else {
            Vec::new()
        }
    }
}

/// With one digit, never rounded up to 100.
fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return String::new();
    }
    let tenths = u128::from(part) * 1000 / u128::from(whole);
    format!(" ({}.{} %)", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> CensusReport {
        CensusReport {
            path: b"/mnt/\x1b[2Jx".to_vec(),
            fstype: b"ext4".to_vec(),
            census: Census {
                dev: 259 << 20 | 1,
                ino: 12,
                children_count: 1_000_000,
                negative_count: 999_999,
                samples: (0..64_u8).map(|number| vec![b'n', b'\n', number]).collect(),
                is_complete: true,
                is_approximate: false,
                restarts_count: 0,
                duration_ns: 85_000_000,
                longest_run_ns: 50_000,
            },
            template: None,
            rates: Rates::default(),
        }
    }

    fn print(report: &CensusReport, format: Format) -> String {
        let mut bytes = Vec::new();
        report.print(&mut bytes, format).expect("written");
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn text_names_everything_and_nothing_hostile_gets_through() {
        insta::assert_snapshot!(print(&report(), Format::Text));
    }

    #[test]
    fn json_is_one_line() {
        let mut few = report();
        few.census.samples.truncate(2);
        insta::assert_snapshot!(print(&few, Format::Json));
    }

    #[test]
    fn text_says_when_a_count_is_not_exact() {
        let mut report = report();
        report.census.is_approximate = true;
        assert!(print(&report, Format::Text).contains("    approximate: "));
        report.census.is_complete = false;
        assert!(print(&report, Format::Text).contains("    incomplete after 85.0 ms: "));
    }

    #[test]
    fn the_source_of_a_prediction_is_said() {
        let mut report = report();
        report.rates.walks_count = 3;
        report.rates.negative_child_ns = 14.0;
        report.template = Some("null<16 hex>".to_owned());
        let text = print(&report, Format::Text);
        assert!(text.contains("about 14.0 ms of freeze"), "{text}");
        assert!(text.contains("from 3 walks on this host"), "{text}");
        assert!(text.contains("names: null<16 hex>\n"), "{text}");
    }

    #[test]
    fn an_empty_directory_has_no_share() {
        let report = CensusReport {
            census: Census::default(),
            ..report()
        };
        let text = print(&report, Format::Text);
        assert!(
            text.contains("0 cached children, 0 of them negative\n"),
            "{text}"
        );
        assert!(!text.contains("names"), "{text}");
    }
}
