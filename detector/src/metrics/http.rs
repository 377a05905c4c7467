//! Serves one page, `/metrics`, on the thread of the detector's own loop, so that nobody who asks for it
//! can be a burden: everything that a client can hold on to or ask for has a limit.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    net::{SocketAddr, TcpListener as Unwatched},
    sync::Arc,
    time::Duration,
};

use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    task::AbortHandle,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::metrics::{Metrics, TextFormat};

/// The only path there is.
const PATH: &str = "/metrics";

/// What clients may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once. One more, and the oldest is closed: a client that dawdles doesn't keep
    /// out the one that scrapes.
    pub connections_max: usize,
    /// Connections taken in a second; further ones wait in the kernel's queue. A scrape takes 650,000
    /// instructions (6.1, the network included), so a hundred take some 2 % of a CPU.
    pub accepts_per_s_max: u32,
    /// From the connection to the end of the request's headers.
    pub header_timeout: Duration,
    /// From the connection to its end, the response read by the client included.
    pub connection_timeout: Duration,
    /// Bytes of the request's line and headers.
    pub header_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 16,
            accepts_per_s_max: 100,
            header_timeout: Duration::from_secs(2),
            connection_timeout: Duration::from_secs(5),
            header_bytes_max: 8192,
        }
    }
}

/// Header lines of a request at most: Prometheus sends seven.
const HEADERS_MAX: usize = 32;

/// How long to wait when the kernel has no connection to give (no descriptor or memory left).
const PAUSE: Duration = Duration::from_millis(100);

/// Takes the address.
///
/// # Errors
/// When it is taken already, or no address of this host.
pub fn listen(address: SocketAddr) -> io::Result<Unwatched> {
    let listener = Unwatched::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// What serves until it is dropped. Called inside a tokio runtime.
///
/// # Errors
/// When the listener can't be watched.
pub fn serve(
    listener: Unwatched,
    metrics: Metrics,
    limits: Limits,
) -> io::Result<impl Future<Output = Infallible> + Send> {
    let listener = TcpListener::from_std(listener)?;
    Ok(accept(listener, Arc::new(metrics), limits))
}

async fn accept(listener: TcpListener, metrics: Arc<Metrics>, limits: Limits) -> Infallible {
    let mut pace = Pace::new(limits.accepts_per_s_max);
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        pace.wait().await;
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        open.retain(|connection| !connection.is_finished());
        if open.len() >= limits.connections_max
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        let task = tokio::spawn(connection(stream, Arc::clone(&metrics), limits));
        open.push_back(task.abort_handle());
    }
}

/// At most so many in each second, counted from the first.
struct Pace {
    max: u32,
    second: Instant,
    count: u32,
}

impl Pace {
    fn new(max: u32) -> Self {
        Self {
            max,
            second: Instant::now(),
            count: 0,
        }
    }

    async fn wait(&mut self) {
        let end = self.second + Duration::from_secs(1);
        if self.count >= self.max {
            sleep_until(end).await;
        }
        let now = Instant::now();
        if now >= end {
            (self.second, self.count) = (now, 0);
        }
        self.count += 1;
    }
}

async fn connection(stream: TcpStream, metrics: Arc<Metrics>, limits: Limits) {
    let answer = service_fn(move |request| {
        let response = answer(&metrics, &request);
        async { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_header_size(limits.header_bytes_max)
        .max_headers(HEADERS_MAX)
        .max_buf_size(limits.header_bytes_max.max(8192))
        // One scrape in 15 s needs none, and a connection kept alive is one that is held on to.
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answer);
    // Whatever went wrong is the client's: it went away, was slow, or talked nonsense.
    let _ = timeout(limits.connection_timeout, connection).await;
}

fn answer(metrics: &Metrics, request: &Request<Incoming>) -> Response<String> {
    if request.uri().path() != PATH {
        return plain(StatusCode::NOT_FOUND, "only /metrics is here\n");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        let allowed = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allowed);
        return response;
    }
    let accepted = request.headers().get_all(ACCEPT);
    let accepted: Vec<_> = accepted.iter().map(HeaderValue::as_bytes).collect();
    let format = TextFormat::accepted(&accepted);
    let mut response = Response::new(metrics.render(format));
    let content_type = HeaderValue::from_static(format.content_type());
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

fn plain(status: StatusCode, text: &str) -> Response<String> {
    let mut response = Response::new(text.to_owned());
    *response.status_mut() = status;
    response
}
