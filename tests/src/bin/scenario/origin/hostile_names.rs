//! Names made to harm the one who reads them: nothing of them reaches the output raw.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process::{Child, Command},
};

use anyhow::Context as _;
use fslockup_tests::{
    times::{Part, spent},
    workload,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::stage::{
    checks::Checks,
    detector,
    kernel::{self, wait_until},
    producers::{OPTIONS, Program, in_cgroup, origin},
};

/// Names that each prefix begins.
const NAMES_COUNT: u64 = 200;

/// What follows a prefix: 16 digits.
const DIGITS_BYTES: usize = 16;
/// `NAME_MAX`.
const NAME_BYTES_MAX: usize = 255;

/// The name of the tasks, too: it is that of the program's file. A digit follows, because processes that
/// are alike are told as one.
const PROGRAM: &[u8] = b"e\x1b[31m\nv\xffil";

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let dir =
        kernel::new_dir("hostile-names")?.join(OsStr::from_bytes(b"d\x1b]0;x\x07\n\xe2\x80\xae"));
    fs::create_dir(&dir)?;
    let json = Run::start("json")?;
    let text = Run::start("text")?;
    let long = vec![b'l'; NAME_BYTES_MAX - DIGITS_BYTES];
    let prefixes: [&[u8]; 6] = [
        b"x\x1b[2J",
        b"new\nline\r\t",
        b"\xff\xfe\x80",
        b"<16 hex>|<%s>",
        "\u{9b}31m\u{202e}\u{2028}".as_bytes(),
        &long,
    ];
    in_cgroup(OsStr::from_bytes(b"x\x1b[1m.service"), || {
        for (number, prefix) in prefixes.iter().enumerate() {
            let name = [PROGRAM, number.to_string().as_bytes()].concat();
            Program::named(OsStr::from_bytes(&name))?.run(&flood_args(&dir, prefix))?;
        }
        Ok(())
    })?;
    workload::watch(&dir, &[])?;
    let text = text.ended_behind("origin")?;
    let json = json.ended_behind("\"type\":\"incident\"")?;
    is_harmless(checks, "run, text", &text);
    is_harmless(checks, "run, JSON", &json);
    told(checks, &json, prefixes.len())?;

    // The one is there, the other is not.
    let names = [
        OsString::from(&dir),
        OsString::from(dir.join(OsStr::from_bytes(b"not\x1b[2Jthere"))),
    ];
    for format in ["text", "json"] {
        let mut command = Command::new("fslockup");
        command.args(["census", "--format", format]).args(&names);
        let output = detector::output(&mut command)?;
        checks.equal(
            format!("census, {format}: exit code"),
            output.status.code(),
            Some(2),
        );
        is_harmless(
            checks,
            &format!("census of none, {format}, stderr"),
            &output.stderr,
        );
        is_harmless(checks, &format!("census, {format}"), &output.stdout);
        if format == "json" {
            lines(checks, "census", &output.stdout);
        }
    }
    Ok(())
}

fn flood_args(dir: &Path, prefix: &[u8]) -> Vec<OsString> {
    let count = NAMES_COUNT.to_string();
    let args: [&OsStr; 7] = [
        OsStr::new("flood"),
        OsStr::new("--dir"),
        dir.as_os_str(),
        OsStr::new("--count"),
        OsStr::new(&count),
        OsStr::new("--prefix"),
        OsStr::from_bytes(prefix),
    ];
    args.iter().map(OsString::from).collect()
}

/// Each producer is there, its names escaped but whole.
fn told(checks: &mut Checks, json: &[u8], producers_count: usize) -> anyhow::Result<()> {
    let all = lines(checks, "run", json);
    let incident = all
        .iter()
        .find(|line| line["type"] == "incident")
        .context("no incident")?;
    let producers = origin(incident);
    checks.equal("producers", producers.len(), producers_count);
    checks.that(
        "their name and program are escaped, nothing left out",
        producers.iter().all(|producer| {
            let comm = producer["comm"].as_str().unwrap_or_default();
            comm.starts_with("e\\x1b[31m\\x0av\\xffil")
                && producer["exe"] == format!("/tmp/programs/{comm}")
        }),
        incident["origin"].to_string(),
    );
    let samples: Vec<_> = producers
        .iter()
        .filter_map(|producer| producer["samples"][0].as_str())
        .collect();
    let starts = [
        "x\\x1b[2J",
        "new\\x0aline\\x0d\\x09",
        "\\xff\\xfe\\x80",
        "<16 hex>|<%s>",
        "\\u{9b}31m\\u{202e}\\u{2028}",
        "llllllll",
    ];
    for start in starts {
        checks.that(
            format!("a sample begins with {start:?}"),
            samples.iter().any(|sample| sample.starts_with(start)),
            format!("{samples:?}"),
        );
    }
    Ok(())
}

/// UTF-8 without anything that a terminal takes as an order.
fn is_harmless(checks: &mut Checks, what: &str, bytes: &[u8]) {
    let found = std::str::from_utf8(bytes).map_err(|error| error.to_string());
    let bad = found.map(|text| {
        text.chars()
            .filter(|character| {
                let is_turn = matches!(character, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
                *character != '\n' && (character.is_control() || is_turn)
            })
            .collect::<Vec<_>>()
    });
    checks.equal(format!("{what}: nothing raw"), bad, Ok(Vec::new()));
    checks.that(
        format!("{what}: there is some"),
        !bytes.is_empty(),
        format!("{} bytes", bytes.len()),
    );
}

/// Lines of JSON, one object each.
fn lines(checks: &mut Checks, what: &str, bytes: &[u8]) -> Vec<Value> {
    let parsed: Vec<_> = bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap_or(Value::Null))
        .collect();
    checks.that(
        format!("{what}: each line is an object"),
        !parsed.is_empty() && parsed.iter().all(Value::is_object),
        format!("{} lines", parsed.len()),
    );
    parsed
}

/// `fslockup run`, of which every byte of output is kept.
struct Run {
    child: Child,
    output: PathBuf,
}

impl Run {
    /// Starts it and waits until it is attached.
    fn start(format: &str) -> anyhow::Result<Self> {
        let output = kernel::out_dir().join(format!("{format}.out"));
        let mut command = Command::new("fslockup");
        command.args(["run", "--format", format]).args(OPTIONS);
        command.stdout(File::create(&output)?);
        spent(Part::Starts, || {
            let child = command.spawn().context("fslockup")?;
            let run = Self { child, output };
            wait_until("fslockup is attached", || {
                Ok(fs::metadata(&run.output)?.len() > 0)
            })?;
            Ok(run)
        })
    }

    /// Ends it as soon as it has said something; what it said.
    fn ended_behind(mut self, needle: &str) -> anyhow::Result<Vec<u8>> {
        wait_until(needle, || {
            let said = fs::read(&self.output)?;
            Ok(said
                .windows(needle.len())
                .any(|part| part == needle.as_bytes()))
        })?;
        kill(
            Pid::from_raw(i32::try_from(self.child.id())?),
            Signal::SIGTERM,
        )?;
        let status = spent(Part::Stops, || self.child.wait())?;
        anyhow::ensure!(status.success(), "fslockup: {status}");
        Ok(fs::read(&self.output)?)
    }
}
