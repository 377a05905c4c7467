//! The page of `fslockup report` in a real browser. Needs `chromium-headless-shell` in the path, so a plain
//! `cargo test` leaves these out and says so; `./justw test-host` installs it and runs them.

mod browser;
mod corpus;
mod drawn;
mod evidence;

use std::{collections::BTreeSet, fs, path::PathBuf};

use browser::{Browser, Window};
use drawn::{DRAWN, compare, expected, number};
use evidence::{history, incidents, page};
use serde_json::{Value, json};

const WIDE: Window = Window {
    width: 1280,
    height: 800,
    is_dark: false,
};
const NARROW: Window = Window {
    width: 400,
    height: 700,
    is_dark: true,
};

/// CPUs of a large host.
const CPUS: u64 = 64;

/// Details that can be seen, with the bar that they are of.
const SHOWN: &str = r"
[...document.querySelectorAll('.details')]
    .filter(details => getComputedStyle(details).clipPath === 'none')
    .map(details => {
        const area = details.getBoundingClientRect(), of = details.parentElement.getBoundingClientRect();
        return {
            text: details.innerText,
            number: [...document.querySelectorAll('.bar')].indexOf(details.parentElement),
            isInside: area.left >= 0 && area.right <= innerWidth && area.top >= 0 && area.bottom <= innerHeight
                && area.width > 200 && area.height > 40,
            isBarInSight: of.top >= 0 && of.bottom <= innerHeight && of.bottom <= area.top,
        };
    })";

