//! How much of the detector this kernel lets in: for comparing kernels.

use std::time::Instant;

use anyhow::Context as _;
use fslockup_tests::{TimedCall, workload};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::stage::{
    checks::Checks,
    detector::{Detector, call, nothing_lost},
    exposure, kernel, worse,
};

/// `check` cannot run here.
const CANNOT_RUN: i32 = 2;

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    worse::hide()?;
    let output = call(&["check", "--format", "json"])?;
    let check: Value = serde_json::from_slice(&output.stdout).with_context(|| {
        String::from_utf8_lossy(&output.stderr)
            .trim_end()
            .to_owned()
    })?;
    let mut data = json!({
        "verdict": check["verdict"],
        "error": check["error"],
        "probes": coverage(&check)?,
        "exposure": check["exposure"],
        "dentry_fields": dentry_fields(&check),
    });
    checks.data(data.clone());
    // Each kernel of the list lets all of it in; a kernel that is only compared may not.
    let is_listed = exposure::listed().is_some() && !worse::is_worse()?;
    if is_listed {
        checks.equal("check: verdict", check["verdict"].as_str(), Some("full"));
        checks.equal("check: exit code", output.status.code(), Some(0));
    }
    if output.status.code() == Some(CANNOT_RUN) {
        let run = call(&["run", "--duration", "1ms"])?;
        checks.equal(
            "run refuses as check does",
            run.status.code(),
            Some(CANNOT_RUN),
        );
        let said = String::from_utf8_lossy(&run.stderr).trim_end().to_owned();
        checks.that("in one line", said.lines().count() == 1, said);
        return Ok(());
    }
    let began = Instant::now();
    let detector = Detector::start(&[])?;
    checks.figure("attach_ms", began.elapsed().as_secs_f64() * 1000.0);
    let attached = &detector.facts["attached"]["probes"];
    checks.that(
        "run attaches what check attached",
        attached.is_array() && *attached == check["attached"]["probes"],
        attached.to_string(),
    );
    data["verified_instructions"] = json!(kernel::verified_instructions()?);
    checks.data(data);
    let short = short_walk(checks)?;
    let began = Instant::now();
    let ended = detector.end(Signal::SIGTERM)?;
    checks.figure("stop_ms", began.elapsed().as_secs_f64() * 1000.0);
    nothing_lost(checks, &ended);
    // What the programs drop they count; user space drops what is left, and does not.
    let summary = ended.lines.last().context("no summary")?;
    checks.that(
        "a walk far below the threshold stays in the kernel",
        summary["walks_below_threshold_count"].as_u64() >= Some(1),
        format!("{summary}, {short:?}"),
    );
    if is_listed {
        exposure::is_right(checks, &check)?;
    }
    exposure::printed(&check, "walk_on_first_watch").map(drop)
}

/// Children of a directory whose walk is far below the threshold (10 ms by default), and far above a thousandth of it.
const SHORT_CHILDREN_COUNT: u64 = 5_000;

/// A watch that is too short to be reported, by its caller's own clock too.
fn short_walk(checks: &mut Checks) -> anyhow::Result<Vec<TimedCall>> {
    let dir = kernel::new_dir("attach-coverage")?;
    workload::flood(&dir, SHORT_CHILDREN_COUNT, 8)?;
    let calls = workload::watch(&dir, &[])?;
    let is_short = |call: &TimedCall| (20_000..5_000_000).contains(&call.call_ns());
    checks.that(
        "a watch takes between 20 us and 5 ms",
        !calls.is_empty() && calls.iter().all(is_short),
        format!("{calls:?}"),
    );
    Ok(calls)
}

/// Byte offsets of the fields of a dentry, by their names.
fn dentry_fields(facts: &Value) -> Value {
    let offsets = facts["offsets"].as_object().into_iter().flatten();
    let fields = offsets.filter_map(|(name, at)| Some((name.strip_prefix("dentry.")?, at)));
    fields
        .map(|(name, at)| (name.to_owned(), at.clone()))
        .collect()
}

/// Each probe: full as its first choice has it, by a fallback, or missing; through what, and what is lost.
fn coverage(facts: &Value) -> anyhow::Result<Vec<Value>> {
    let planned = facts["plan"]["probes"]
        .as_array()
        .context("planned probes")?;
    planned.iter().map(|probe| one(probe, facts)).collect()
}

fn one(probe: &Value, facts: &Value) -> anyhow::Result<Value> {
    let name = &probe["probe"];
    let attached = facts["attached"]["probes"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|attached| attached["probe"] == *name);
    let (state, targets, lost) = match attached {
        None => ("missing", Vec::new(), vec![probe["lost_without"].clone()]),
        Some(attached) => {
            let is_first = attached["targets"] == probe["choices"][0]["targets"];
            let lost = attached["lost"].as_array().context("lost")?.clone();
            let is_full = is_first && lost.is_empty();
            let targets = attached["targets"].as_array().context("targets")?.clone();
            (if is_full { "full" } else { "fallback" }, targets, lost)
        }
    };
    let targets: Vec<String> = targets
        .iter()
        .map(|target| {
            let word = |field: &str| target[field].as_str().unwrap_or_default().to_owned();
            format!("{} {}", word("via"), word("function"))
        })
        .collect();
    Ok(json!({
        "probe": name,
        "is_required": probe["is_required"],
        "state": state,
        "targets": targets,
        "lost": lost,
    }))
}
