//! The whole story on one screen: a flood of lookups, a watch, and what `fslockup` tells of the
//! freeze. Runs in a guest: `just demo`.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::Context as _;
use fslockup_tests::{Account, background::Background, workload};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const DIR: &str = "/mnt/disk/spool";
const COUNT: u64 = 600_000;

fn main() -> anyhow::Result<()> {
    let mut detector = Command::new("fslockup")
        .arg("run")
        .stdout(Stdio::piped())
        .spawn()
        .context("fslockup run")?;
    let output = BufReader::new(detector.stdout.take().context("its output")?);
    let mut lines = output.lines();
    println!("$ fslockup run &");
    // Its first line says that it is attached.
    if let Some(line) = lines.next() {
        println!("{}", line?);
    }
    let dir = Path::new(DIR);
    println!("\n# a program looks up names that do not exist, over and over");
    println!("$ workload flood --dir {DIR} --count {COUNT}");
    print!("{}", workload::flood(dir, COUNT, 1)?);
    println!("\n# others use the directory, each on its CPU");
    let lookups = ["lookup", "--dir", DIR, "--cpus", "0,1,2"];
    println!("$ workload {} &", lookups.join(" "));
    let lookups = Background::start(&lookups)?;
    println!("\n# another one puts a watch on it\n$ workload watch --dir {DIR}");
    for call in workload::watch(dir, &[])? {
        println!(
            "{} returned after {} µs\n",
            call.syscall,
            call.call_ns() / 1_000
        );
    }
    lookups.stop::<Account>()?;
    end(&detector)?;
    for line in lines {
        println!("{}", line?);
    }
    anyhow::ensure!(detector.wait()?.success(), "fslockup failed");
    Ok(())
}

fn end(detector: &Child) -> anyhow::Result<()> {
    kill(Pid::from_raw(i32::try_from(detector.id())?), Signal::SIGINT)?;
    Ok(())
}
