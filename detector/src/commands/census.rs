//! `fslockup census`: how many children directories have in the cache, and what a watch would cost.

use std::{
    io,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use nix::{
    fcntl::{OFlag, open},
    sys::stat::Mode,
};

use crate::{
    attach::census::{Censor, CensusError},
    cli::CensusArgs,
    directories::predict::Rates,
    error::{CommandError, OUTPUT},
    escape::escape,
    facts, logging,
    output::CensusReport,
    producers::template::template,
};

/// A directory that can't be counted is named, and the others are counted all the same.
pub fn census(args: &CensusArgs) -> Result<ExitCode, CommandError> {
    let facts = facts::read_types(args.kernel.btf.clone())?;
    let mut censor = Censor::load(&facts)?;
    // Nothing keeps walks from one run to the next yet.
    let rates = Rates::default();
    let mut code = ExitCode::SUCCESS;
    for dir in &args.dirs {
        match count(&mut censor, dir, args.deadline, rates) {
            Ok(report) => report
                .print(&mut io::stdout().lock(), args.format)
                .map_err(CommandError::io(OUTPUT))?,
            Err(error) => {
                logging::complain(logging::PROGRAM, error);
                code = ExitCode::from(2);
            }
        }
    }
    Ok(code)
}

fn count(
    censor: &mut Censor,
    dir: &PathBuf,
    deadline: Duration,
    rates: Rates,
) -> Result<CensusReport, CommandError> {
    let name = escape(dir.as_os_str().as_encoded_bytes());
    // O_PATH: the directory itself is neither read nor is permission to read it needed.
    let file = open(
        Path::new(dir),
        OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
    .map_err(|errno| CommandError::io(name.clone())(errno.into()))?;
    let failed = |source: CensusError| CommandError::Directory {
        name: name.clone(),
        source,
    };
    let found = censor.find(file.as_fd()).map_err(failed)?;
    let census = censor.count(&found.directory, deadline).map_err(failed)?;
    Ok(CensusReport {
        path: dir.as_os_str().as_encoded_bytes().to_vec(),
        fstype: found.fstype,
        template: template(&census.samples),
        census,
        rates,
    })
}
