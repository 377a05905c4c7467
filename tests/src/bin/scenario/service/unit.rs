//! `fslockup run` as its unit starts it: another user with six capabilities, a mount table of its own, a
//! manager that wants to hear from it, a journal, and a file that is read again.
//!
//! There is no systemd in the guest: the scenario is the manager and the journal.

use std::{
    fs::{self, File},
    io::ErrorKind,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        net::UnixDatagram,
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use caps::{CapSet, Capability, CapsHashSet};
use fslockup_tests::workload;
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::{
        inotify::{AddWatchFlags, InitFlags, Inotify},
        resource::{RLIM_INFINITY, Resource, setrlimit},
        signal::{Signal, kill},
    },
    unistd::Pid,
};
use serde_json::Value;

use crate::stage::{
    checks::Checks,
    detector::{self, Detector},
    kernel::{self, PATIENCE},
    systemd::status,
};

/// Those of packaging/fslockup.service.
const STARTED_WITH: [Capability; 6] = [
    Capability::CAP_BPF,
    Capability::CAP_PERFMON,
    Capability::CAP_SYSLOG,
    Capability::CAP_SYS_PTRACE,
    Capability::CAP_DAC_READ_SEARCH,
    Capability::CAP_SYS_ADMIN,
];

/// Enough for some 5 ms under emulation.
const CHILDREN_COUNT: u64 = 60_000;

/// Nobody, on every system.
const USER: u32 = 65534;

/// The manager wants a sign of life this often.
const WATCHDOG: Duration = Duration::from_secs(2);

const HIGH: &str = "walk-threshold = \"100s\"\nincident-threshold = \"100s\"\n";
const LOW: &str = "walk-threshold = \"1ms\"\nincident-threshold = \"1ms\"\nformat = \"json\"\n";

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::new_dir("service")?;
    let config = PathBuf::from("/tmp/service.toml");
    fs::write(&config, HIGH)?;
    let manager = socket("/run/fslockup-notify")?;
    let journal = socket("/run/systemd/journal/socket")?;
    let stderr = Path::new("/tmp/service.stderr");
    let mut detector = start(&config, stderr)?;
    let pid = Pid::from_raw(i32::try_from(detector.pid())?);

    let ready = told(&manager, "READY=1")?;
    checks.that(
        "ready comes with a status",
        ready.contains("STATUS=walks of 100 s"),
        &ready,
    );
    let programs = kernel::programs()?;
    checks.that(
        "it is ready when it is attached",
        programs.iter().any(|name| name.starts_with("walk_")),
        format!("{programs:?}"),
    );
    for _ in 0..2 {
        told(&manager, "WATCHDOG=1")?;
    }
    privileges(checks, detector.pid())?;

    workload::flood(&dir, CHILDREN_COUNT, 8)?;
    workload::watch(&dir, &[])?;

    // A file that is wrong changes nothing.
    fs::write(&config, "walk-threshold = \"1ms\"\nwalk-treshold = 1\n")?;
    kill(pid, Signal::SIGHUP)?;
    told(&manager, "RELOADING=1\nMONOTONIC_USEC=")?;
    let ready = told(&manager, "READY=1")?;
    checks.that(
        "still with the old thresholds",
        ready.contains("STATUS=walks of 100 s"),
        &ready,
    );
    let said = fs::read_to_string(stderr)?;
    checks.that(
        "the mistake is told with its line",
        said.starts_with("fslockup: /tmp/service.toml:2: unknown key 'walk-treshold'")
            && said.lines().count() == 1,
        &said,
    );
    workload::watch(&dir, &[])?;

    fs::write(&config, LOW)?;
    kill(pid, Signal::SIGHUP)?;
    let changed = detector.wait_for("thresholds", |_| true)?;
    checks.equal(
        "the first line is about thresholds: no walk was told before",
        (
            changed["type"].as_str(),
            changed["walk_threshold_ns"].as_u64(),
        ),
        (Some("thresholds"), Some(1_000_000)),
    );
    told(&manager, "RELOADING=1\n")?;
    told(&manager, "READY=1\nSTATUS=walks of 1")?;
    let said = fs::read_to_string(stderr)?;
    checks.equal(
        "what takes a restart is named",
        said.lines().nth(1),
        Some("fslockup: format: the change takes a restart"),
    );

    // This process stays: of one that is gone the program is not known.
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
    inotify.add_watch(&dir, AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_OPEN)?;
    let incident = detector.wait_for("incident", |line| line["type"] == "incident")?;
    whole(checks, &incident, &dir)?;
    journalled(checks, &journal, &incident)?;
    kill(pid, Signal::SIGTERM)?;
    told(&manager, "STOPPING=1")?;
    let ended = detector.end(Signal::SIGTERM)?;
    checks.equal("exit code", ended.code, Some(0));
    let summary = ended.summary().cloned().unwrap_or_default();
    checks.that(
        "both walks before were seen and below the threshold",
        summary["walks_below_threshold_count"].as_u64() >= Some(2)
            && summary["walks_reported_count"] == 1,
        summary.to_string(),
    );
    as_root(checks)
}

