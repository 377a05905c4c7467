//! The harness against real guests: what it says of them must be what was done to them.
//!
//! A plain `cargo test` leaves these out and says so; `./justw test-harness` runs them. There is no
//! runtime skip: a machine that can't boot guests fails here. `VMTEST_KERNEL` names the kernel
//! (default: 6.1).

mod packages;
#[path = "support/repository.rs"]
#[allow(dead_code, reason = "the tests of the archive use more of it")]
mod repository;
mod support;

use std::{collections::BTreeSet, fs, time::Duration};

use repository::Repository;
use support::{Running, exec, exec_with, kernel, run};

const SECOND: Duration = Duration::from_secs(1);

/// First: without this, nothing else means anything.
#[test]
#[ignore = "boots guests: ./justw test-harness"]
fn every_kernel_of_the_matrix_boots_and_is_the_pinned_one() {
    let scenario = "[every_guest]\nhas_busybox = true\n[[scenario]]\nname = \"boots\"\nsummary = \"s\"\ncommand = [\"true\"]\n\
        disk = { fs = \"ext4\", size_mib = 64 }\ntime_limit_s = 30\n";
    let (output, out) = run(scenario, &[]);
    assert!(output.status.success(), "{output:?}");
    let results: serde_json::Value =
        serde_json::from_slice(&fs::read(out.path().join("results.json")).expect("written"))
            .expect("JSON");
    let kernels = vmtest::manifest::kernels::Kernels::load(None).expect("built in");
    let entries = kernels.entries.iter();
    let all_count = entries.filter(|entry| !entry.is_optional).count();
    // One that never said its first word was booted once more, and is there twice.
    let guests: Vec<_> = results["guests"]
        .as_array()
        .expect("an array")
        .iter()
        .filter(|guest| guest["release"].is_string())
        .collect();
    let booted: BTreeSet<_> = guests
        .iter()
        .map(|guest| guest["kernel"].as_str())
        .collect();
    let excused = results["excused_kernels"]
        .as_array()
        .expect("an array")
        .len();
    assert_eq!(booted.len() + excused, all_count, "{results:#}");
    let versions = results["kernel_versions"].as_array().expect("an array");
    for guest in guests {
        let (name, release) = (
            guest["kernel"].as_str().expect("a name"),
            guest["release"].as_str().expect("a release"),
        );
        let version = versions.iter().find(|one| one["kernel"] == name);
        let version = version.expect("what its name meant");
        let package = version["package"].as_str().expect("a package");
        assert!(
            package.ends_with(release),
            "{name}: {release} is not of {package}"
        );
        let pin = &kernels.pin(name).expect("pinned").package[0];
        let is_pinned = pin.name == package && pin.version == version["version"];
        assert_eq!(version["is_pinned"], is_pinned, "{version}");
        assert_eq!(version["pin_gone"].is_null(), is_pinned, "{version}");
        assert_eq!(
            guest["boot_reports"].as_array().map(Vec::len),
            Some(0),
            "{guest}"
        );
    }
}

/// A kernel that has left the archive, and a run that has no other.
#[test]
#[ignore = "boots guests: ./justw test-harness"]
fn a_kernel_that_left_the_archive_is_named_and_fails_where_it_must_be_the_pinned_one() {
    let scenario =
        "[[scenario]]\nname = \"s\"\nsummary = \"s\"\ncommand = [\"true\"]\ntime_limit_s = 30\n";
    let mut repository = Repository::new(&["gone"]);
    repository.add("gone", 1);
    let update = repository.run(&["fetch", "--update"]);
    assert!(update.status.success(), "{update:?}");
    repository.remove("gone", 1);
    fs::remove_dir_all(repository.cache()).expect("removed");
    let out = tempfile::tempdir().expect("a directory");
    let scenarios = out.path().join("scenarios.toml");
    fs::write(&scenarios, scenario).expect("written");
    let words = [
        "run",
        "--out",
        "out",
        "--scenarios",
        scenarios.to_str().expect("text"),
    ];

    let output = repository.run(&words);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(said.contains("0 passed, 0 failed"), "{said}");
    assert!(
        said.contains("unavailable, 1 scenario not run: kernel gone: no package in test matches"),
        "{said}"
    );

    let output = repository.run(&[&["--locked"], &words[..]].concat());
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(said.contains("0 passed, 1 failed"), "{said}");
    assert!(said.contains("vmtest fetch --update gone"), "{said}");
}

