use std::io::Cursor;

use super::*;
use crate::{
    evidence::{history::Keep, reader},
    output::{Format, Printer, tests::incidents_of_hostile_names},
};

fn pages() -> Vec<String> {
    incidents_of_hostile_names()
        .into_iter()
        .map(|line| page_of(&line))
        .collect()
}

fn page_of(line: &str) -> String {
    let mut history = History::new(Keep::Latest(10));
    reader::read(&mut history, "file<b>", Cursor::new(line)).expect("memory");
    let history = history.finish();
    assert_eq!(history.incidents.len(), 1, "{:?}", history.unreadable);
    let mut bytes = Vec::new();
    page(&mut bytes, &history, &Now::default()).expect("memory");
    String::from_utf8(bytes).expect("text")
}

/// Names of all tags in a page.
fn tags(page: &str) -> Vec<&str> {
    page.split('<')
        .skip(1)
        .map(|rest| {
            let end = rest.find([' ', '>', '\n']).expect("a tag ends");
            &rest[..end]
        })
        .collect()
}

#[test]
fn hostile_names_stay_text() {
    let known = [
        "!doctype", "html", "/html", "head", "/head", "meta", "link", "title", "/title", "style",
        "/style", "body", "/body", "h1", "/h1", "h2", "/h2", "p", "/p", "table", "/table", "tr",
        "/tr", "th", "/th", "td", "/td", "a", "/a", "pre", "/pre", "section", "/section", "div",
        "/div", "span", "/span", "b", "/b", "br", "i", "/i", "bdi", "/bdi",
    ];
    for page in pages() {
        assert!(page.contains("&lt;script&gt;"), "the names are on it");
        for tag in tags(&page) {
            assert!(known.contains(&tag), "{tag}");
        }
        // Every attribute is one of ours.
        for attribute in ["onload", "onmouseover", "src=x", "javascript:"] {
            for (at, _) in page.match_indices(attribute) {
                let before = &page[..at];
                let opened = before.rfind('<') > before.rfind('>');
                assert!(!opened, "{attribute} in a tag");
            }
        }
        assert!(!page.chars().any(|c| c.is_control() && c != '\n'));
    }
}

#[test]
fn a_page_loads_nothing() {
    for page in pages() {
        assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("url("));
        assert_eq!(
            page.matches("src=").count(),
            page.matches("img src=x").count()
        );
        let hrefs = page.split("href=\"").skip(1);
        for target in hrefs {
            assert!(target.starts_with('#') || target.starts_with("data:,\""));
        }
    }
}

#[test]
fn markup_is_only_text() {
    assert_eq!(markup("a<b>&\"'c"), "a&lt;b&gt;&amp;&quot;&#39;c");
}

#[test]
fn marks_are_in_milliseconds() {
    for (ns, text) in [
        (0, "0"),
        (500_000, "0.5"),
        (300_000, "0.3"),
        (-20_000_000, "-20"),
        (5_000_000_000, "5000"),
        (1, "0.000001"),
    ] {
        assert_eq!(milliseconds(ns), text);
    }
}

#[test]
fn marks_are_few_and_round() {
    for length_ns in [0, 1, 7, 999, 170_000_000, 26_000_000_000, u64::MAX] {
        let step_ns = step_ns(length_ns);
        assert!(length_ns / step_ns <= MARKS_MAX, "{length_ns} {step_ns}");
    }
    assert_eq!(step_ns(170_000_000), 50_000_000);
    assert_eq!(step_ns(26_000_000_000), 5_000_000_000);
}

#[test]
fn text_of_a_line_read_back_is_the_text_of_run() {
    for (session, findings) in crate::output::tests::all_cases() {
        for finding in findings {
            let print = |format| {
                let mut to = Vec::new();
                let mut printer = Printer::start(&mut to, format, &session).expect("memory");
                printer.print(&finding).expect("memory");
                String::from_utf8(to).expect("text")
            };
            let json = print(Format::Json);
            let line = json.lines().nth(1).expect("the finding");
            let mut text = Vec::new();
            match crate::evidence::line::read(line.as_bytes()) {
                Ok(crate::evidence::line::Line::Incident(found)) => {
                    incident_text::incident(&mut text, &found, false).expect("memory");
                }
                Ok(crate::evidence::line::Line::Walk(found)) => {
                    crate::output::text::walk(&mut text, &found).expect("memory");
                }
                _ => continue,
            }
            let text = String::from_utf8(text).expect("text");
            assert!(print(Format::Text).ends_with(&text), "{text}");
        }
    }
}
