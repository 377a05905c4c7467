//! Whether the sources keep to the plan of their rooms: nothing goes in a circle between two rooms, and in the
//! detector every room uses only what stands below it (docs/architecture.md).
//!
//! A room is a folder or a file right below `src`. Paths are read from the text, test code left out; a name that a
//! `mod.rs` exports again is charged to that `mod.rs`.

mod sources;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    path::Path,
};

use sources::rust_files;

/// The rooms of the detector from the ground up.
const FLOORS: &str = "escape logging clock mounts probes facts event producers census plan model \
    incident directories correlate pipeline recording schema evidence output cli metrics \
    attach error host daemon run commands";

/// What each module uses: both by their paths below the crate, `run/event_loop`.
type Graph = BTreeMap<String, BTreeSet<String>>;

fn room(module: &str) -> &str {
    module.split('/').next().unwrap_or(module)
}

/// The sources below a folder by their modules.
fn sources(src: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for path in rust_files(src) {
        let below = path.strip_prefix(src).expect("it is below");
        let module = below.with_extension("").display().to_string();
        let module = module.strip_suffix("/mod").unwrap_or(&module).to_owned();
        found.insert(module, fs::read_to_string(&path).expect("a source"));
    }
    found.retain(|module, _| !is_test(module));
    found
}

fn is_test(module: &str) -> bool {
    module
        .split('/')
        .any(|part| part == "tests" || part == "testing")
}

/// The text without comments and test modules.
fn code(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or(line));
    let text = lines.collect::<Vec<_>>().join("\n");
    let mut parts = text.split("#[cfg(test)]\n");
    let mut code = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // An item of one line ends with it, one in braces with the first brace in the first column.
        let first = part.lines().next().unwrap_or_default();
        let end = if first.ends_with(';') { "\n" } else { "\n}" };
        code.extend(part.split_once(end).map(|(_, rest)| rest));
    }
    code
}

/// What a path with its braces names: `a::{b, c::d}` is `a/b` and `a/c/d`.
fn expand(tree: &str, before: &[&str], found: &mut Vec<Vec<String>>) {
    let mut depth = 0_u32;
    let parts = tree.split(|letter| {
        match letter {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        letter == ',' && depth == 0
    });
    for part in parts.map(str::trim).filter(|part| !part.is_empty()) {
        let (path, inner) = part.split_once('{').unwrap_or((part, ""));
        let names = path
            .split("::")
            .map(str::trim)
            .filter(|name| !name.is_empty());
        let path: Vec<_> = before.iter().copied().chain(names).collect();
        if inner.is_empty() {
            found.push(path.iter().map(|name| (*name).to_owned()).collect());
        } else {
            let inner = inner.rsplit_once('}').map_or(inner, |(inner, _)| inner);
            expand(inner, &path, found);
        }
    }
}

/// The paths in a text, of `use` and of all that begins at a known place.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
    for statement in code.split(';') {
        match statement.rsplit_once("use ") {
            // Exported again: whoever takes it from here uses this module, which itself uses nothing of it.
            Some((before, _)) if before.trim_end().ends_with("pub") => continue,
            Some((_, tree)) => expand(tree, &[], &mut found),
            None => {}
        }
        for word in statement.split(|letter| !is_name(letter)) {
            if ["crate::", "super::", "self::"]
                .iter()
                .any(|start| word.starts_with(start))
            {
                expand(word, &[], &mut found);
            }
        }
    }
    found
}

fn graph(sources: &BTreeMap<String, String>) -> Graph {
    let uses = |module: &String, text: &String| {
        let of = |path: Vec<String>| {
            let mut place: Vec<_> = module.split('/').map(str::to_owned).collect();
            let mut names = path.into_iter().peekable();
            match names.peek().map(String::as_str) {
                Some("crate") => place.clear(),
                Some("super" | "self") => {}
                // Of this module's own parts, or of another crate.
                _ => place.extend(names.next()),
            }
            for name in names {
                match name.as_str() {
                    "crate" | "self" => {}
                    "super" => drop(place.pop()),
                    _ => place.push(name),
                }
            }
            // The last names are items.
            while !place.is_empty() && !sources.contains_key(&place.join("/")) {
                place.pop();
            }
            place.join("/")
        };
        paths(&code(text))
            .into_iter()
            .map(of)
            .filter(|used| !used.is_empty() && used != module)
            .collect()
    };
    let entries = sources
        .iter()
        .filter(|(module, _)| !["lib", "main"].contains(&module.as_str()));
    entries
        .map(|(module, text)| (module.clone(), uses(module, text)))
        .collect()
}

