//! `fslockup report`: what is in a state directory.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Write},
    process::ExitCode,
};

use crate::{
    cli::{ReportArgs, ReportFormat},
    error::{CommandError, OUTPUT},
    escape::escape,
    evidence::{
        self,
        history::{History, Keep, Now},
        reader,
    },
    host::boot_id::boot_id,
    output::{history_json, history_text, html, perfetto, wants_colour},
};

/// Incidents on a page or in a trace: each is some 30 KiB of it.
const DRAWN_MAX: usize = 200;

pub fn report(args: &ReportArgs) -> Result<ExitCode, CommandError> {
    let name = escape(args.state_dir.as_os_str().as_encoded_bytes());
    let (history, now) = read(args, &name)?;
    if let (Some(id), true) = (&args.id, history.incidents.is_empty()) {
        return Err(CommandError::NoIncident {
            id: escape(id.as_bytes()),
            name,
        });
    }
    match &args.output {
        None => {
            let is_coloured = wants_colour();
            let mut to = BufWriter::new(io::stdout().lock());
            write(&mut to, args, &history, &now, is_coloured)
                .and_then(|()| to.flush())
                .map_err(CommandError::io(OUTPUT))?;
        }
        Some(path) => {
            let name = || CommandError::io(escape(path.as_os_str().as_encoded_bytes()));
            let mut to = BufWriter::new(File::create(path).map_err(name())?);
            write(&mut to, args, &history, &now, false)
                .and_then(|()| to.flush())
                .map_err(name())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn read(args: &ReportArgs, name: &str) -> Result<(History, Now), CommandError> {
    let in_dir = || CommandError::io(format!("--state-dir {name}"));
    // Before and after: an instance may start or end while the files are read.
    let was_in_use = evidence::is_in_use(&args.state_dir).map_err(in_dir())?;
    let mut history = History::new(keep(args));
    let files = evidence::files(&args.state_dir).map_err(in_dir())?;
    let files = files
        .into_iter()
        .map(|(file, opened)| (file, opened.map(BufReader::new)));
    reader::read_all(&mut history, files)
        .map_err(|(file, error)| CommandError::io(format!("{name}/{file}"))(error))?;
    let now = Now {
        is_in_use: was_in_use || evidence::is_in_use(&args.state_dir).map_err(in_dir())?,
        boot_id: boot_id(),
    };
    Ok((history.finish(), now))
}

fn keep(args: &ReportArgs) -> Keep {
    match (&args.id, args.format) {
        (Some(id), _) => Keep::Id(id.clone()),
        (None, ReportFormat::Text) => Keep::Rows,
        // As many as the directory holds, which is bounded.
        (None, ReportFormat::Json) => Keep::Latest(usize::MAX),
        (None, ReportFormat::Html | ReportFormat::Perfetto) => Keep::Latest(DRAWN_MAX),
    }
}

fn write(
    to: &mut impl Write,
    args: &ReportArgs,
    history: &History,
    now: &Now,
    is_coloured: bool,
) -> io::Result<()> {
    let incidents = || history.incidents.iter().map(|(incident, _)| incident);
    match (args.format, &args.id) {
        (ReportFormat::Text, None) => history_text::list(to, history, now),
        (ReportFormat::Text, Some(_)) => history_text::shown(to, history, is_coloured),
        (ReportFormat::Json, None) => {
            history_json::incidents(to, history)?;
            history_json::history(to, history, now)
        }
        (ReportFormat::Json, Some(_)) => history_json::incidents(to, history),
        (ReportFormat::Html, _) => html::page(to, history, now),
        (ReportFormat::Perfetto, _) => perfetto::trace(to, incidents()),
    }
}