#[test]
#[ignore = "boots guests: ./justw test-harness"]
fn exit_codes_and_signals_pass_through() {
    for (script, code) in [
        ("true", 0),
        ("exit 7", 7),
        ("kill -TERM $$", 143),
        ("no-such-program", 127),
        // The end of a shell's own child reaches it.
        ("(exit 5) & wait $!", 5),
    ] {
        let output = exec(&["sh", "-c", script]);
        assert_eq!(output.status.code(), Some(code), "{script}: {output:?}");
    }
}

#[test]
#[ignore = "boots guests: ./justw test-harness"]
fn stdout_and_stderr_stay_apart_and_whole() {
    let script = "i=0; while [ $i -lt 2000 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done";
    let output = exec(&["sh", "-c", script]);
    let expected = |word: &str| {
        (0..2000)
            .map(|i| format!("{word} {i}\n"))
            .collect::<String>()
    };
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected("out"));
    assert_eq!(String::from_utf8_lossy(&output.stderr), expected("err"));
}

#[test]
#[ignore = "boots guests: ./justw test-harness"]
fn any_bytes_come_through() {
    let output = exec(&[
        "sh",
        "-c",
        "head -c 200000 /dev/urandom > /tmp/x; cat /tmp/x; sha256sum < /tmp/x >&2",
    ]);
    assert_eq!(output.stdout.len(), 200_000);
    let told = String::from_utf8_lossy(&output.stderr)
        .split_whitespace()
        .next()
        .expect("a digest")
        .to_owned();
    assert_eq!(support::sha256(&output.stdout), told);
}

#[test]
#[ignore = "boots guests: ./justw test-harness"]
fn files_arrive_whole() {
    let out = tempfile::tempdir().expect("a directory");
    let script = "mkdir $VMTEST_OUT/d; head -c 300001 /dev/urandom > $VMTEST_OUT/d/f; : > $VMTEST_OUT/empty; sha256sum < $VMTEST_OUT/d/f";
    let out_dir = out.path().to_str().expect("text");
    let output = exec_with(&["--out", out_dir], &["sh", "-c", script]);
    let told = String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .next()
        .expect("a digest")
        .to_owned();
    let file = fs::read(out.path().join("exec/d/f")).expect("arrived");
    assert_eq!((file.len(), support::sha256(&file)), (300_001, told));
    assert_eq!(
        fs::read(out.path().join("exec/empty")).expect("arrived"),
        b""
    );
}

#[test]
#[ignore = "boots guests: ./justw test-harness"]
fn the_disk_is_a_fresh_file_system_of_the_kind_asked_for() {
    let output = exec_with(
        &["--fs", "ext4", "--disk", "64M"],
        &[
            "sh",
            "-c",
            "grep ' /mnt/disk ' /proc/mounts && echo x > $VMTEST_DISK/x",
        ],
    );
    assert!(output.status.success(), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stdout).starts_with("/dev/nvme0n1 /mnt/disk ext4 "),
        "{output:?}"
    );
}

#[test]
#[ignore = "boots guests: ./justw test-harness"]
fn nothing_of_a_command_outlives_it() {
    let output = exec(&[
        "sh",
        "-c",
        "setsid sleep 1000 & (sleep 1000; echo late) & echo done",
    ]);
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(0), &b"done\n"[..])
    );
}

