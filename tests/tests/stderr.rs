//! Whether all that goes to stderr takes the one way on which it is escaped and cut (`detector/src/logging.rs`).

use std::{
    fs,
    path::{Path, PathBuf},
};

fn sources(below: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(below).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn nothing_is_printed_to_stderr_but_by_one_function() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    for package in ["detector", "vmtest"] {
        sources(&root.join(package).join("src"), &mut found);
    }
    let printing: Vec<_> = found
        .iter()
        .filter(|path| {
            let text = fs::read_to_string(path).expect("a source");
            text.contains("eprint!(")
                || text.contains("eprintln!(")
                || text.contains("stderr().write")
        })
        .map(|path| {
            path.strip_prefix(&root)
                .expect("below")
                .display()
                .to_string()
        })
        .collect();
    assert_eq!(printing, ["detector/src/logging.rs"]);
}
