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

/// The folder of each kernel.
pub fn kernels() -> Vec<PathBuf> {
    let entries = fs::read_dir(corpus()).expect("the corpus");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.is_dir()).collect()
}

/// Kernel and scenario of each recording, and the file.
pub fn recordings() -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for kernel in kernels() {
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

/// Compares with snapshots that stand beside a recording, `NAME.FORM.snap`: the name is that of the recording.
pub fn beside(recording: &Path, compare: impl FnOnce(&str)) {
    let name = recording.file_stem().expect("a name").to_string_lossy();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(recording.parent().expect("a folder"));
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| compare(&name));
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
