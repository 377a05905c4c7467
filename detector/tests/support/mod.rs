//! Metrics of a real incident, and the server that the detector has, on a free port of this host.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use fslockup::{
    directories::danger::Danger,
    facts::DentryState,
    metrics::{
        Metrics, Readings,
        http::{self, Limits},
    },
    model::{Counts, Runs, Sampled},
    pipeline::Pipeline,
    recording::Reader,
};

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Everything that can be exported: incidents as a real kernel made them, with readings.
pub fn sample() -> Metrics {
    let file = repository("tests/corpus/6.1/contention.recording");
    let file = File::open(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let (mut reader, session) = Reader::open(BufReader::new(file)).expect("a recording");
    let metrics = Metrics::new(&session);
    let mut pipeline = Pipeline::new(session);
    while let Some(input) = reader.read().expect("whole") {
        for finding in pipeline.feed(&input) {
            metrics.take(&finding);
        }
    }
    metrics.read(Readings {
        realtime_ns: 1_790_000_000_000_000_000,
        counts: Counts {
            walks_count: 3,
            ..Counts::default()
        },
        dentry_state: Some(DentryState {
            dentries_count: 1_000,
            unused_count: 900,
            negative_count: 700,
        }),
        cpu_ns: 1_000_000_000,
        resident_bytes: Some(12 << 20),
    });
    metrics.dangers(&[Danger {
        dev: 259 << 20,
        ino: 12,
        fstype: b"ext4".to_vec(),
        path: Some(b"/data/a\"b\\c\nd\xff {}#".to_vec()),
        children_count: 20_000_000,
        negative_count: Some(19_000_000),
        predicted_ns: 1_800_000_000,
        watchers: Vec::new(),
        producers: Vec::new(),
    }]);
    metrics.sampled(programs(3));
    metrics
}

/// Figures of so many programs.
pub fn programs(count: u32) -> Sampled {
    let runs = Runs {
        runs_count: 10,
        run_ns: 4_000,
    };
    Sampled {
        programs: (0..count)
            .map(|number| (format!("program_{number}"), runs))
            .collect::<BTreeMap<_, _>>(),
        sampled_ns: 1_000_000_000,
    }
}

/// Serves until the test program ends.
pub fn serve(metrics: Metrics, limits: Limits) -> SocketAddr {
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = http::listen(free).expect("a port");
    let address = listener.local_addr().expect("its number");
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let served = http::serve(listener, metrics, limits).expect("watched");
            match served.await {}
        })
    });
    address
}

/// A connection that doesn't wait for ever.
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connected");
    let patience = Some(Duration::from_secs(20));
    stream.set_read_timeout(patience).expect("a timeout");
    stream.set_write_timeout(patience).expect("a timeout");
    stream
}

/// What comes until the other side closes; what came until then, if it breaks off.
pub fn read_all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut part = [0; 64 * 1024];
    loop {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&part[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error}"),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The answer to a whole request.
pub fn ask(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = connect(address);
    // The other side may close before it has read all of it.
    let _ = stream.write_all(request);
    read_all(&mut stream)
}

/// Status line with headers, and body, of a GET; none where the other side closed without an answer.
pub fn try_get(address: SocketAddr, path: &str, accept: &str) -> Option<(String, String)> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    );
    let answer = ask(address, request.as_bytes());
    if answer.is_empty() {
        return None;
    }
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no headers: {answer:?}"));
    Some((head.to_owned(), body.to_owned()))
}

/// The same where there must be an answer.
pub fn get(address: SocketAddr, path: &str, accept: &str) -> (String, String) {
    try_get(address, path, accept).unwrap_or_else(|| panic!("{path}: an empty answer"))
}
