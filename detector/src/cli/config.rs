//! The configuration file: options of `run` by their long names, one a line.
//!
//! There is no list of keys. Each visible option of `run` is one, and what the file says becomes that
//! option's default before the command line is parsed: so the command line wins, and a value is
//! accepted in the file if and only if it is accepted there.

mod file;
#[cfg(test)]
mod tests;

use std::{collections::HashSet, ffi::OsString, path::PathBuf};

use clap::{Arg, ArgAction, Args as _, CommandFactory as _, FromArgMatches as _, error::ErrorKind};
use toml::de::{DeTable, DeValue};

pub use file::{DEFAULT_FILE, FileError};

use crate::{
    cli::{Cli, Command, ConfigArgs, RunArgs, first_line},
    escape::escape_rest,
};

/// Options of `run` that are no keys: they say which file.
const NOT_KEYS: [&str; 2] = ["config", "no-config"];

/// Keys that a running detector takes over from a file that is read again.
pub const RELOADED: [&str; 4] = [
    "walk-threshold",
    "incident-threshold",
    "wait-threshold",
    "stall-threshold",
];

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The file; none where there was none.
    pub file: Option<PathBuf>,
    settings: Vec<Setting>,
}

/// One line of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    /// Long name of the option.
    key: String,
    /// What the option would be given: one value, or several where it may be repeated.
    values: Vec<String>,
}

/// What is wrong with the text of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Counted from 1.
    pub line: usize,
    /// In one line, escaped.
    pub reason: String,
}

/// Why there are no options.
#[derive(Debug)]
pub enum Failure {
    /// The command line: a mistake, or a question for help.
    CommandLine(clap::Error),
    /// The file.
    File(FileError),
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        Self::CommandLine(error)
    }
}

/// The command line together with the file that it names, or with [`DEFAULT_FILE`] where that exists.
///
/// # Errors
/// When one of the two is wrong.
pub fn parse(command_line: impl IntoIterator<Item = OsString>) -> Result<Cli, Failure> {
    let command_line: Vec<_> = command_line.into_iter().collect();
    let cli = from(Cli::command(), &command_line)?;
    let config = match &cli.command {
        Command::Run(args) => &args.config,
        Command::Check(args) => &args.config,
        _ => return Ok(cli),
    };
    let Some(config) = load(config).map_err(Failure::File)? else {
        return Ok(cli);
    };
    let mut cli = from(config.as_defaults(Cli::command()), &command_line)?;
    if let Command::Run(args) = &mut cli.command {
        args.file = config;
    }
    Ok(cli)
}

fn from(mut command: clap::Command, command_line: &[OsString]) -> Result<Cli, clap::Error> {
    let matches = command.try_get_matches_from_mut(command_line)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

fn load(args: &ConfigArgs) -> Result<Option<Config>, FileError> {
    let text = match &args.config {
        Some(path) => Some((path.clone(), file::read(path)?)),
        None if args.no_config => None,
        None => file::read_default()?,
    };
    let Some((path, bytes)) = text else {
        return Ok(None);
    };
    match Config::from_bytes(&bytes) {
        Ok(config) => Ok(Some(Config {
            file: Some(path),
            ..config
        })),
        Err(mistake) => Err(FileError::Mistake {
            path,
            line: mistake.line,
            reason: mistake.reason,
        }),
    }
}

/// The options of `run` alone.
fn run_command() -> clap::Command {
    RunArgs::augment_args(clap::Command::new("run")).no_binary_name(true)
}

/// The options that are keys.
fn keys(command: &clap::Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| {
        !arg.is_hide_set() && arg.get_long().is_some_and(|long| !NOT_KEYS.contains(&long))
    })
}

