//! A walk whose end nobody saw: it is found, and nothing waits for it.

use std::{fs, process::Command};

use anyhow::Context as _;
use aya::maps::{HashMap, Map, MapData, loaded_maps};
use fslockup_ebpf::WalkRecord;
use fslockup_tests::{task, workload};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::stage::{checks::Checks, detector::Detector, incident, kernel};

const CHILDREN_COUNT: u64 = 40_000;
const RECORD_BYTES: usize = size_of::<WalkRecord>();

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::flooded_dir(CHILDREN_COUNT)?;
    let config = kernel::disk().join("stale-walk.toml");
    fs::write(
        &config,
        "walk-threshold = \"1ms\"\nincident-threshold = \"2ms\"\n",
    )?;
    let config = config.to_str().context("a path of ours")?;
    let mut detector = Detector::start(&["--config", config])?;
    let mut walks = walks_of_detector()?;
    let tid = dead_task()?;
    let key = u64::from(tid);
    walks.insert(key, stale(tid)?, 0)?;
    kernel::wait_until("the walk of a dead task is gone", || {
        Ok(walks.get(&key, 0).is_err())
    })?;
    // A reload waits until no walk runs.
    fs::write(
        config,
        "walk-threshold = \"1ms\"\nincident-threshold = \"1ms\"\n",
    )?;
    let pid = Pid::from_raw(i32::try_from(detector.pid())?);
    kill(pid, Signal::SIGHUP)?;
    detector.wait_for("thresholds", |line| line["type"] == "thresholds")?;
    let calls = workload::watch(&dir, &[])?;
    let call = calls.first().context("no call")?;
    detector.wait_for("incident", |line| line["type"] == "incident")?;
    let ended = detector.end(Signal::SIGTERM)?;
    let incidents = ended.incidents()?;
    incident::of_call(checks, &incidents, call)?;
    checks.equal("incidents", incidents.len(), 1);
    let told = ended.running();
    checks.that(
        "it was not told of as running",
        told.iter().all(|line| line["walk"]["tid"] != tid),
        format!("{told:?}"),
    );
    let summary = ended.summary().context("no summary")?;
    checks.equal(
        "the end that was missed is counted",
        summary["lost"]["missed_exits_count"].as_u64(),
        Some(1),
    );
    Ok(())
}

/// The map of running walks, as anybody with the right to do so can open it.
fn walks_of_detector() -> anyhow::Result<HashMap<MapData, u64, [u8; RECORD_BYTES]>> {
    for info in loaded_maps() {
        let info = info?;
        if info.name_as_str() == Some("WALKS") {
            let map = Map::HashMap(MapData::from_id(info.id())?);
            return Ok(HashMap::try_from(map)?);
        }
    }
    anyhow::bail!("no map WALKS is loaded")
}

/// A process that has been waited for.
fn dead_task() -> anyhow::Result<u32> {
    let mut child = Command::new("workload").arg("--version").spawn()?;
    child.wait()?;
    Ok(child.id())
}

/// What its walk would have left, had it died in it: of a second ago, so that it is over every threshold.
fn stale(tid: u32) -> anyhow::Result<[u8; RECORD_BYTES]> {
    let start_ns = task::monotonic_ns()?.saturating_sub(1_000_000_000);
    // SAFETY: a record is integers and arrays of them.
    let mut record: WalkRecord = unsafe { std::mem::zeroed() };
    record.kind = fslockup_ebpf::kind::WALK;
    record.start_ns = start_ns;
    record.pid = tid;
    record.tid = tid;
    let mut bytes = [0; RECORD_BYTES];
    // SAFETY: as many bytes as the record has, which has no padding.
    unsafe {
        bytes
            .as_mut_ptr()
            .cast::<WalkRecord>()
            .write_unaligned(record)
    };
    Ok(bytes)
}
