//! A kernel made worse on purpose, for tests of comparisons between kernels: words of its command line that
//! no kernel knows, but scenarios do.

use std::{fs, str::FromStr};

use anyhow::Context as _;
use nix::mount::{MsFlags, mount};
use serde_json::Value;

use super::{detector, truth::Truth};

/// How long a probe on the lock of each child that exists delays a walk.
const SLOW_WALK_NS: &str = "scenario.slow_walk_ns=";

/// A file of the kernel's that is empty.
const HIDE: &str = "scenario.hide=";

/// A kernel's own word that keeps much from being attached.
const LOCKDOWN: &str = "lockdown=";

/// Delays walks until it is dropped, where the command line says so.
pub fn slow_walk() -> anyhow::Result<Option<Truth>> {
    let Some(burn_ns) = word(SLOW_WALK_NS)? else {
        return Ok(None);
    };
    let facts: Value = detector::check()?;
    Truth::of_slow_walk(&facts, burn_ns).map(Some)
}

/// Hides a file until the guest ends, where the command line says so.
pub fn hide() -> anyhow::Result<()> {
    let Some(path): Option<String> = word(HIDE)? else {
        return Ok(());
    };
    mount(
        Some("/dev/null"),
        path.as_str(),
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    )
    .with_context(|| format!("hide {path}"))
}

/// Whether the command line says anything that makes this kernel another one than that of its name.
pub fn is_worse() -> anyhow::Result<bool> {
    let line = fs::read_to_string("/proc/cmdline").context("/proc/cmdline")?;
    let mut words = line.split_whitespace();
    Ok(words.any(|word| {
        [SLOW_WALK_NS, HIDE, LOCKDOWN]
            .iter()
            .any(|start| word.starts_with(start))
    }))
}

fn word<T: FromStr<Err: Into<anyhow::Error>>>(name: &str) -> anyhow::Result<Option<T>> {
    let line = fs::read_to_string("/proc/cmdline").context("/proc/cmdline")?;
    let value = line
        .split_whitespace()
        .find_map(|word| word.strip_prefix(name));
    let parsed = value.map(|value| {
        value
            .parse::<T>()
            .map_err(Into::into)
            .with_context(|| format!("{name}{value}"))
    });
    parsed.transpose()
}
