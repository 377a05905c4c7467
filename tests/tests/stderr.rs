//! Whether all that goes to stderr takes the one way on which it is escaped and cut (`detector/src/logging.rs`).

mod sources;

use std::{fs, path::Path};

use sources::rust_files;

#[test]
fn nothing_is_printed_to_stderr_but_by_one_function() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    for package in ["detector", "vmtest"] {
        found.extend(rust_files(&root.join(package).join("src")));
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