#[test]
#[ignore = "boots guests: ./justw test-harness"]
fn instruction_time_does_not_depend_on_the_host() {
    let script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; cut -d' ' -f1 /proc/uptime";
    let output = exec_with(&["--mode", "icount"], &["sh", "-c", script]);
    let uptime: f64 = String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .expect("seconds");
    assert!((0.1..60.0).contains(&uptime), "{uptime}");
}

#[test]
#[ignore = "boots guests: ./justw test-harness"]
fn a_panic_is_a_panic() {
    let output = exec(&["sh", "-c", "echo c > /proc/sysrq-trigger; sleep 60"]);
    support::assert_harness_says(
        &output,
        "guest panicked: Kernel panic - not syncing: sysrq triggered crash",
    );
}

#[test]
#[ignore = "boots guests: ./justw test-harness"]
fn a_guest_that_goes_away_is_lost() {
    support::assert_harness_says(
        &exec(&["busybox", "reboot", "-f"]),
        "guest lost: QEMU ended",
    );
}

#[test]
#[ignore = "boots guests: ./justw test-harness"]
fn a_killed_qemu_is_lost() {
    let running = Running::start(&["sh", "-c", "echo ready; sleep 1000"]);
    support::signal(running.qemu(), "KILL");
    support::assert_harness_says(
        &running.wait(SECOND * 20),
        "guest lost: QEMU ended (signal: 9 (SIGKILL))",
    );
}

#[test]
#[ignore = "boots guests: ./justw test-harness"]
fn a_guest_that_falls_silent_is_hung() {
    let running = Running::start(&["sh", "-c", "echo ready; sleep 1000"]);
    let qemu = running.qemu();
    support::signal(qemu, "STOP");
    support::assert_harness_says(&running.wait(SECOND * 80), "guest hung: ");
    assert!(!support::is_alive(qemu));
}

#[test]
#[ignore = "boots guests: ./justw test-harness"]
fn a_program_that_does_not_end_is_timed_out() {
    let output = exec_with(&["--time-limit", "2s"], &["sleep", "1000"]);
    support::assert_harness_says(&output, "timed out: sleep did not end in 2s");
}

#[test]
#[ignore = "boots guests: ./justw test-harness"]
fn a_kernel_that_does_not_boot_is_told_from_a_lost_guest() {
    // Too little memory to unpack into: the kernel panics before the first message.
    let output = exec_with(&["--memory", "40M"], &["true"]);
    support::assert_harness_says(&output, "guest not booted: ");
}

#[test]
#[ignore = "boots guests: ./justw test-harness"]
fn an_interruption_leaves_nothing_behind() {
    for signal in ["INT", "TERM", "HUP"] {
        let running = Running::start(&["sh", "-c", "echo ready; sleep 1000"]);
        let (qemu, files) = (running.qemu(), running.private_files());
        assert!(!files.is_empty());
        support::signal(running.id(), signal);
        let output = running.wait(SECOND * 20);
        assert_eq!(output.status.code(), Some(130), "{output:?}");
        assert!(!support::is_alive(qemu), "{signal}");
        assert!(
            files.iter().all(|path| !path.exists()),
            "{signal}: {files:?}"
        );
    }
}

#[test]
#[ignore = "boots guests: ./justw test-harness"]
fn qemu_dies_with_a_killed_harness() {
    let running = Running::start(&["sh", "-c", "echo ready; sleep 1000"]);
    let (qemu, files) = (running.qemu(), running.private_files());
    let id = running.id();
    support::signal(id, "KILL");
    support::wait_until(SECOND * 10, || {
        !support::is_alive(qemu) && !support::is_alive(id)
    });
    assert!(!files.is_empty() && files.iter().all(|path| path.exists()));
    // Whatever becomes of the next start, it sweeps what the killed one left.
    let next = support::exec_on("no-such-kernel", &[], &["true"])
        .env("TMPDIR", running.temporary())
        .output()
        .expect("vmtest runs");
    assert_eq!(next.status.code(), Some(125), "{next:?}");
    assert!(files.iter().all(|path| !path.exists()), "{files:?}");
    let left = fs::read_dir(running.temporary()).expect("there").count();
    assert_eq!(left, 0);
    running.wait(SECOND * 20);
}

