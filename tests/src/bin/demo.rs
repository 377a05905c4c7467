//! The whole story on one screen: a flood of lookups, a watch, the walk that `fslockup` caught.
//! Runs in a guest: `just demo`.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use anyhow::Context as _;
use fslockup_tests::TimedCall;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const DIR: &str = "/mnt/disk/spool";

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
    let count = "300000";
    run(
        "a program looks up names that do not exist, over and over",
        &["workload", "flood", "--dir", DIR, "--count", count],
    )?;
    watch()?;
    end(&detector)?;
    for line in lines {
        println!("{}", line?);
    }
    anyhow::ensure!(detector.wait()?.success(), "fslockup failed");
    Ok(())
}

fn run(why: &str, command: &[&str]) -> anyhow::Result<()> {
    println!("\n# {why}\n$ {}", command.join(" "));
    let status = Command::new(command[0])
        .args(&command[1..])
        .status()
        .with_context(|| command.join(" "))?;
    anyhow::ensure!(status.success(), "{} failed", command.join(" "));
    Ok(())
}

fn watch() -> anyhow::Result<()> {
    println!("\n# another one puts a watch on that directory\n$ workload watch --dir {DIR}");
    let output = Command::new("workload")
        .args(["watch", "--dir", DIR])
        .output()
        .context("workload watch")?;
    anyhow::ensure!(
        output.status.success(),
        "workload watch: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let call: TimedCall = serde_json::from_slice(&output.stdout)?;
    println!(
        "{} returned after {} µs\n",
        call.syscall,
        call.call_ns() / 1_000
    );
    Ok(())
}

fn end(detector: &Child) -> anyhow::Result<()> {
    kill(Pid::from_raw(i32::try_from(detector.id())?), Signal::SIGINT)?;
    Ok(())
}