/// The shortest way from one module to another.
fn way(graph: &Graph, from: &str, to: &str) -> Option<Vec<String>> {
    let mut before = BTreeMap::from([(from.to_owned(), None)]);
    let mut next = VecDeque::from([from.to_owned()]);
    while let Some(module) = next.pop_front() {
        if module == to {
            let mut way = vec![module];
            while let Some(Some(module)) = before.get(&way[0]) {
                way.insert(0, String::clone(module));
            }
            return Some(way);
        }
        for used in graph.get(&module).into_iter().flatten() {
            if !before.contains_key(used) {
                before.insert(used.clone(), Some(module.clone()));
                next.push_back(used.clone());
            }
        }
    }
    None
}

/// Each use of another room that leads back to where it is, with the way.
fn circles(graph: &Graph) -> Vec<String> {
    let mut found = Vec::new();
    for (module, used) in graph
        .iter()
        .flat_map(|(module, uses)| uses.iter().map(move |used| (module, used)))
    {
        if room(module) != room(used)
            && let Some(way) = way(graph, used, module)
        {
            found.push(format!("{module} -> {}", way.join(" -> ")));
        }
    }
    found
}

/// Each use of a room that doesn't stand below.
fn upward(graph: &Graph, floors: &str) -> Vec<String> {
    let floor = |module: &str| floors.split(' ').position(|floor| floor == room(module));
    let mut found = Vec::new();
    for (module, uses) in graph {
        if floor(module).is_none() {
            found.push(format!("{module}: its room has no floor"));
        }
        let above = uses
            .iter()
            .filter(|used| room(used) != room(module) && floor(used) >= floor(module));
        found.extend(above.map(|used| format!("{module} uses {used}, which stands above it")));
    }
    found
}

fn read(part: &str) -> Graph {
    graph(&sources(
        &Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(part)
            .join("src"),
    ))
}

#[test]
fn nothing_goes_in_a_circle_between_rooms() {
    let mut found = Vec::new();
    for part in ["detector", "vmtest", "detector-ebpf"] {
        let graph = read(part);
        assert!(graph.len() > 15, "{part}: {} sources", graph.len());
        let of_part = circles(&graph);
        found.extend(of_part.iter().map(|circle| format!("{part}: {circle}")));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn each_room_of_the_detector_uses_only_what_stands_below_it() {
    let graph = read("detector");
    let found = upward(&graph, FLOORS);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn drawn(sources: &[(&str, &str)]) -> Graph {
    let sources = sources
        .iter()
        .map(|(module, text)| ((*module).to_owned(), (*text).to_owned()));
    graph(&sources.collect())
}

#[test]
fn a_circle_between_two_rooms_is_found_and_printed() {
    let graph = drawn(&[
        ("judge", "pub mod storm;"),
        (
            "judge/storm",
            "use crate::{output::{self, text::Line}, model};",
        ),
        ("output", "mod text;"),
        ("output/text", "fn of(one: &crate::judge::storm::Storm) {}"),
        ("model", "use serde::Serialize;"),
    ]);
    let found = circles(&graph);
    assert!(
        found.contains(&"judge/storm -> output/text -> judge/storm".to_owned()),
        "{found:?}"
    );
    assert_eq!(found.len(), 2, "from both sides: {found:?}");
}

#[test]
fn a_circle_within_a_room_is_its_own_matter() {
    let graph = drawn(&[
        ("judge", "mod storm; use storm::Storm;"),
        ("judge/storm", "use super::Judge;"),
    ]);
    assert!(graph["judge"].contains("judge/storm") && graph["judge/storm"].contains("judge"));
    assert_eq!(circles(&graph), Vec::<String>::new());
}

#[test]
fn a_room_that_uses_one_above_it_is_found() {
    let graph = drawn(&[
        ("model", "use crate::judge::Storm;"),
        ("judge", "use crate::model::Walk;"),
        ("new", ""),
    ]);
    let found = upward(&graph, "model judge");
    assert_eq!(
        found,
        [
            "model uses judge, which stands above it",
            "new: its room has no floor"
        ]
    );
}

#[test]
fn comments_and_test_code_use_nothing() {
    let graph = drawn(&[
        (
            "model",
            "//! See crate::judge.\n#[cfg(test)]\npub mod tests;\n#[cfg(test)]\nmod tests {\n    use crate::judge;\n}\n",
        ),
        ("judge", ""),
    ]);
    assert_eq!(graph["model"], BTreeSet::new());
}
