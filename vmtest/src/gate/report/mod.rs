//! The gate's findings as files: `gate.json`, `gate.xml` (JUnit), `gate.tap`, `gate.md` with its plots, and
//! `gate.html` in which they are.

mod junit;
mod page;
mod plot;
mod tap;
mod text;

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use super::GateResult;

pub use text::text;

/// JSON.
#[must_use]
pub fn json(result: &GateResult) -> String {
    let mut text = serde_json::to_string_pretty(result)
        .expect("plain structs with string keys always serialize");
    text.push('\n');
    text
}

pub use junit::render as junit;
pub use page::markdown;
pub use tap::render as tap;

/// Writes all of them into `directory`.
///
/// # Errors
/// When a file can't be written or a plot can't be drawn.
pub fn write(result: &GateResult, directory: &Path) -> Result<()> {
    let plots = plot::draw(result)?;
    let page = markdown(result);
    let mut files = vec![
        ("gate.json".to_owned(), json(result)),
        ("gate.xml".to_owned(), junit(result)),
        ("gate.tap".to_owned(), tap(result)),
        ("gate.txt".to_owned(), text(result)),
        ("gate.html".to_owned(), page::html(&page, &plots)),
        ("gate.md".to_owned(), page),
    ];
    files.extend(plots.into_iter().map(|plot| (plot.file, plot.svg)));
    for (name, content) in files {
        let path = directory.join(name);
        fs::write(&path, content).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::sample;

    #[test]
    fn every_form_says_the_same() {
        let result = sample::result();
        insta::assert_snapshot!("text", text(&result));
        insta::assert_snapshot!("tap", tap(&result));
        insta::assert_snapshot!("junit", junit(&result));
        insta::assert_snapshot!("markdown", markdown(&result));
        insta::assert_snapshot!("json", json(&result));
    }

    #[test]
    fn the_page_loads_nothing_and_has_the_plots_in_it() {
        let directory = tempfile::tempdir().expect("a directory");
        write(&sample::result(), directory.path()).expect("written");
        let read = |name: &str| fs::read_to_string(directory.path().join(name)).expect(name);
        let page = read("gate.html");
        assert!(
            page.matches("<svg").count() == 4 && !page.contains("<img"),
            "{page}"
        );
        for needle in ["http://", "https://", "<script"] {
            let without_names = page.replace("http://www.w3.org/2000/svg", "");
            assert!(!without_names.contains(needle), "{needle}");
        }
        assert!(page.contains("&lt;b&gt;hostile&lt;/b&gt;") && !page.contains("<b>hostile"));
        for file in ["gate.md", "gate.json", "gate.xml", "gate.tap", "gate.txt"] {
            assert!(!read(file).is_empty(), "{file}");
        }
        for plot in ["watch-negative.svg", "removal-positive.svg"] {
            let svg = read(plot);
            assert!(svg.contains("7.3") && svg.contains("children"), "{svg}");
        }
    }
}
