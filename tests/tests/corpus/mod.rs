//! The corpus: recordings that were made in guests by real kernels.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use fslockup::{
    model::Input,
    output::{Format, Printer},
    pipeline::Pipeline,
    recording::Reader,
};

/// Its folder.
pub fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// Kernel and scenario of each recording, and the file.
pub fn recordings() -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for kernel in fs::read_dir(corpus()).expect("the corpus") {
        let kernel = kernel.expect("a kernel").path();
        for file in fs::read_dir(&kernel).expect("a folder") {
            let file = file.expect("a file").path();
            if file
                .extension()
                .is_some_and(|extension| extension == "recording")
            {
                let name = |path: &Path| {
                    path.file_stem()
                        .expect("a name")
                        .to_string_lossy()
                        .into_owned()
                };
                let kernel = kernel
                    .file_name()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned();
                found.push((format!("{kernel} {}", name(&file)), file));
            }
        }
    }
    found.sort();
    found
}

/// What `run` prints of a recording.
pub fn replay(file: &Path, format: Format) -> String {
    replay_changed(file, format, |_| {})
}

/// The same where each record was changed before.
pub fn replay_changed(file: &Path, format: Format, change: impl Fn(&mut Vec<u8>)) -> String {
    let bytes = fs::read(file).expect("a recording");
    let (mut reader, session) = Reader::open(bytes.as_slice()).expect("a recording");
    let mut output = Vec::new();
    let mut printer = Printer::start(&mut output, format, &session).expect("printed");
    let mut pipeline = Pipeline::new(session);
    while let Some(mut input) = reader.read().expect("whole") {
        if let Input::Record(record) | Input::Running { record, .. } = &mut input {
            change(record);
        }
        for finding in pipeline.feed(&input) {
            printer.print(&finding).expect("printed");
        }
    }
    drop(printer);
    String::from_utf8(output).expect("text")
}