/// Root gives up as much, and the way to get it back from a program file.
fn as_root(checks: &mut Checks) -> anyhow::Result<()> {
    let detector = Detector::start(&[])?;
    let pid = detector.pid();
    // The first line is printed right before, and this is the last step.
    kernel::wait_until(
        "no new privileges",
        || Ok(status(pid, "NoNewPrivs")? == "1"),
    )?;
    checks.equal("CapBnd of root's", capabilities(pid, "CapBnd")?, 0);
    let kept = Capability::CAP_SYS_ADMIN.bitmask() | Capability::CAP_SETPCAP.bitmask();
    let permitted = capabilities(pid, "CapPrm")?;
    checks.equal("CapPrm of root's has none of the two", permitted & kept, 0);
    detector::nothing_lost(checks, &detector.end(Signal::SIGTERM)?);
    Ok(())
}

/// As nobody, with what the unit gives, in a mount table in which the disk is hidden.
fn start(config: &Path, stderr: &Path) -> anyhow::Result<Detector> {
    let log = File::create(stderr)?;
    let stream = log.metadata()?;
    let recording = kernel::out_dir().join("service.recording");
    // Its directory is root's.
    File::create(&recording)?.set_permissions(fs::Permissions::from_mode(0o666))?;
    let mut command = Command::new("fslockup");
    command
        .args(["run", "--format", "json", "--config"])
        .arg(config)
        // Programs take many times as long under emulation: measured, but nothing goes.
        .args(["--cpu-budget", "1000%"])
        .arg("--record")
        .arg(&recording)
        .env("NOTIFY_SOCKET", "/run/fslockup-notify")
        .env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string())
        .env(
            "JOURNAL_STREAM",
            format!("{}:{}", stream.dev(), stream.ino()),
        )
        .stderr(Stdio::from(log));
    // SAFETY: the closure makes system calls and allocates; this process has no other thread that could
    // hold a lock of the allocator.
    unsafe { command.pre_exec(|| become_service().map_err(std::io::Error::other)) };
    Detector::start_as(command, recording)
}

fn become_service() -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    mount(none, "/mnt", Some("tmpfs"), MsFlags::empty(), none)?;
    // LimitMEMLOCK=infinity
    setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY)?;
    nix::sys::prctl::set_keepcaps(true)?;
    let user = nix::unistd::Uid::from_raw(USER);
    nix::unistd::setresgid(
        nix::unistd::Gid::from_raw(USER),
        nix::unistd::Gid::from_raw(USER),
        nix::unistd::Gid::from_raw(USER),
    )?;
    nix::unistd::setresuid(user, user, user)?;
    let only: CapsHashSet = STARTED_WITH.into_iter().collect();
    caps::set(None, CapSet::Permitted, &only)?;
    caps::set(None, CapSet::Inheritable, &only)?;
    caps::set(None, CapSet::Ambient, &only)?;
    Ok(())
}

fn socket(path: &str) -> anyhow::Result<UnixDatagram> {
    let path = Path::new(path);
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let socket = UnixDatagram::bind(path).with_context(|| path.display().to_string())?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// The next message that begins so; others are passed over.
fn told(manager: &UnixDatagram, start: &str) -> anyhow::Result<String> {
    let mut seen = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let mut bytes = [0; 4096];
        let count = match manager.recv(&mut bytes) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error).context("the manager's socket"),
        };
        let message = String::from_utf8_lossy(&bytes[..count]).into_owned();
        if message.starts_with(start) {
            return Ok(message);
        }
        seen.push(message);
    }
    anyhow::bail!("the manager was not told {start:?}, but {seen:?}")
}

/// One of a process's sets of capabilities.
fn capabilities(pid: u32, set: &str) -> anyhow::Result<u64> {
    Ok(u64::from_str_radix(&status(pid, set)?, 16)?)
}

