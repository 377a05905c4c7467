//! Clients of the metrics that mean harm, and the one that only wants to scrape.

mod support;

use std::{
    io::{Read as _, Write as _},
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use fslockup::metrics::{TextFormat, http::Limits};
use support::{ask, connect, get, programs, read_all, sample, serve, try_get};

/// As in a real run, but for what tests would have to wait for.
const LIMITS: Limits = Limits {
    connections_max: 16,
    accepts_per_s_max: 10_000,
    header_timeout: Duration::from_millis(300),
    connection_timeout: Duration::from_millis(800),
    header_bytes_max: 8192,
};

/// Scrapes; once more where a busy host kept the request back for longer than the server waits for one.
fn scraped(address: SocketAddr) -> (String, String) {
    for _ in 0..5 {
        let began = Instant::now();
        if let Some(answer) = try_get(address, "/metrics", "*/*") {
            return answer;
        }
        let elapsed = began.elapsed();
        assert!(elapsed >= LIMITS.header_timeout, "closed after {elapsed:?}");
    }
    panic!("no answer in five tries");
}

fn is_good_scrape(address: SocketAddr) {
    let (head, body) = scraped(address);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(
        body.contains("\nfslockup_incidents_total{severity=\"critical\"} "),
        "{body}"
    );
    assert!(body.ends_with('\n'), "{body}");
}

#[test]
fn each_client_gets_the_format_that_it_reads() {
    let address = serve(sample(), LIMITS);
    let (head, body) = get(address, "/metrics", "*/*");
    assert!(
        head.contains("content-type: text/plain; version=0.0.4"),
        "{head}"
    );
    assert!(
        body.contains("# TYPE fslockup_incidents_total counter\n"),
        "{body}"
    );
    let prometheus = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
    let (head, body) = get(address, "/metrics", prometheus);
    assert!(
        head.contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{head}"
    );
    assert!(
        body.contains("# TYPE fslockup_incidents counter\n"),
        "{body}"
    );
    assert!(body.ends_with("# EOF\n"), "{body}");
}

#[test]
fn there_is_one_page_and_it_can_only_be_read() {
    let address = serve(sample(), LIMITS);
    for path in ["/", "/metrics/", "/../etc/passwd", "/metricsx"] {
        assert!(
            get(address, path, "*/*").0.starts_with("HTTP/1.1 404 "),
            "{path}"
        );
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
        let request =
            format!("{method} /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n");
        let answer = ask(address, request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 405 "), "{method}: {answer}");
        assert!(
            answer.contains("allow: GET, HEAD\r\n"),
            "{method}: {answer}"
        );
    }
    let head = ask(address, b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    is_good_scrape(address);
}

#[test]
fn nonsense_is_refused() {
    let address = serve(sample(), LIMITS);
    let nonsense: [&[u8]; 5] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\r\n\r\n\r\n\r\n",
        b"GET\r\n\r\n",
        &[0xff; 4096],
        b"GET /metrics HTTP/1.1\r\nno colon\r\n\r\n",
    ];
    for bytes in nonsense {
        let answer = ask(address, bytes);
        assert!(!answer.contains(" 200 "), "{bytes:?}: {answer}");
    }
    is_good_scrape(address);
}

#[test]
fn a_request_that_is_too_large_is_refused() {
    let address = serve(sample(), LIMITS);
    let line = [b"GET /", [b'a'; 1 << 20].as_slice(), b" HTTP/1.1\r\n\r\n"].concat();
    let header = [
        b"GET /metrics HTTP/1.1\r\nX: ",
        [b'a'; 1 << 20].as_slice(),
        b"\r\n\r\n",
    ]
    .concat();
    let headers = [
        b"GET /metrics HTTP/1.1\r\n".to_vec(),
        b"X: a\r\n".repeat(1_000),
        b"\r\n".to_vec(),
    ]
    .concat();
    for request in [line, header, headers] {
        // It may be closed so early that the answer is lost.
        let answer = ask(address, &request);
        assert!(!answer.contains(" 200 "), "{answer}");
    }
    is_good_scrape(address);
}

#[test]
fn a_client_that_dawdles_over_its_request_is_closed() {
    let address = serve(sample(), LIMITS);
    let start = Instant::now();
    let mut slow = connect(address);
    let writer = thread::spawn({
        let mut slow = slow.try_clone().expect("another handle");
        move || {
            // Four seconds in all.
            for byte in
                b"GET /metrics HTTP/1.1\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"
            {
                if slow.write_all(&[*byte]).is_err() {
                    return false;
                }
                thread::sleep(Duration::from_millis(50));
            }
            true
        }
    });
    is_good_scrape(address);
    let answer = read_all(&mut slow);
    let elapsed = start.elapsed();
    assert!(!answer.contains(" 200 "), "{answer}");
    assert!(elapsed >= LIMITS.header_timeout, "{elapsed:?}");
    drop(slow);
    let is_written = writer.join().expect("no panic");
    assert!(!is_written, "it took all of the request");
}

#[test]
fn a_client_that_never_reads_is_closed() {
    let metrics = sample();
    // More than any buffer between the two holds.
    metrics.sampled(programs(200_000));
    let whole_bytes = metrics.render(TextFormat::Prometheus).len();
    let address = serve(metrics, LIMITS);
    let mut silent = connect(address);
    silent
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("asked");
    thread::sleep(LIMITS.connection_timeout * 3);
    let got = read_all(&mut silent);
    assert!(
        got.len() < whole_bytes,
        "{} of {whole_bytes} bytes",
        got.len()
    );
}

#[test]
fn a_hundred_idle_clients_keep_nobody_out() {
    let limits = Limits {
        header_timeout: Duration::from_secs(60),
        connection_timeout: Duration::from_secs(60),
        ..LIMITS
    };
    let address = serve(sample(), limits);
    let mut idle: Vec<_> = (0..100).map(|_| connect(address)).collect();
    for _ in 0..10 {
        is_good_scrape(address);
    }
    // The oldest have been closed for the newer ones.
    let closed_count = idle[..100 - limits.connections_max]
        .iter_mut()
        .filter_map(|stream| stream.read(&mut [0]).ok())
        .filter(|count| *count == 0)
        .count();
    assert_eq!(closed_count, 100 - limits.connections_max);
}

#[test]
fn so_many_connections_are_taken_in_a_second() {
    let limits = Limits {
        accepts_per_s_max: 5,
        ..LIMITS
    };
    let start = Instant::now();
    let address = serve(sample(), limits);
    for _ in 0..11 {
        is_good_scrape(address);
    }
    let elapsed = start.elapsed();
    // Five in the first second, five in the next.
    assert!(elapsed >= Duration::from_secs(2), "{elapsed:?}");
}

#[test]
fn an_address_that_is_taken_is_an_error() {
    let address = serve(sample(), LIMITS);
    let error = fslockup::metrics::http::listen(address).expect_err("taken");
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}
