//! `fslockup replay`: the pure half over a recording.

use std::{
    fs::File,
    io::{self, BufReader},
    process::ExitCode,
};

use crate::{
    cli::ReplayArgs,
    error::{CommandError, OUTPUT},
    output::{Printer, wants_colour},
    pipeline::Pipeline,
    recording::{Reader, RecordingError},
};

/// Prints everything up to the place where a damaged recording can't be read any more, then fails.
pub fn replay(args: &ReplayArgs) -> Result<ExitCode, CommandError> {
    let name = crate::escape::escape(args.file.as_os_str().as_encoded_bytes());
    let fail = |source: RecordingError| CommandError::Recording {
        file: name.clone(),
        source,
    };
    let file = File::open(&args.file).map_err(|error| fail(error.into()))?;
    let (mut reader, session) = Reader::open(BufReader::new(file)).map_err(fail)?;
    let output = || CommandError::io(OUTPUT);
    let mut printer = Printer::start(io::stdout().lock(), args.format, &session)
        .map_err(output())?
        .coloured(wants_colour());
    let mut pipeline = Pipeline::new(session);
    while let Some(input) = reader.read().map_err(fail)? {
        for finding in pipeline.feed(&input) {
            printer.print(&finding).map_err(output())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
