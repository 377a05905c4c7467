//! A page for people: Markdown, and HTML made of it with the plots in it.

use std::fmt::Write as _;

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd};

use super::{
    super::{Finding, GateResult, Judged, Measured, Standing, line::decimal, measured::kinds},
    plot::{Plot, file},
};
use crate::report::cell;

const STYLE: &str = "body{font:15px/1.5 sans-serif;max-width:72em;margin:2em auto;padding:0 1em}\
table{border-collapse:collapse;display:block;overflow-x:auto}\
th,td{border:1px solid #ccc;padding:.25em .6em;text-align:left;vertical-align:top}\
code{font-size:90%}svg{max-width:100%;height:auto}";

/// Markdown; its plots are files beside it.
#[must_use]
pub fn markdown(result: &GateResult) -> String {
    let mut text = String::new();
    let put = &mut text;
    line(put, &format!("# vmtest gate: {}\n", result.verdict()));
    line(
        put,
        &format!(
            "{}; {} s; {}.\n",
            result.started_at,
            result.duration_ms / 1000,
            result.conditions
        ),
    );
    line(put, "| kernel | release | verdict | |");
    line(put, "|---|---|---|---|");
    row(
        put,
        &[
            &result.baseline.kernel,
            release(&result.baseline),
            "baseline",
            "",
        ],
    );
    for candidate in &result.candidates {
        let kernel = &candidate.kernel;
        row(
            put,
            &[
                &kernel.kernel,
                release(kernel),
                &format!("**{}**", candidate.word()),
                &candidate.counts(),
            ],
        );
    }
    for candidate in &result.candidates {
        differences(put, candidate);
    }
    costs(put, result);
    probes(put, result);
    for candidate in &result.candidates {
        line(
            put,
            &format!("\n## {}: all comparisons\n", cell(&candidate.kernel.kernel)),
        );
        findings(put, candidate.findings.iter());
    }
    text
}

fn differences(put: &mut String, candidate: &Judged) {
    line(
        put,
        &format!(
            "\n## {}: {}\n",
            cell(&candidate.kernel.kernel),
            candidate.word()
        ),
    );
    for why in &candidate.lacking {
        line(put, &format!("- {}", cell(why)));
    }
    if !candidate.lacking.is_empty() {
        line(put, "");
    }
    let mut different = candidate
        .findings
        .iter()
        .filter(|finding| finding.standing != Standing::Same)
        .peekable();
    if different.peek().is_none() {
        line(put, "All of it is as good as the baseline.");
    } else {
        findings(put, different);
    }
}

fn findings<'a>(put: &mut String, findings: impl Iterator<Item = &'a Finding>) {
    line(
        put,
        "| | rule | what | baseline | candidate | at most | | evidence |",
    );
    line(put, "|---|---|---|---|---|---|---|---|");
    for finding in findings {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let limit = finding
            .limit_value
            .map(|limit| format!("{limit:.2}"))
            .unwrap_or_default();
        let mut evidence = finding.evidence.clone();
        evidence.dedup();
        let evidence: Vec<String> = evidence
            .iter()
            .map(|one| format!("`{}`", one.replace('`', "'")))
            .collect();
        let standing = match finding.standing {
            Standing::Fail | Standing::Warn => format!("**{}**", finding.standing.word()),
            other => other.word().to_owned(),
        };
        row(
            put,
            &[
                &standing,
                finding.rule.name(),
                &finding.subject,
                &value(&finding.baseline),
                &value(&finding.candidate),
                &limit,
                &finding.detail,
                &evidence.join(" "),
            ],
        );
    }
}