/// The page as a file that is there as long as this value.
struct Shown {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

fn file(page: &str) -> Shown {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("page.html");
    fs::write(&path, page).expect("written");
    Shown { _dir: dir, path }
}

/// Opens it, and nothing is complained about, nothing asked for but the page itself.
fn open(browser: &mut Browser, lines: &[Value], window: Window) {
    let shown = file(&page(&history(lines)));
    browser.open(&shown.path, window);
    assert_eq!(browser.complaints, [""; 0]);
    assert_eq!(
        browser.requests,
        [format!("file://{}", shown.path.display())]
    );
    let overflow = browser.evaluate("document.documentElement.scrollWidth - innerWidth");
    assert!(overflow.as_i64().is_some_and(|by| by <= 0), "{overflow}");
}

#[test]
#[ignore = "needs Chromium: ./justw test-host"]
fn every_bar_of_the_corpus_is_where_it_belongs() {
    let mut browser = Browser::start();
    let mut kinds = BTreeSet::new();
    for recording in [
        "6.1/stall",
        "6.12/contention",
        "6.12/soft-lockup",
        "6.12-rt/rt",
        "6.1/running-walk",
    ] {
        let lines = incidents(recording);
        for window in [WIDE, NARROW] {
            open(&mut browser, &lines, window);
            let drawn = browser.evaluate(DRAWN);
            compare(&drawn, &lines, window);
        }
        kinds.extend(lines.iter().flat_map(expected).map(|bar| bar.kind));
    }
    let all = ["walk", "wait", "sleeping", "stall"];
    assert_eq!(
        kinds,
        all.into_iter().collect(),
        "the corpus has every kind"
    );
}

/// An incident of a large host, with as many waits and stalls as a line can have.
fn large() -> Value {
    let mut incident = incidents("6.1/stall").remove(0);
    for (list, length) in [("waiters", "wait_ns"), ("stalls", "runq_delay_ns")] {
        let one = incident[list][0].clone();
        let many = (0..CPUS).map(|place| {
            let mut one = one.clone();
            one["cpu"] = (place % (CPUS - 1) + 1).into();
            one["tid"] = (1_000 + place).into();
            one["start_ns"] = (number(&one, "start_ns") + place * 20_000).into();
            one[length] = (number(&one, length) - place * 50_000).into();
            one
        });
        incident[list] = many.collect();
    }
    incident
}

#[test]
#[ignore = "needs Chromium: ./justw test-host"]
fn an_incident_of_a_large_host_stays_readable() {
    let mut browser = Browser::start();
    let lines = [large()];
    for window in [WIDE, NARROW] {
        open(&mut browser, &lines, window);
        let drawn = browser.evaluate(DRAWN);
        compare(&drawn, &lines, window);
        // The scale stays in sight among the last lanes.
        browser.evaluate("[...document.querySelectorAll('.lane')].at(-1).scrollIntoView()");
        let top = browser.evaluate("document.querySelector('.axis').getBoundingClientRect().top");
        assert!(
            top.as_f64().is_some_and(|top| (-1.0..1.0).contains(&top)),
            "{top}"
        );
    }
}

#[test]
#[ignore = "needs Chromium: ./justw test-host"]
fn details_are_shown_of_what_is_pointed_at_and_of_what_has_the_focus() {
    let mut browser = Browser::start();
    let lines = incidents("6.1/stall");
    for window in [WIDE, NARROW] {
        open(&mut browser, &lines, window);
        assert_eq!(browser.evaluate(SHOWN), json!([]));
        let count = browser.evaluate("document.querySelectorAll('.bar').length");
        let count = count.as_u64().expect("a number");
        assert!(count > 5);
        for bar in 0..count {
            let place = browser.evaluate(&format!(
                "{{ const bar = document.querySelectorAll('.bar')[{bar}]; bar.scrollIntoView({{ block: 'center' }}); \
                 const at = bar.getBoundingClientRect(); [at.left + at.width / 2, at.top + at.height / 2] }}"
            ));
            let at = |axis: usize| place[axis].as_f64().expect("a place");
            browser.point_at(at(0), at(1));
            shows(&mut browser, bar);
        }
        browser.point_at(0.0, 0.0);
        assert_eq!(browser.evaluate(SHOWN), json!([]));
        browser.evaluate("scrollTo(0, 0)");
        for bar in 0..count {
            tab_to_a_bar(&mut browser);
            shows(&mut browser, bar);
        }
    }
}

/// Links have the focus before, text that scrolls in between.
fn tab_to_a_bar(browser: &mut Browser) {
    for _ in 0..10 {
        browser.press_tab();
        if browser.evaluate("document.activeElement.matches('.bar')") == true {
            return;
        }
    }
    panic!("no further bar gets the focus");
}

/// The details of this bar, and of no other, are in the window.
fn shows(browser: &mut Browser, bar: u64) {
    let shown = browser.evaluate(SHOWN);
    assert_eq!(
        shown.as_array().map(Vec::len),
        Some(1),
        "bar {bar}: {shown}"
    );
    let details = &shown[0];
    assert_eq!(details["number"], bar);
    assert_eq!(details["isInside"], true, "{details}");
    assert_eq!(details["isBarInSight"], true, "{details}");
    let text = details["text"].as_str().expect("text");
    for word in ["begins: ", "task: workload (pid "] {
        assert!(text.contains(word), "{text}");
    }
}

#[test]
#[ignore = "needs Chromium: ./justw test-host"]
fn nothing_and_a_walk_that_never_ended_are_said() {
    let mut browser = Browser::start();
    let mut said = |lines: &[Value]| {
        open(&mut browser, lines, WIDE);
        assert_eq!(browser.evaluate(DRAWN), json!([]));
        let text = browser.evaluate("document.body.innerText");
        let marked = browser.evaluate("document.querySelectorAll('.sudden').length");
        (text.as_str().expect("text").to_owned(), marked)
    };
    let (text, marked) = said(&[]);
    assert!(text.contains("0 incidents in 1 run"), "{text}");
    assert!(!text.contains("severity"), "no empty table: {text}");
    assert_eq!(marked, 0);
    let walk = evidence::running_walk("6.1/running-walk");
    let path = walk["walk"]["path"].as_str().expect("a path").to_owned();
    let (text, marked) = said(&[walk]);
    assert!(text.contains("Running then:"), "{text}");
    assert!(text.contains(&path), "{text}");
    assert_eq!(marked, 1);
}

#[test]
#[ignore = "needs Chromium: ./justw test-host"]
fn hostile_names_are_text() {
    let mut browser = Browser::start();
    for (name, seen) in [
        ("</script><script>document.title='mine'</script>", None),
        (
            "</title></style></pre><svg onload=document.title='mine'>",
            None,
        ),
        ("\"'><img src=x onerror=document.title='mine'>", None),
        ("<!--", None),
        ("&lt;b&gt;", None),
        (
            "\u{202e}gpj\u{1b}[2J\r\n\u{0}",
            Some("\\u{202e}gpj\\x1b[2J\\x0d\\x0a\\x00"),
        ),
        ("שלום", None),
    ] {
        let mut incident = incidents("6.1/stall").remove(0);
        let count = rename(&mut incident, name);
        assert!(count > 4, "{count}");
        for window in [WIDE, NARROW] {
            open(&mut browser, &[incident.clone()], window);
            compare(&browser.evaluate(DRAWN), &[incident.clone()], window);
            let text = browser.evaluate("document.body.innerText");
            let seen = seen.unwrap_or(name);
            assert!(
                text.as_str()
                    .is_some_and(|text| text.matches(seen).count() > 4),
                "{text}"
            );
            assert_eq!(browser.evaluate("document.title"), "fslockup: incidents");
            let foreign = "document.querySelectorAll('script, img, svg, iframe, object, [onload], [onerror]').length";
            assert_eq!(browser.evaluate(foreign), 0);
            // What stands before the name is left of it, what stands behind it right of it.
            let order = "{ const name = document.querySelector('h2 bdi').getBoundingClientRect(), rest = document.createRange(); \
                         rest.selectNode(document.querySelector('h2').lastChild); \
                         const behind = rest.getClientRects(); \
                         behind.length > 1 || behind[0].left >= name.right - 1 || behind[0].top >= name.bottom - 20 }";
            assert_eq!(browser.evaluate(order), true);
        }
    }
}

/// Puts this name in the place of all names that others choose; says of how many.
fn rename(value: &mut Value, name: &str) -> usize {
    match value {
        Value::Object(fields) => fields
            .iter_mut()
            .map(|(key, field)| match (key.as_str(), field.is_string()) {
                ("comm" | "path" | "argument" | "host" | "unit" | "exe", true) => {
                    *field = name.into();
                    1
                }
                _ => rename(field, name),
            })
            .sum(),
        Value::Array(list) => list.iter_mut().map(|field| rename(field, name)).sum(),
        _ => 0,
    }
}

#[test]
#[ignore = "needs Chromium: ./justw test-host"]
fn a_page_with_something_foreign_would_be_noticed() {
    let mut browser = Browser::start();
    let page = page(&history(&incidents("6.1/stall")));
    let foreign =
        "<img src=\"http://127.0.0.1:9/x.png\"><script>throw new Error('x')</script></body>";
    let with = page.replace("</body>", foreign);
    // Its own policy stops both.
    browser.open(&file(&with).path, WIDE);
    assert_eq!(browser.blocked_count, 1, "{:?}", browser.requests);
    assert!(browser.complaints.len() >= 2, "{:?}", browser.complaints);
    // Without a policy both happen, and are seen.
    let start = with.find("<meta http-equiv").expect("a policy");
    let end = start + with[start..].find('>').expect("its end") + 1;
    browser.open(&file(&(with[..start].to_owned() + &with[end..])).path, WIDE);
    assert_eq!(browser.blocked_count, 0);
    assert!(
        browser
            .requests
            .iter()
            .any(|address| address == "http://127.0.0.1:9/x.png")
    );
    assert!(
        browser
            .complaints
            .iter()
            .any(|text| text.contains("Error: x"))
    );
}