impl Config {
    /// Understands a file, to its last value.
    ///
    /// # Errors
    /// The first mistake.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Mistake> {
        let text = std::str::from_utf8(bytes).map_err(|error| Mistake {
            line: line_of(bytes, error.valid_up_to()),
            reason: "not UTF-8".to_owned(),
        })?;
        let mistake = |at: usize, reason: &str| Mistake {
            line: line_of(bytes, at),
            reason: escape_rest(reason.lines().next().unwrap_or_default()),
        };
        let table = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            mistake(at, error.message())
        })?;
        let command = run_command();
        let mut settings = Vec::new();
        let mut entries: Vec<_> = table.get_ref().iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let arg = keys(&command)
                .find(|arg| arg.get_long() == Some(key.get_ref()))
                .ok_or_else(|| mistake(key.span().start, &unknown(&command, key.get_ref())))?;
            let wrong = |reason: &str| mistake(value.span().start, reason);
            let values = values(arg, value.get_ref()).map_err(|reason| wrong(&reason))?;
            let setting = Setting {
                key: key.get_ref().to_string(),
                values,
            };
            setting
                .try_out(&command, arg)
                .map_err(|reason| wrong(&reason))?;
            settings.push(setting);
        }
        Ok(Self {
            file: None,
            settings,
        })
    }

    /// What the file says becomes the defaults of `run`.
    fn as_defaults(&self, command: clap::Command) -> clap::Command {
        let options = run_command();
        command.mut_subcommand("run", |run| {
            self.settings.iter().fold(run, |run, setting| {
                let id = keys(&options)
                    .find(|arg| arg.get_long() == Some(&setting.key))
                    .map(|arg| arg.get_id().clone());
                let Some(id) = id else { return run };
                run.mut_arg(id, |arg| arg.default_values(setting.values.clone()))
            })
        })
    }

    /// Keys whose values differ between two files and that only a new start takes over.
    #[must_use]
    pub fn changes_for_restart(&self, other: &Self) -> Vec<String> {
        let of = |config: &Self| -> HashSet<(String, Vec<String>)> {
            let settings = config.settings.iter();
            settings
                .filter(|setting| !RELOADED.contains(&setting.key.as_str()))
                .map(|setting| (setting.key.clone(), setting.values.clone()))
                .collect()
        };
        let mut keys: Vec<_> = of(self)
            .symmetric_difference(&of(other))
            .map(|(key, _)| key.clone())
            .collect();
        keys.sort();
        keys.dedup();
        keys
    }
}

impl Setting {
    /// Parses the value as the option would.
    fn try_out(&self, command: &clap::Command, arg: &Arg) -> Result<(), String> {
        if matches!(arg.get_action(), ArgAction::SetTrue) {
            return Ok(());
        }
        let words = self
            .values
            .iter()
            .map(|value| format!("--{}={value}", self.key));
        match command.clone().try_get_matches_from(words) {
            Ok(_) => Ok(()),
            // What else the command line needs is not the file's mistake.
            Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => Ok(()),
            Err(error) => Err(first_line(&error)),
        }
    }
}

/// What the option would be given on the command line.
fn values(arg: &Arg, value: &DeValue<'_>) -> Result<Vec<String>, String> {
    match (arg.get_action(), value) {
        (ArgAction::SetTrue, DeValue::Boolean(on)) => Ok(vec![on.to_string()]),
        (ArgAction::SetTrue, _) => Err("expected true or false".to_owned()),
        (ArgAction::Append, DeValue::Array(values)) => {
            values.iter().map(|value| one(value.get_ref())).collect()
        }
        (ArgAction::Set | ArgAction::Append, value) => Ok(vec![one(value)?]),
        _ => Err("not to be had in a file".to_owned()),
    }
}

fn one(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map(|number| number.to_string())
            .map_err(|error| error.to_string()),
        _ => Err("expected a string in quotes, or a whole number".to_owned()),
    }
}

fn unknown(command: &clap::Command, key: &str) -> String {
    let known: Vec<_> = keys(command).filter_map(Arg::get_long).collect();
    format!("unknown key '{key}' (known are {})", known.join(", "))
}

/// The line that a byte is in.
fn line_of(text: &[u8], at: usize) -> usize {
    let before = &text[..at.min(text.len())];
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}