/// Scenarios look up by it what they know of their kernel; without it they would take what they measure for true.
#[test]
#[ignore = "boots guests: ./justw test-harness"]
fn a_scenario_has_its_kernels_name() {
    let manifest = format!(
        "[every_guest]\nhas_busybox = true\n[[scenario]]\nname = \"named\"\nsummary = \"s\"\n\
         command = [\"sh\", \"-c\", \"test $VMTEST_KERNEL = {}\"]\ntime_limit_s = 30\n",
        kernel()
    );
    let (output, _out) = run(&manifest, &["--kernel", &kernel()]);
    assert!(output.status.success(), "{output:?}");
}

/// Each in a guest of its own: what they provoke is the kernel's, at boot or later.
#[test]
#[ignore = "boots guests: ./justw test-harness"]
fn what_no_repetition_excuses_is_final_and_what_is_missing_is_named() {
    // A kernel object that is not there: a WARN in each boot, and no other harm.
    let at_boot = r#"kernel_args = ["initcall_blacklist=mm_sysfs_init"]"#;
    // The kernel writes a kilobyte about each of its tasks in one go, while the only CPU runs nothing else: more than
    // the 128 KiB that its log has room for.
    let overwritten =
        "i=0; while [ $i -lt 400 ]; do sleep 100 & i=$((i+1)); done; echo t > /proc/sysrq-trigger";
    let disk = r#"disk = { fs = "ext4", size_mib = 64 }"#;
    let blocked = "echo 2 > /proc/sys/kernel/hung_task_timeout_secs; fsfreeze --freeze /mnt/disk; touch /mnt/disk/x & \
        sleep 7; fsfreeze --unfreeze /mnt/disk; wait";
    let scenario = |name: &str, script: &str, more: &str| {
        format!(
            "[[scenario]]\nname = \"{name}\"\nsummary = \"s\"\ncommand = [\"sh\", \"-c\", '{script}']\n\
             time_limit_s = 60\n{more}\n"
        )
    };
    let manifest = [
        "[every_guest]\nhas_busybox = true\n".to_owned(),
        scenario("at-boot", "true", at_boot),
        scenario("overwritten", overwritten, "cpus = 1"),
        scenario("blocked", blocked, disk),
        scenario("no-module", "true", r#"modules = ["no-such-module"]"#),
        scenario(
            "passes",
            r#"echo out; echo x > $VMTEST_OUT/file; echo "{}" > $VMTEST_OUT/result.json"#,
            "",
        ),
    ]
    .concat();
    let (output, out) = run(&manifest, &["--kernel", &kernel(), "--accel", "tcg"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(stdout.ends_with("\n1 passed, 4 failed\n"), "{stdout}");
    let results: serde_json::Value =
        serde_json::from_slice(&fs::read(out.path().join("results.json")).expect("written"))
            .expect("JSON");
    let result = |name: &str| {
        let all = results["scenarios"].as_array().expect("an array");
        let found = all.iter().find(|one| one["scenario"] == name);
        found.unwrap_or_else(|| panic!("no {name}: {results:#}"))
    };
    for (name, outcome, is_final, start) in [
        (
            "at-boot",
            "failed",
            true,
            "at boot: unexpected report of the kernel (warning): WARNING: ",
        ),
        ("overwritten", "failed", true, ""),
        (
            "blocked",
            "failed",
            true,
            "unexpected report of the kernel (hung-task): INFO: task touch:",
        ),
        ("no-module", "not-ready", false, "module no_such_module: "),
        ("passes", "passed", false, ""),
    ] {
        let result = result(name);
        assert_eq!(
            (&result["outcome"], &result["is_final"]),
            (&outcome.into(), &is_final.into()),
            "{result}"
        );
        let detail = result["detail"].as_str().expect("text");
        assert!(detail.starts_with(start), "{detail}");
    }
    let detail = result("overwritten")["detail"].as_str().expect("text");
    assert!(
        detail.contains(" were overwritten before they could be read"),
        "{detail}"
    );
    let there = |path: &str| out.path().join(kernel()).join(path).exists();
    assert!(there("at-boot/kernel.log") && there("blocked/console.log"));
    // What passed leaves its verdict, and nothing that had to be sent for it.
    assert!(there("passes/passes/result.json") && !there("passes/passes/file"));
    assert!(!there("passes/kernel.log") && !there("passes/console.log"));
    // The time is accounted for.
    let account = results["account"].as_object().expect("an account");
    let sum_ms: u64 = account.values().filter_map(serde_json::Value::as_u64).sum();
    let jobs_ms = results["duration_ms"].as_u64().expect("a number")
        * results["jobs_count"].as_u64().expect("a number");
    assert!(
        sum_ms.abs_diff(jobs_ms) <= jobs_ms / 50,
        "{sum_ms} {jobs_ms}"
    );
    assert!(account["boots_ms"].as_u64() > Some(0));
}

#[test]
#[ignore = "boots guests: ./justw test-harness"]
fn a_death_costs_only_the_scenario_it_happened_in() {
    let scenario = |name: &str, script: &str| {
        format!(
            "[[scenario]]\nname = \"{name}\"\nsummary = \"s\"\ncommand = [\"sh\", \"-c\", \"{script}\"]\nis_shared = true\ntime_limit_s = 30\n"
        )
    };
    // The pause before the crash: what a program wrote is with the host only once PID 1 has read the
    // pipe, and a panic doesn't wait for that.
    let manifest = [
        "[every_guest]\nhas_busybox = true\n".to_owned(),
        scenario("first", "echo hello; : > $VMTEST_OUT/kept"),
        scenario("dies", "echo last words; sleep 2; echo c > /proc/sysrq-trigger; sleep 60"),
        scenario("fails", "echo no >&2; exit 3"),
        scenario("checks", r#"echo '{\"checks\":[{\"claim\":\"one\",\"passed\":false,\"detail\":\"two\"}]}' > $VMTEST_OUT/result.json"#),
        scenario("last", "true"),
    ]
    .concat();
    let options = ["--kernel", &kernel(), "--keep-files"];
    let (output, out) = run(&manifest, &options);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(stdout.ends_with("\n2 passed, 3 failed\n"), "{stdout}");
    let results: serde_json::Value =
        serde_json::from_slice(&fs::read(out.path().join("results.json")).expect("written"))
            .expect("JSON");
    let outcomes: Vec<_> = results["scenarios"]
        .as_array()
        .expect("an array")
        .iter()
        .map(|one| {
            format!(
                "{} {} {}",
                one["scenario"].as_str().expect("text"),
                one["outcome"].as_str().expect("text"),
                one["guest"].as_str().expect("text")
            )
        })
        .collect();
    assert_eq!(
        outcomes,
        [
            "first passed shared",
            "dies panicked shared",
            "fails failed shared.2",
            "checks failed shared.2",
            "last passed shared.2"
        ]
    );
    assert_eq!(results["scenarios"][3]["detail"], "one: two");
    let read = |path: &str| {
        fs::read_to_string(out.path().join(kernel()).join(path))
            .unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    assert!(read("shared/console.log").contains("sysrq triggered crash"));
    assert_eq!(read("shared/dies/stdout"), "last words\n");
    assert_eq!(read("shared.2/fails/stderr"), "no\n");
    assert!(read("shared.2/kernel.log").contains("Linux version"));
    assert_eq!(read("shared/first/kept"), "");
    let kept = |path: &str| out.path().join(kernel()).join(path).exists();
    assert!(!kept("shared/first/stdout") && !kept("shared.2/last"));
    for file in ["junit.xml", "summary.md"] {
        assert!(
            fs::read_to_string(out.path().join(file))
                .expect("written")
                .contains("panicked"),
            "{file}"
        );
    }
}
