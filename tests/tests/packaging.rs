//! What is in `packaging/`, against the program that it packages.

use std::{collections::BTreeSet, fs, path::PathBuf};

use clap::CommandFactory as _;
use fslockup::cli::{Cli, config::Config};
use serde_json::Value;

fn packaging(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../packaging")
        .join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Long options of `run` that a user sees and that go into a file.
fn keys() -> BTreeSet<String> {
    let command = Cli::command();
    let run = command.find_subcommand("run").expect("run");
    run.get_arguments()
        .filter(|arg| !arg.is_hide_set())
        .filter_map(|arg| arg.get_long())
        .filter(|long| !["config", "no-config"].contains(long))
        .map(str::to_owned)
        .collect()
}

/// A line with a key, in a comment or not.
fn key_of(line: &str) -> Option<&str> {
    let (key, _) = line.trim_start_matches('#').split_once(" = ")?;
    let is_key = key
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    is_key.then_some(key)
}

#[test]
fn the_configuration_file_has_every_key_once_and_is_right() {
    let text = packaging("fslockup.toml");
    let listed: Vec<_> = text.lines().filter_map(key_of).collect();
    let unique: BTreeSet<_> = listed.iter().map(|key| (*key).to_owned()).collect();
    assert_eq!(listed.len(), unique.len(), "{listed:?}");
    assert_eq!(unique, keys());
    Config::from_bytes(text.as_bytes()).expect("as it is");
    let with_all: Vec<_> = text
        .lines()
        .map(|line| match key_of(line) {
            Some(_) => line.trim_start_matches('#'),
            None => line,
        })
        .collect();
    Config::from_bytes(with_all.join("\n").as_bytes())
        .expect("with every line that is commented out");
}

#[test]
fn thresholds_in_the_configuration_file_are_the_defaults() {
    let text = packaging("fslockup.toml");
    let command = Cli::command();
    let run = command.find_subcommand("run").expect("run");
    let mut compared_count = 0;
    for arg in run.get_arguments() {
        let (Some(long), [default]) = (arg.get_long(), arg.get_default_values()) else {
            continue;
        };
        let default = default.to_str().expect("text");
        if let Some(line) = text.lines().find(|line| key_of(line) == Some(long)) {
            let (text, number) = (format!("\"{default}\""), default.to_owned());
            let value = line
                .strip_prefix(&format!("#{long} = "))
                .expect("a comment");
            assert!([text, number].contains(&value.to_owned()), "{line}");
            compared_count += 1;
        }
    }
    assert!(compared_count >= 4, "{compared_count}");
}

/// Values of a key of a unit, in order.
fn unit(key: &str) -> Vec<String> {
    packaging("fslockup.service")
        .lines()
        .filter_map(|line| Some(line.strip_prefix(key)?.strip_prefix('=')?.to_owned()))
        .collect()
}

/// As the scenario `service` starts it.
const CAPABILITIES: [&str; 6] = [
    "BPF",
    "PERFMON",
    "SYSLOG",
    "SYS_PTRACE",
    "DAC_READ_SEARCH",
    "SYS_ADMIN",
];

#[test]
fn the_unit_gives_what_is_tested_and_no_more() {
    let capabilities: Vec<_> = CAPABILITIES.map(|name| format!("CAP_{name}")).to_vec();
    let capabilities = capabilities.join(" ");
    for (key, value) in [
        ("Type", "notify"),
        ("ExecStart", "/usr/bin/fslockup run"),
        ("ExecReload", "/bin/sh -c \"kill -HUP $MAINPID\""),
        ("Restart", "on-failure"),
        ("CapabilityBoundingSet", &capabilities),
        ("AmbientCapabilities", &capabilities),
        ("DynamicUser", "yes"),
        ("StateDirectory", "fslockup"),
        ("ProtectSystem", "strict"),
        ("NoNewPrivileges", "yes"),
        ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6"),
    ] {
        assert_eq!(unit(key), [value], "{key}");
    }
    assert_eq!(unit("WatchdogSec").len(), 1);
    // These hide what is needed: /proc/kallsyms, /dev/kmsg.
    for key in [
        "ProtectKernelTunables",
        "ProtectKernelLogs",
        "PrivateDevices",
    ] {
        assert_eq!(unit(key), [""; 0], "{key}");
    }
}

#[test]
fn the_daemon_set_gives_what_is_tested_and_its_configuration_is_right() {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(&packaging("daemonset.yaml")).expect("YAML");
    let [config, daemon_set] = &documents[..] else {
        panic!("{} documents", documents.len())
    };
    assert_eq!(config["kind"], "ConfigMap");
    let toml = config["data"]["fslockup.toml"].as_str().expect("a file");
    Config::from_bytes(toml.as_bytes()).expect("right");

    assert_eq!(daemon_set["kind"], "DaemonSet");
    assert_eq!(daemon_set["apiVersion"], "apps/v1");
    let template = &daemon_set["spec"]["template"];
    assert_eq!(
        daemon_set["spec"]["selector"]["matchLabels"],
        template["metadata"]["labels"]
    );
    let pod = &template["spec"];
    assert_eq!(pod["hostPID"], true);
    assert_eq!(pod["tolerations"][0]["operator"], "Exists");
    assert_eq!(
        pod["volumes"][0]["configMap"]["name"],
        config["metadata"]["name"]
    );
    let container = &pod["containers"][0];
    let security = &container["securityContext"];
    assert_eq!(security["privileged"], false);
    assert_eq!(security["capabilities"]["drop"][0], "ALL");
    let added: BTreeSet<_> = security["capabilities"]["add"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    // There is no way to raise the limit of locked memory, which maps count against before 5.11.
    let expected: BTreeSet<_> = CAPABILITIES.into_iter().chain(["SYS_RESOURCE"]).collect();
    assert_eq!(added, expected);
    assert!(container["resources"]["limits"]["memory"].is_string());
    // Each mount has its volume.
    let names = |of: &Value| -> BTreeSet<String> {
        let list = of.as_array().expect("a list").iter();
        list.filter_map(|one| Some(one["name"].as_str()?.to_owned()))
            .collect()
    };
    assert_eq!(names(&container["volumeMounts"]), names(&pod["volumes"]));
    let paths: BTreeSet<_> = pod["volumes"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|volume| volume["hostPath"]["path"].as_str())
        .collect();
    assert!(
        paths.contains("/sys/kernel/btf") && paths.contains("/sys/fs/cgroup"),
        "{paths:?}"
    );
    // The command line is one that the program takes.
    let words = container["args"].as_array().expect("a list").iter();
    let words = words.map(|word| word.as_str().expect("a word"));
    Cli::command()
        .try_get_matches_from(std::iter::once("fslockup").chain(words))
        .expect("options that exist");
}

#[test]
fn the_container_file_has_one_file_and_options_that_exist() {
    let text = packaging("Containerfile");
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines[0], "FROM scratch");
    assert_eq!(lines[1], "COPY fslockup /usr/bin/fslockup");
    let command = lines[3].strip_prefix("CMD ").expect("a command");
    let words: Vec<String> = serde_json::from_str(command).expect("a list");
    Cli::command()
        .try_get_matches_from(std::iter::once("fslockup".to_owned()).chain(words))
        .expect("options that exist");
}

#[test]
fn the_changelog_has_this_version() {
    let text = packaging("debian/changelog");
    let version = format!("fslockup ({}-1) ", env!("CARGO_PKG_VERSION"));
    assert!(text.starts_with(&version), "{text}");
}
