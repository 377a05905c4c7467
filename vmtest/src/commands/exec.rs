//! `vmtest exec`: one program of this host, in a guest.

use std::{
    env,
    io::{self, IsTerminal, Write},
    path::Path,
    sync::atomic::AtomicBool,
};

use anyhow::{Context, Result, bail};

use super::{HARNESS_FAILED, INTERRUPTED};
use crate::{
    cli::ExecArgs,
    guest,
    image::{Content, libraries},
    leftovers::Private,
    manifest::kernels::Kernels,
    protocol::{Ended, GuestCommand, Job, Message, Stream},
    vm::{self, End, artifacts::Files},
};

const NAME: &str = "exec";

/// Runs it; returns the exit code to pass on.
///
/// # Errors
/// When the guest can't be made.
pub fn run(arguments: &ExecArgs, kernels: &Kernels, is_interrupted: &AtomicBool) -> Result<i32> {
    let mut guest = guest::prepare(&arguments.guest, kernels, is_interrupted)?;
    if io::stderr().is_terminal() {
        complain!(
            "kernel {}, accelerator {} ({})",
            guest.kernel.name,
            guest.chosen.accelerator.name(),
            guest.chosen.reason
        );
    }
    let argv = add_program(&mut guest.content, &arguments.argv)?;
    let time_limit_ms = u64::try_from(arguments.time_limit.as_millis()).unwrap_or(u64::MAX);
    let command = GuestCommand {
        scenario: NAME.into(),
        argv,
        time_limit_ms,
    };
    let job = Job {
        commands: vec![command],
        keeps_all: arguments.out.is_some(),
        ..Job::default()
    };
    let logs = Private::temporary().context("directory for the guest's logs")?;
    let request = guest.request(job, logs.path().join("console.log"));
    let mut files = Files::new(arguments.out.as_deref().map(|out| out.join(NAME)));
    let mut ended: Option<Ended> = None;
    let mut boot = || {
        vm::run(&request, is_interrupted, |message| match message {
            Message::Output(Stream::Stdout, bytes) => pass_on(&mut io::stdout(), &bytes),
            Message::Output(Stream::Stderr, bytes) => pass_on(&mut io::stderr(), &bytes),
            Message::Ended(how) => ended = Some(how),
            Message::Trouble(text) => log::warn!("guest: {text}"),
            other => files.take(&other),
        })
    };
    let mut end = boot()?;
    // Nothing of the program has been seen yet.
    if matches!(
        end,
        End::Misexecuted {
            has_booted: false,
            ..
        }
    ) {
        complain!("guest {end}, booting again");
        end = boot()?;
    }
    for problem in files.problems() {
        complain!("{problem}");
    }
    verdict(&end, ended.as_ref(), arguments, &request.console)
}

/// Sees to it that the program is in the image; returns the command as the guest runs it.
fn add_program(content: &mut Content, argv: &[String]) -> Result<Vec<String>> {
    let mut argv = argv.to_vec();
    // The guest's own programs go by their names; a path means that very file.
    if !argv[0].contains('/') && content.programs.iter().any(|path| path.ends_with(&argv[0])) {
        return Ok(argv);
    }
    match libraries::find(&argv[0], &env::var("PATH").unwrap_or_default()) {
        Ok(program) => {
            let name = program
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            content.programs.retain(|path| !path.ends_with(&name));
            content
                .host_programs
                .push((program, format!("/bin/{name}")));
            argv[0] = name;
            Ok(argv)
        }
        // busybox, or what --copy put there, may still have it.
        Err(_) if content.has_busybox || !content.copies.is_empty() => Ok(argv),
        Err(error) => bail!(error),
    }
}

/// A closed pipe on our side is no reason to stop the guest's program.
fn pass_on(stream: &mut impl Write, bytes: &[u8]) {
    let _ = stream.write_all(bytes);
    let _ = stream.flush();
}

fn verdict(end: &End, ended: Option<&Ended>, arguments: &ExecArgs, console: &Path) -> Result<i32> {
    match (end, ended) {
        (End::Finished, Some(ended)) if ended.is_timed_out => {
            let limit = humantime::format_duration(arguments.time_limit);
            complain!(
                "timed out: {} did not end in {limit} (give it more with --time-limit)",
                arguments.argv[0]
            );
            Ok(HARNESS_FAILED)
        }
        (End::Finished, Some(ended)) => Ok(ended.shell_code()),
        (End::Interrupted, _) => Ok(INTERRUPTED),
        (end, _) => {
            let kept = keep_console(arguments.out.as_deref(), console)?;
            complain!("guest {end}{kept}");
            Ok(HARNESS_FAILED)
        }
    }
}

fn keep_console(out: Option<&Path>, console: &Path) -> Result<String> {
    let Some(out) = out else {
        return Ok(String::new());
    };
    std::fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    let kept = out.join("console.log");
    std::fs::copy(console, &kept).with_context(|| kept.display().to_string())?;
    Ok(format!(" (console: {})", kept.display()))
}
