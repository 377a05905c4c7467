//! A headless Chromium, spoken to in the DevTools protocol over a pair of pipes: no port, no driver, no
//! web socket. Everything that it notices about a page is kept, and ends with it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

/// For one answer: the machine may have other things to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// Chromium reads commands from file descriptor 3 and writes answers to 4.
const ON_3_AND_4: &str = r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null"#;

/// Its own services would look for hosts; none can be found. Tests run as root, where its sandbox
/// refuses to.
const OPTIONS: [&str; 10] = [
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",
];

/// The window that a page is looked at through.
#[derive(Clone, Copy)]
pub struct Window {
    pub width: u32,
    pub height: u32,
    pub is_dark: bool,
}

/// One browser with one tab.
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    last_id: u64,
    session: Option<String>,
    /// Addresses of what the page asked for.
    pub requests: Vec<String>,
    /// How many of them its policy stopped.
    pub blocked_count: usize,
    /// What was written to the console, by the page or by the browser about it, and exceptions.
    pub complaints: Vec<String>,
    loads: usize,
    /// Also has what it said on stderr.
    profile: tempfile::TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Debian's program is a script that waits for the real one.
        let close = json!({ "id": 0, "method": "Browser.close" }).to_string() + "\0";
        let _ = self.to.write_all(close.as_bytes());
        while self.from.recv_timeout(Duration::from_secs(10)).is_ok() {}
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Browser {
    pub fn start() -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        let mut child = Command::new("sh")
            .args(["-c", ON_3_AND_4, "chromium-headless-shell"])
            .args(OPTIONS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(profile.path().join("stderr")).expect("a file"))
            .spawn()
            .expect("sh");
        let to = child.stdin.take().expect("its input");
        let output = child.stdout.take().expect("its output");
        let (sender, from) = mpsc::channel();
        thread::spawn(move || {
            for message in BufReader::new(output).split(0) {
                let Ok(bytes) = message else { break };
                let value = serde_json::from_slice(&bytes).expect("a message is JSON");
                if sender.send(value).is_err() {
                    break;
                }
            }
        });
        let mut started = Self {
            child,
            to,
            from,
            last_id: 0,
            session: None,
            requests: Vec::new(),
            blocked_count: 0,
            complaints: Vec::new(),
            loads: 0,
            profile,
        };
        let tab = started.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let to_tab = json!({ "targetId": tab["targetId"], "flatten": true });
        let attached = started.call("Target.attachToTarget", &to_tab);
        started.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            started.call(&format!("{domain}.enable"), &json!({}));
        }
        started
    }

    /// Opens a file in a window of that size, and forgets what was noticed of the one before.
    pub fn open(&mut self, page: &Path, window: Window) {
        self.requests.clear();
        self.blocked_count = 0;
        self.complaints.clear();
        let scheme = if window.is_dark { "dark" } else { "light" };
        self.call(
            "Emulation.setDeviceMetricsOverride",
            &json!({ "width": window.width, "height": window.height, "deviceScaleFactor": 1, "mobile": false }),
        );
        self.call(
            "Emulation.setEmulatedMedia",
            &json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] }),
        );
        self.point_at(0.0, 0.0);
        let loads = self.loads;
        let address = format!("file://{}", page.display());
        let answer = self.call("Page.navigate", &json!({ "url": address }));
        assert_eq!(answer["errorText"], Value::Null, "{address}");
        while self.loads == loads {
            self.receive();
        }
        self.settle();
    }

    /// Two frames later styles are in effect, and what they ask for was asked for.
    fn settle(&mut self) {
        self.evaluate(
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))",
        );
    }

    /// The value of an expression, which may be a promise.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let how = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", &how);
        assert_eq!(answer["exceptionDetails"], Value::Null, "{expression}");
        answer["result"]["value"].clone()
    }

    pub fn point_at(&mut self, x: f64, y: f64) {
        self.call(
            "Input.dispatchMouseEvent",
            &json!({ "type": "mouseMoved", "x": x, "y": y }),
        );
        self.settle();
    }

    pub fn press_tab(&mut self) {
        for kind in ["keyDown", "keyUp"] {
            self.call(
                "Input.dispatchKeyEvent",
                &json!({ "type": kind, "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9 }),
            );
        }
        self.settle();
    }

    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.last_id += 1;
        let mut message = json!({ "id": self.last_id, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let mut bytes = serde_json::to_vec(&message).expect("JSON");
        bytes.push(0);
        if let Err(error) = self.to.write_all(&bytes) {
            panic!("{method}: {error}; {}", self.last_words());
        }
        loop {
            let answer = self.receive();
            if answer["id"] == self.last_id {
                assert_eq!(answer["error"], Value::Null, "{method}");
                return answer["result"].clone();
            }
        }
    }

    fn last_words(&self) -> String {
        let said = fs::read_to_string(self.profile.path().join("stderr")).unwrap_or_default();
        format!("chromium-headless-shell (./justw test-host installs it) said: {said}")
    }

    /// The next message, of which events are noted.
    fn receive(&mut self) -> Value {
        let message = self
            .from
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|error| panic!("{error}; {}", self.last_words()));
        let of = &message["params"];
        match message["method"].as_str() {
            Some("Page.loadEventFired") => self.loads += 1,
            Some("Network.requestWillBeSent") => {
                let address = of["request"]["url"].as_str().expect("an address");
                self.requests.push(address.to_owned());
            }
            Some("Network.loadingFailed") if of["blockedReason"] == "csp" => {
                self.blocked_count += 1;
            }
            Some("Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Log.entryAdded") => {
                self.complaints.push(of.to_string())
            }
            _ => {}
        }
        message
    }
}