/// What is left of them when it is attached.
fn privileges(checks: &mut Checks, pid: u32) -> anyhow::Result<()> {
    let mut expected =
        Capability::CAP_SYS_PTRACE.bitmask() | Capability::CAP_DAC_READ_SEARCH.bitmask();
    // Debian's value 2 lets nobody else call bpf(2) at all; since 5.19 only loading is refused.
    if !may_use_maps_of_others()? {
        expected |= Capability::CAP_BPF.bitmask();
    }
    // Raised for moments, to measure programs and to attach them again.
    let aside = [
        Capability::CAP_BPF,
        Capability::CAP_PERFMON,
        Capability::CAP_SYS_ADMIN,
    ];
    let aside = aside.iter().fold(expected, |sum, one| sum | one.bitmask());
    for (name, expected) in [("CapEff", expected), ("CapPrm", aside)] {
        let seen = capabilities(pid, name)?;
        checks.equal(name, format!("{seen:#x}"), format!("{expected:#x}"));
    }
    for name in ["CapInh", "CapAmb"] {
        checks.equal(name, capabilities(pid, name)?, 0);
    }
    checks.equal("NoNewPrivs", status(pid, "NoNewPrivs")?.as_str(), "1");
    Ok(())
}

/// Whether a process without capabilities may look into a map that it was given: asked of the kernel.
fn may_use_maps_of_others() -> anyhow::Result<bool> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| -> anyhow::Result<bool> {
            caps::clear(None, CapSet::Effective)?;
            // BPF_MAP_LOOKUP_ELEM of no map: the refusal comes before the look at what was asked.
            let mut attributes = [0u8; 64];
            attributes[..4].copy_from_slice(&u32::MAX.to_ne_bytes());
            // SAFETY: bpf(2) with its command, as many bytes as are given, all of which are there.
            let outcome = unsafe {
                nix::libc::syscall(
                    nix::libc::SYS_bpf,
                    1,
                    attributes.as_mut_ptr(),
                    attributes.len(),
                )
            };
            let error = std::io::Error::last_os_error();
            anyhow::ensure!(outcome == -1, "a look into no map");
            match error.raw_os_error() {
                Some(nix::libc::EPERM) => Ok(false),
                Some(nix::libc::EBADF) => Ok(true),
                _ => Err(error).context("a look into no map"),
            }
        });
        thread
            .join()
            .map_err(|_| anyhow::anyhow!("the thread panicked"))?
    })
}

/// Nothing is missing in it though the privileges are gone and the disk is hidden.
fn whole(checks: &mut Checks, incident: &Value, dir: &Path) -> anyhow::Result<()> {
    let walk = &incident["walk"];
    checks.equal("path", walk["path"].as_str(), dir.to_str());
    checks.equal(
        "program of the walker",
        walk["exe"].as_str(),
        std::env::current_exe()?.to_str(),
    );
    checks.that(
        "children were counted",
        walk["children_count"].as_u64() >= Some(CHILDREN_COUNT),
        walk["children_count"].to_string(),
    );
    let producer = &incident["origin"][0];
    checks.equal("who made them", producer["comm"].as_str(), Some("workload"));
    checks.that(
        "program of who made them",
        producer["exe"].as_str() == Some("/bin/workload"),
        producer.to_string(),
    );
    Ok(())
}

/// The incident in the journal, in the journal's own form.
fn journalled(checks: &mut Checks, journal: &UnixDatagram, incident: &Value) -> anyhow::Result<()> {
    let mut bytes = vec![0; 256 << 10];
    let count = journal
        .recv(&mut bytes)
        .context("no entry in the journal")?;
    let entry = String::from_utf8_lossy(&bytes[..count]).into_owned();
    for (name, value) in [
        ("FSLOCKUP_TYPE", Some("incident")),
        ("FSLOCKUP_INCIDENT_ID", incident["id"].as_str()),
        ("FSLOCKUP_PATH", incident["walk"]["path"].as_str()),
        ("FSLOCKUP_SEVERITY", incident["severity"].as_str()),
    ] {
        let line = format!("\n{name}={}\n", value.unwrap_or_default());
        checks.that(
            format!("{name} in the journal"),
            entry.contains(&line),
            &entry,
        );
    }
    journal.set_nonblocking(true)?;
    checks.that(
        "nothing else is in it",
        journal.recv(&mut bytes).is_err(),
        &entry,
    );
    Ok(())
}