fn costs(put: &mut String, result: &GateResult) {
    let kinds = kinds(&result.kernels());
    if kinds.is_empty() {
        return;
    }
    line(put, "\n## Cost of a walk\n");
    line(
        put,
        "Instructions for each child, and the spread of repetitions; measured by the caller of the system call, \
         with nothing attached.\n",
    );
    let heads: Vec<String> = kinds.iter().map(|kind| kind.subject()).collect();
    line(put, &format!("| kernel | {} |", heads.join(" | ")));
    line(put, &format!("|---|{}", "---|".repeat(heads.len())));
    for kernel in result.kernels() {
        let curves = kernel.curves.iter().flat_map(|all| &all.value);
        let of = |subject: &String| {
            let found = curves.clone().find(|curve| curve.subject() == *subject);
            found.map_or("-".to_owned(), |curve| {
                let line = curve.line;
                format!(
                    "{} ± {}",
                    decimal(line.instructions_per_child, 2),
                    decimal(line.spread_instructions_per_child / 2.0, 2)
                )
            })
        };
        let cells: Vec<String> = heads.iter().map(of).collect();
        let cells: Vec<&str> = [kernel.kernel.as_str()]
            .into_iter()
            .chain(cells.iter().map(String::as_str))
            .collect();
        row(put, &cells);
    }
    for kind in kinds {
        line(put, &format!("\n![{}]({})", kind.subject(), file(kind)));
    }
}

fn probes(put: &mut String, result: &GateResult) {
    let kernels: Vec<&Measured> = result
        .kernels()
        .into_iter()
        .filter(|one| one.coverage.is_some())
        .collect();
    if kernels.is_empty() {
        return;
    }
    line(put, "\n## Probes\n");
    let names: Vec<String> = kernels.iter().map(|kernel| cell(&kernel.kernel)).collect();
    line(put, &format!("| probe | {} |", names.join(" | ")));
    line(put, &format!("|---|{}", "---|".repeat(names.len())));
    let mut probes: Vec<&str> = Vec::new();
    let of = |kernel: &'_ &Measured| {
        kernel
            .coverage
            .iter()
            .flat_map(|all| all.value.clone())
            .collect::<Vec<_>>()
    };
    let all: Vec<_> = kernels.iter().map(of).collect();
    for probe in all.iter().flatten() {
        if !probes.contains(&probe.probe.as_str()) {
            probes.push(&probe.probe);
        }
    }
    for name in probes {
        let states: Vec<String> = all
            .iter()
            .map(
                |probes| match probes.iter().find(|probe| probe.probe == name) {
                    None => "not used".to_owned(),
                    Some(probe) if probe.lost.is_empty() => probe.state.word().to_owned(),
                    Some(probe) => {
                        format!("{}: without {}", probe.state.word(), probe.lost.join("; "))
                    }
                },
            )
            .collect();
        let cells: Vec<&str> = [name]
            .into_iter()
            .chain(states.iter().map(String::as_str))
            .collect();
        row(put, &cells);
    }
}

fn release(kernel: &Measured) -> &str {
    kernel.release.as_deref().unwrap_or("-")
}

fn row(put: &mut String, cells: &[&str]) {
    let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
    line(put, &format!("| {} |", cells.join(" | ")));
}

fn line(text: &mut String, content: &str) {
    writeln!(text, "{content}").expect("a string takes all");
}

/// The page as one file that loads nothing.
pub fn html(markdown: &str, plots: &[Plot]) -> String {
    let mut is_in_image = false;
    let events =
        Parser::new_ext(markdown, Options::ENABLE_TABLES).filter_map(|event| match event {
            Event::Start(Tag::Image { dest_url, .. }) => {
                is_in_image = true;
                let plot = plots.iter().find(|plot| plot.file == *dest_url)?;
                Some(Event::Html(CowStr::from(plot.svg.clone())))
            }
            Event::End(TagEnd::Image) => {
                is_in_image = false;
                None
            }
            _ if is_in_image => None,
            // Nothing in the page is meant to be markup of its own.
            Event::Html(text) | Event::InlineHtml(text) => Some(Event::Text(text)),
            other => Some(other),
        });
    let mut body = String::new();
    pulldown_cmark::html::push_html(&mut body, events);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         img-src data:; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<link rel=\"icon\" href=\"data:,\">\n\
         <title>vmtest gate</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
}
