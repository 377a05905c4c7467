//! Prometheus itself reads what the detector exports. Needs `promtool` and `prometheus` in the path, so a
//! plain `cargo test` leaves these out and says so; `./justw test-host` fetches both and runs them.

mod support;

use std::{
    fs,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use fslockup::metrics::{TextFormat, http::Limits};
use serde_json::Value;
use support::{repository, sample, serve, try_get};

fn promtool(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new("promtool")
        .args(arguments)
        .current_dir(repository("packaging"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool (./justw test-host installs it)");
    let mut stdin = child.stdin.take().expect("its input");
    stdin.write_all(input.as_bytes()).expect("written");
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
#[ignore = "needs Prometheus: ./justw test-host"]
fn promtool_finds_nothing_wrong_with_the_metrics() {
    let output = promtool(
        &["check", "metrics"],
        &sample().render(TextFormat::Prometheus),
    );
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(said(&output), "");
}

#[test]
#[ignore = "needs Prometheus: ./justw test-host"]
fn promtool_would_find_something_wrong() {
    let text = sample().render(TextFormat::Prometheus);
    let output = promtool(
        &["check", "metrics"],
        &text.replace("lost_total", "lost_count"),
    );
    assert!(!output.status.success(), "{}", said(&output));
}

#[test]
#[ignore = "needs Prometheus: ./justw test-host"]
fn the_rules_are_right_and_do_what_their_tests_say() {
    for arguments in [
        ["check", "rules", "prometheus.rules.yml"],
        ["test", "rules", "prometheus.rules.test.yml"],
    ] {
        let output = promtool(&arguments, "");
        assert!(output.status.success(), "{}", said(&output));
        assert!(said(&output).contains("SUCCESS"), "{}", said(&output));
    }
}

/// A Prometheus of this test alone, ended with it.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    dir: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How often another port is tried.
const PORTS_TRIED_MAX: u32 = 3;

impl Prometheus {
    fn start(target: SocketAddr) -> Self {
        for _ in 0..PORTS_TRIED_MAX {
            let mut started = Self::start_once(target);
            if started.gets_ready() {
                return started;
            }
        }
        panic!("prometheus: {PORTS_TRIED_MAX} ports were taken by others")
    }

    fn start_once(target: SocketAddr) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let rules = repository("packaging/prometheus.rules.yml");
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: ['{}']\n\
             scrape_configs:\n\
             - job_name: fslockup\n\
             \x20 static_configs: [{{targets: ['{target}']}}]\n",
            rules.canonicalize().expect("the rules").display()
        );
        let config_file = dir.path().join("prometheus.yml");
        fs::write(&config_file, config).expect("written");
        // Free now; another program may take it before Prometheus does.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = free.local_addr().expect("its number");
        drop(free);
        let log = fs::File::create(dir.path().join("log")).expect("a file");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config_file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                dir.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus (./justw test-host installs it)");
        Self {
            child,
            address,
            dir,
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_else(|error| error.to_string())
    }

    /// Waits until it is ready; false where its port was taken.
    fn gets_ready(&mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            // Its own process first: on a port that was taken another program would answer.
            if let Some(status) = self.child.try_wait().expect("a child") {
                let log = self.log();
                assert!(log.contains("address already in use"), "{status}: {log}");
                return false;
            }
            if self.is_ready() {
                return true;
            }
            assert!(Instant::now() < deadline, "not ready: {}", self.log());
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// It listens first and answers 503 until it has read its data; a connection that was closed without
    /// an answer was seen, too.
    fn is_ready(&self) -> bool {
        TcpStream::connect(self.address).is_ok()
            && try_get(self.address, "/-/ready", "*/*")
                .is_some_and(|(head, _)| head.starts_with("HTTP/1.1 200 "))
    }

    fn api(&self, path: &str) -> Value {
        let answer = try_get(self.address, path, "application/json");
        let (head, body) =
            answer.unwrap_or_else(|| panic!("{path}: an empty answer; its log: {}", self.log()));
        let body = if head.contains("chunked") {
            unchunked(&body)
        } else {
            body
        };
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {path}: {body}"))
    }

    fn query(&self, query: &str) -> Value {
        let encoded: String = query
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
                _ => format!("%{byte:02X}"),
            })
            .collect();
        let answer = self.api(&format!("/api/v1/query?query={encoded}"));
        assert_eq!(
            answer["status"],
            "success",
            "{query}: {answer}; its log: {}",
            self.log()
        );
        answer["data"]["result"].clone()
    }
}

fn unchunked(body: &str) -> String {
    let mut rest = body;
    let mut text = String::new();
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).expect("a length");
        if length == 0 {
            break;
        }
        text += &after[..length];
        rest = &after[length + 2..];
    }
    text
}

fn dashboard_queries() -> Vec<String> {
    let text = fs::read_to_string(repository("packaging/grafana-dashboard.json")).expect("it");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array())
        .flatten()
        .filter_map(|target| target["expr"].as_str())
        .map(|query| {
            query
                .replace("$instance", ".*")
                .replace("$__rate_interval", "1m")
                .replace("$__range", "1h")
        })
        .collect()
}

#[test]
#[ignore = "needs Prometheus: ./justw test-host"]
fn a_real_prometheus_scrapes_it() {
    let target = serve(sample(), Limits::default());
    let prometheus = Prometheus::start(target);
    let deadline = Instant::now() + Duration::from_secs(60);
    // Two scrapes, so that there are rates.
    let scraped = || prometheus.query("count_over_time(up{job=\"fslockup\"}[1m])");
    while scraped()[0]["value"][1]
        .as_str()
        .and_then(|count| count.parse::<u32>().ok())
        .is_none_or(|count| count < 3)
    {
        assert!(
            Instant::now() < deadline,
            "{}; its log: {}",
            prometheus.api("/api/v1/targets"),
            prometheus.log()
        );
        thread::sleep(Duration::from_millis(200));
    }
    let targets = prometheus.api("/api/v1/targets");
    let target = &targets["data"]["activeTargets"][0];
    assert_eq!(target["health"], "up", "{target}");
    assert_eq!(target["lastError"], "", "{target}");

    let predicted = prometheus.query("fslockup_directory_predicted_freeze_seconds");
    assert_eq!(predicted[0]["value"][1], "1.8", "{predicted}");
    let path = &predicted[0]["metric"]["path"];
    assert_eq!(path, "/data/a\"b\\\\c\\x0ad\\xff {}#", "{predicted}");
    let incidents = prometheus.query("sum(fslockup_incidents_total)");
    let expected: u32 = sample()
        .render(TextFormat::Prometheus)
        .lines()
        .filter(|line| line.starts_with("fslockup_incidents_total{"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u32>().ok())
        .sum();
    assert!(expected > 0);
    assert_eq!(
        incidents[0]["value"][1],
        expected.to_string(),
        "{incidents}"
    );

    let queries = dashboard_queries();
    assert!(queries.len() >= 20, "{queries:?}");
    for query in queries {
        let result = prometheus.query(&query);
        // Nothing is degraded in the sample; all else has something to show.
        let may_be_empty = query.ends_with("== 1");
        assert!(may_be_empty || result[0].is_object(), "{query}: {result}");
    }

    let rules = prometheus.api("/api/v1/rules");
    let rules = rules["data"]["groups"][0]["rules"]
        .as_array()
        .expect("rules");
    assert_eq!(rules.len(), 8, "{rules:?}");
    for rule in rules {
        assert_ne!(rule["health"], "err", "{rule}");
    }
}
